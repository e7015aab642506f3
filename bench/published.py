"""Published figures, ours beside theirs: one experiment over several seeds, with mean, spread and Wilson interval."""

from __future__ import annotations

import math
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any

import typer

from bench.harness import aligned, tell, verdict
from chainrule.core.errors import InputError, suggest


@dataclass(frozen=True)
class Experiment:
    """A run on a named set: its options, the test accuracy to reach, and whose figure that is."""

    name: str
    data: str
    options: dict[str, Any]
    reach: float
    source: str


SOFTMAX = Experiment(
    "softmax", "mnist", {"net": "softmax", "optimizer": "adam:rate=0.004", "schedule": "cosine", "batch": 100, "epochs": 12}, 0.920,
    "about 92 %: LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791, linear classifiers at 88.0 % to 92.4 %")
NIELSEN = Experiment(
    "784-30-10", "mnist",
    {"net": "mlp:hidden=30,activation=sigmoid,output=sigmoid", "loss": "squared", "init": "lecun:biases=1", "optimizer": "sgd:rate=3.0",
     "batch": 10, "epochs": 30}, 0.950,
    "95.0 %: Nielsen (2015), Neural Networks and Deep Learning, chapter 1, http://neuralnetworksanddeeplearning.com/chap1.html")
LENET = Experiment(
    "lenet", "mnist",
    {"net": "lenet", "optimizer": "adam:rate=0.002", "schedule": "one-cycle", "batch": 50, "epochs": 4, "seconds": 290.0}, 0.990,
    "99.05 %: LeNet-5 of LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791")
NIELSEN_100 = Experiment(
    "784-100-10", "mnist", {**NIELSEN.options, "net": "mlp:hidden=100,activation=sigmoid,output=sigmoid"}, 0.965,
    "96.59 %: Nielsen (2015), chapter 1, http://neuralnetworksanddeeplearning.com/chap1.html")
EXPERIMENTS = {e.name: e for e in (SOFTMAX, NIELSEN, NIELSEN_100, LENET)}


@dataclass(frozen=True)
class Outcome:
    """One seed's run: right answers of `n` on the test part, the epoch kept, seconds of training, and the plan."""

    seed: int
    right: int
    n: int
    epoch: int
    seconds: float
    plan: str

    @property
    def accuracy(self) -> float:
        return self.right / self.n


def run_experiment(experiment: Experiment, seeds: int = 3, out: Path | None = None) -> list[Outcome]:
    """Train and test once for each of the seeds 0, 1, ...; the run folders stay in `out` where one is given."""
    import chainrule

    source = chainrule.load(experiment.data)
    outcomes = []
    with nullcontext(str(out)) if out else tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            run = chainrule.train(source, **experiment.options, seed=seed, out=Path(folder) / f"{experiment.name}-{seed}", progress=False)
            result, told = run.test(), run.summary()
            assert result.errors is not None
            outcomes.append(Outcome(seed, result.n - result.errors, result.n, told["best"]["epoch"],
                                    told["seconds"]["training"] + told["seconds"]["compiling"], told["plan"]["name"]))
    return outcomes


def reached(experiment: Experiment, outcomes: list[Outcome]) -> bool:
    """Whether the mean over the seeds is at least the figure."""
    return mean(o.accuracy for o in outcomes) >= experiment.reach


def lines(experiment: Experiment, outcomes: list[Outcome]) -> list[str]:
    """A table of the seeds; below it their mean, spread and interval beside the published figure."""
    from chainrule.evaluate.intervals import wilson

    rows = [["seed", "accuracy %", "95 % Wilson", "best epoch", "training", "plan"]]
    for o in outcomes:
        interval = wilson(o.right, o.n)
        rows.append([str(o.seed), f"{100 * o.accuracy:.2f}", f"{100 * interval.low:.2f} to {100 * interval.high:.2f}", str(o.epoch),
                     f"{o.seconds:.0f} s", o.plan])
    accuracies = [100 * o.accuracy for o in outcomes]
    spread = stdev(accuracies) if len(accuracies) > 1 else math.nan
    together = wilson(sum(o.right for o in outcomes), sum(o.n for o in outcomes))
    options = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in experiment.options.items())
    return [f"chainrule train {experiment.data} {options}", *aligned(rows),
            f"mean {mean(accuracies):.2f} %, standard deviation over seeds {spread:.2f}, {min(accuracies):.2f} to {max(accuracies):.2f}; "
            f"Wilson over all answers {100 * together.low:.2f} to {100 * together.high:.2f}",
            f"published: {experiment.source}",
            verdict(reached(experiment, outcomes), f"{experiment.name} at least {100 * experiment.reach:.1f} %")]


def main(name: Annotated[str, typer.Argument(help=f"{', '.join(EXPERIMENTS)}, or all.")] = "all", seeds: int = 3,
         out: Annotated[Path | None, typer.Option(help="Where the run folders stay; thrown away where left out.")] = None,
         record: bool = False) -> None:
    """Published results at full size on real MNIST; minutes of training for each seed."""
    if name != "all" and name not in EXPERIMENTS:
        raise InputError(f"There is no experiment called '{name}'. {suggest(name, [*EXPERIMENTS, 'all'])}")
    told = []
    for experiment in EXPERIMENTS.values() if name == "all" else [EXPERIMENTS[name]]:
        found = lines(experiment, run_experiment(experiment, seeds, out))
        if name == "all":
            print("\n".join(found), flush=True)
        told += [*found, ""]
    tell("published", told[:-1], record)
