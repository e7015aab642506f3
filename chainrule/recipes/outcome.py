"""What a recipe gets, and what it gives back: figures of ours, each beside the published one, a table and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal, NamedTuple

import chainrule
from chainrule.core.registry import recipes
from chainrule.core.text import table
from chainrule.core.threads import torch_threads
from chainrule.evaluate.intervals import Interval, wilson
from chainrule.evaluate.result import Result
from chainrule.evaluate.significance import Pair, probability
from chainrule.workflows.options import Experiment
from chainrule.workflows.run import Run

Goal = Literal["at least", "at most", "about", "none"]


@dataclass(frozen=True)
class Setting:
    """How to run: over so many seeds, `short` for a form of seconds, with run folders in `out`.

    Exact checks are the same in their short form; a training cut short is not judged, so its figures have no goal.
    """

    out: Path
    seeds: int = Experiment.seeds
    short: bool = False
    data_dir: Path | None = None
    say: Callable[[str], None] = print


@dataclass(frozen=True)
class Figure:
    """A number of ours with its interval, beside a published one. `within` is how far `about` may be off.

    A `probability` is written as p values are: as a bound where a float does not hold it.
    """

    what: str
    ours: float
    low: float | None = None
    high: float | None = None
    published: float | None = None
    source: str = ""
    goal: Goal = "none"
    within: float = 0.0
    probability: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether it is what was published; None where there is nothing to reach."""
        if self.published is None or self.goal == "none":
            return None
        away = self.ours - self.published
        return away >= 0 if self.goal == "at least" else away <= 0 if self.goal == "at most" else abs(away) <= self.within

    def __str__(self) -> str:
        words = f"{self.what}: {probability(self.ours, 5) if self.probability else f'{self.ours:.5g}'}"
        if self.low is not None and self.high is not None:
            words += f" ({self.low:.5g} to {self.high:.5g})"
        if self.published is not None:
            goal = "" if self.goal == "none" else f"{self.goal} "
            within = f" (within {self.within:g})" if self.goal == "about" else ""
            verdict = {None: "", True: ", reached", False: ", MISSED"}[self.reached]
            words += f"; published {goal}{self.published:.5g}{within}{verdict}"
        return words + (f"\n    {self.source}" if self.source else "")

    def to_json(self) -> dict[str, Any]:
        return {"what": self.what, "ours": {"value": self.ours, "interval": None if self.low is None else [self.low, self.high]},
                "published": {"value": self.published, "source": self.source}, "goal": self.goal, "reached": self.reached,
                "probability": self.probability}


@dataclass(frozen=True)
class Outcome:
    """The figures, the first of them the headline; a table whose first row is its heading; what else there is to say and to see."""

    figures: list[Figure]
    table: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)

    @property
    def reached(self) -> bool:
        return all(figure.reached is not False for figure in self.figures)

    @property
    def judged(self) -> bool:
        """Whether any figure has something to reach."""
        return any(figure.reached is not None for figure in self.figures)

    def __str__(self) -> str:
        rows = table(self.table, indent="") if self.table else []
        return "\n".join([*rows, *map(str, self.figures), *self.notes, *map(str, self.pictures)])

    def to_json(self) -> dict[str, Any]:
        return {**self.figures[0].to_json(), "figures": [figure.to_json() for figure in self.figures], "table": self.table,
                "notes": self.notes, "pictures": [str(path) for path in self.pictures]}


def run(name: str, setting: Setting) -> Outcome:
    """Run the recipe called `name`. Raises InputError that offers the nearest."""
    chosen = recipes.choose(name)
    setting.out.mkdir(parents=True, exist_ok=True)
    with torch_threads():                     # some time plans with numbers of threads of their own
        outcome: Outcome = chosen.make(setting)
    return outcome


class Training(NamedTuple):
    """One seed's run and what its test part says of it."""

    run: Run
    result: Result

    @property
    def seconds(self) -> float:
        """Of training, its program being made included."""
        seconds = self.run.summary()["seconds"]
        return float(seconds["training"] + seconds["compiling"])


def trainings(setting: Setting, data: str, options: dict[str, Any], *, small: dict[str, Any] | None = None,
              folder: str = "seed") -> list[Training]:
    """Train on a named set once for each seed 0, 1, ..., and open its test part.

    In its short form one seed trains for one epoch on the embedded digits, with the options of `small` in place of those that need more.
    """
    source_data = chainrule.load("digits" if setting.short else data, data_dir=setting.data_dir)
    used = {**options, "epochs": 1, **(small or {})} if setting.short else options
    done = []
    for seed in range(1 if setting.short else setting.seeds):
        setting.say(f"{folder} {seed}")
        run = chainrule.train(source_data, **used, seed=seed, out=setting.out / f"{folder}-{seed}", progress=False)
        done.append(Training(run, run.test()))
    return done


def together(done: list[Training]) -> Interval:
    """Wilson's interval of the share of right answers of all seeds."""
    return wilson(sum(one.result.n - (one.result.errors or 0) for one in done), sum(one.result.n for one in done))


def seeds_table(several: Mapping[str, list[Training]], heading: str = "") -> list[list[str]]:
    """A row for each seed: its accuracy with the interval, best epoch, time and plan; of several works the name, below `heading`, too."""
    rows = [["seed", "accuracy %", "95 % Wilson", "best epoch", "training", "plan"]]
    names = [""]
    for name, done in several.items():
        for seed, one in enumerate(done):
            summary, own = one.run.summary(), together([one])
            rows.append([str(seed), f"{100 * share_right(one):.2f}", f"{100 * own.low:.2f} to {100 * own.high:.2f}",
                         str(summary["best"]["epoch"]), f"{one.seconds:.0f} s", summary["plan"]["name"]])
            names.append(name)
    return [[name or heading, *row] for name, row in zip(names, rows, strict=True)] if heading else rows


def p_of_improvement(pair: Pair) -> float:
    """The p of a comparison of two classifiers where the second has fewer errors; 1 where it has not."""
    assert pair.a_only_wrong is not None
    assert pair.b_only_wrong is not None
    return pair.p if pair.b_only_wrong < pair.a_only_wrong else 1.0


def share_right(one: Training) -> float:
    """The share of test cases that were answered rightly."""
    return 1 - (one.result.errors or 0) / one.result.n


def command(data: str, options: dict[str, Any]) -> str:
    """The command that trains so."""
    return f"chainrule train {data} " + " ".join(f"--{key.replace('_', '-')} {value}" for key, value in options.items())


def accuracy(setting: Setting, data: str, options: dict[str, Any], *, reach: float, source: str,
             small: dict[str, Any] | None = None) -> Outcome:
    """The mean test accuracy over the seeds beside the figure to reach; the interval is Wilson's over the answers of all seeds."""
    done = trainings(setting, data, options, small=small)
    accuracies, ends = [100 * share_right(one) for one in done], together(done)
    spread = f", standard deviation over seeds {stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    figure = Figure("test accuracy %", mean(accuracies), 100 * ends.low, 100 * ends.high, 100 * reach, source,
                    "none" if setting.short else "at least")
    return Outcome([figure], seeds_table({data: done}), [command(data, options) + spread])
