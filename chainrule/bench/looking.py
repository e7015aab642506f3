"""What looking at a training costs: the same steps with looks at the default schedule and without, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from chainrule.bench.harness import Spread, aligned, in_turns, ratio, tell, verdict
from chainrule.core.batch import Batch
from chainrule.core.events import Finished, Looked, Planned
from chainrule.core.looking import Observer
from chainrule.core.rule import Learner, Rule
from chainrule.core.text import counted
from chainrule.core.tree import clone
from chainrule.data.load import load
from chainrule.data.source import Source
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.workflows.observed import observed

TARGET = 1.02
TRIAL_STEPS = 300


@dataclass(frozen=True)
class Work:
    """A net, its data and what trains it."""

    name: str
    source: Callable[[], Source]
    options: Options


def pictures(rows: int = 2048) -> Source:
    """Noise of the size of CIFAR-10: what a step costs does not depend on what is in it."""
    generator = np.random.default_rng(0)
    return load((generator.random((rows, 3, 32, 32)).astype(np.float32), np.arange(rows) % 10))


WORKS = (
    Work("784-30-10, batch 10", lambda: load("mnist"), Options(net="mlp:hidden=30,activation=sigmoid", batch=10, optimizer="sgd:rate=0.5")),
    Work("LeNet, batch 50", lambda: load("mnist"), Options(net="lenet", batch=50, optimizer="sgd:rate=0.05,momentum=0.9")),
    Work("LSTM of 64, 50 steps, batch 20", lambda: load("adding:length=50"), Options(net="lstm:hidden=64,answer=last", batch=20,
                                                                                     optimizer="adam:rate=0.001")),
    Work("ResNet-20, batch 128", pictures, Options(net="resnet:depth=20", batch=128, optimizer="sgd:rate=0.1,momentum=0.9")),
)


@dataclass
class Timed:
    """An observer whose looks are timed by the processor."""

    observer: Observer
    seconds: float = 0.0

    def look(self, learner: Learner, rule: Rule, batch: Batch, number: int) -> dict[str, Any]:
        began = time.process_time()
        try:
            return self.observer.look(learner, rule, batch, number)
        finally:
            self.seconds += time.process_time() - began


@dataclass
class Took:
    """Seconds of so many steps, by the clock and of the processor, and what of these looks took; how many looks; the weights afterwards."""

    seconds: float
    processor: float
    inside: float
    looks: int
    weights: dict[str, Tensor]


def train(work: Work, source: Source, steps: int, threads: int, look: str | None) -> Took:
    """Train from the chosen plan to the end."""
    options = replace(work.options, steps=steps, plan="eager", precision="fp32", threads=threads, device="cpu", look=look)
    job = observed(build(source, options))
    assert job.observer is not None
    job.observer = timed = Timed(job.observer)
    began, used, looks, ended = time.perf_counter(), time.process_time(), 0, (0.0, 0.0)
    for event in job.events():
        if isinstance(event, Planned):
            began, used = time.perf_counter(), time.process_time()
        looks += isinstance(event, Looked)
        if isinstance(event, Finished):
            ended = time.perf_counter(), time.process_time()
    return Took(ended[0] - began, ended[1] - used, timed.seconds, looks, clone(job.net.tensors))


def measure(work: Work, seconds: float, repeats: int, threads: int) -> tuple[list[str], Spread]:
    """A row of the table, and the processor's time with that of looks by the time without it, which no other program disturbs."""
    source = work.source()
    train(work, source, TRIAL_STEPS, threads, "off")
    steps = max(TRIAL_STEPS, int(seconds * TRIAL_STEPS / train(work, source, TRIAL_STEPS, threads, "off").seconds))
    sides: dict[str, Any] = {"with": lambda: train(work, source, steps, threads, None),
                             "without": lambda: train(work, source, steps, threads, "off")}
    took = in_turns(sides, repeats)
    times = {name: [one.seconds for one in each] for name, each in took.items()}
    used = {name: [one.processor for one in each] for name, each in took.items()}
    cost = Spread.of([1 + one.inside / (one.processor - one.inside) for one in took["with"]])
    first, second = took["with"][0].weights, took["without"][0].weights
    same = all(torch.equal(first[name], t) for name, t in second.items())
    return [work.name, f"{steps}", f"{Spread.of(times['without']).shown('.2f')}", f"{took['with'][-1].looks}",
            *(ratio(one["with"], one["without"]).shown(".3f") for one in (times, used)), cost.shown(".4f"),
            "the same bits" if same else "DIFFERENT"], cost


def main(repeats: int = 5, threads: Annotated[int, typer.Option(help="Processor threads.")] = 1,
         seconds: Annotated[float, typer.Option(help="That each run lasts, about.")] = 30.0,
         only: Annotated[str, typer.Option(help="Part of a work's name; all where left out.")] = "", record: bool = False) -> None:
    """What looking costs at the default schedule, on an MLP, LeNet, an LSTM and ResNet-20; at most 2 %."""
    rows, lines = [["work", "steps", "s without", "looks", "with / without, wall", "processor", "by looks alone", "weights"]], []
    for work in WORKS:
        if only.lower() in work.name.lower():
            row, cost = measure(work, seconds, repeats, threads)
            rows.append(row)
            lines.append(f"{work.name}: {cost.shown('.3f')}; {verdict(cost.middle <= TARGET, f'at most {TARGET}')}")
    conditions = f"{repeats} rounds in turns, {counted(threads, 'thread')}, eager, float32, validation at the end of epochs"
    tell("looking", [conditions, "", *aligned(rows), "", *lines], record)
