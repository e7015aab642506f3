"""What the engine costs over a bare loop written by hand for the same plan: eager, the same batches in the same order."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
import typer
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.bench.harness import Spread, aligned, in_turns, ratio, tell, verdict
from chainrule.core.events import Evaluated, Planned
from chainrule.core.stage import Budget, Stage
from chainrule.core.text import counted
from chainrule.core.tree import clone
from chainrule.data.load import load
from chainrule.data.source import Source
from chainrule.engine.position import Settings
from chainrule.engine.train import train
from chainrule.job.build import build
from chainrule.job.job import Job
from chainrule.job.options import Options

TARGET = 1.03


class Took(NamedTuple):
    """Wall and processor seconds a step, and the loss of the run's rows on average."""

    wall: float
    processor: float
    loss: float


@dataclass(frozen=True)
class Work:
    """One net to train by plain gradient descent. `hand` is its loss as one would write it with the targets ready for it."""

    name: str
    net: str
    loss: str
    batch: int
    rate: float
    steps: int
    hand: Callable[[Tensor, Tensor], Tensor]
    one_hot: bool = False


def half_squared(outputs: Tensor, wanted: Tensor) -> Tensor:
    return 0.5 * (outputs - wanted).square().sum(1).mean()


WORKS = (
    Work("LeNet, batch 50", "lenet", "cross-entropy", 50, 0.05, 40, F.cross_entropy),
    Work("784-30-10, batch 10", "mlp:hidden=30,activation=sigmoid,output=sigmoid", "squared", 10, 3.0, 2000, half_squared, one_hot=True),
)


class Clock:
    """Both clocks at once: on a machine that others use, processor time is the steadier."""

    def __init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def took(self, steps: int, loss: float) -> Took:
        return Took((time.perf_counter() - self.wall) / steps, (time.process_time() - self.processor) / steps, loss)


class Sides:
    """The same work done three ways, from the same weights, over the same batches."""

    def __init__(self, work: Work, source: Source, threads: int):
        self.work, self.threads = work, threads
        self.job: Job = build(source, Options(net=work.net, loss=work.loss, batch=work.batch, optimizer=f"sgd:rate={work.rate}",
                                              steps=work.steps, device="cpu"))
        self.feed = self.job.feed()
        self.start = clone(self.job.net.tensors)
        y = self.feed.y
        assert y is not None
        self.targets = F.one_hot(y, self.job.data.outputs).float() if work.one_hot else y

    def engine(self) -> Took:
        """`engine.train`, timed from the chosen plan to the end; validation is a number that falls, so that the last weights stay."""
        self._fresh()
        settings = Settings(plan="eager", precision="fp32", threads=self.threads)
        stage = Stage(self.job.reading(self.job.rule), Budget(steps=self.work.steps))
        clock, total, counted = Clock(), 0.0, 0
        falling = itertools.count(0, -1)
        for event in train([stage], self.job.net, lambda _: self.feed, lambda _: {"loss": next(falling)}, settings):
            if isinstance(event, Planned):
                clock = Clock()
            elif isinstance(event, Evaluated):
                rows = self._rows(event.step)
                total, counted = total + event.train["loss"] * (rows - counted), rows
        return clock.took(self.work.steps, total / counted)

    def by_hand(self) -> Took:
        """The quickest loop one would write: `autograd.grad`, then one list kernel."""
        module = self._fresh()
        params: list[Tensor] = list(module.parameters())
        losses = []
        clock = Clock()
        for x, y in self._batches():
            loss = self.work.hand(module(x), y)
            slopes = torch.autograd.grad(loss, params)
            with torch.no_grad():
                torch._foreach_add_(params, slopes, alpha=-self.work.rate)
            losses.append(loss.detach() * len(x))
        return clock.took(self.work.steps, float(torch.stack(losses).sum()) / self._rows(self.work.steps))

    def torch_optim(self) -> Took:
        """The loop of the tutorials: `zero_grad`, `backward`, `torch.optim.SGD`."""
        module = self._fresh()
        optimizer = torch.optim.SGD(module.parameters(), lr=self.work.rate)
        losses = []
        clock = Clock()
        for x, y in self._batches():
            optimizer.zero_grad()
            loss = self.work.hand(module(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach() * len(x))
        return clock.took(self.work.steps, float(torch.stack(losses).sum()) / self._rows(self.work.steps))

    def _rows(self, steps: int) -> int:
        """How many rows so many steps read."""
        epochs, rest = divmod(steps, self.feed.full + (self.feed.tail > 0))
        return epochs * (self.feed.full * self.feed.batch + self.feed.tail) + rest * self.feed.batch

    def _fresh(self) -> nn.Module:
        torch.set_num_threads(self.threads)
        module = self.job.net.module
        module.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, t in self.job.net.tensors.items():
                t.copy_(self.start[name])
        return module.train()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Gathered one at a time from the resident set, in the order the engine reads them."""
        feed, left, epoch = self.feed, self.work.steps, 0
        sizes = [feed.batch] * feed.full + [feed.tail] * (feed.tail > 0)
        while left:
            for rows in feed.order(epoch).split(sizes)[:left]:
                yield self.job.data.ready(feed.x.index_select(0, rows)), self.targets.index_select(0, rows)
            left, epoch = left - min(left, len(sizes)), epoch + 1


def measure(work: Work, source: Source, repeats: int, threads: int) -> tuple[list[list[str]], Spread]:
    """Rows of the table, and the engine's wall time over the loop by hand."""
    sides = Sides(work, source, threads)
    took = in_turns({"engine": sides.engine, "by hand": sides.by_hand, "torch.optim": sides.torch_optim}, repeats)
    wall, processor = ({name: [getattr(t, clock) for t in each] for name, each in took.items()} for clock in ("wall", "processor"))
    rows = []
    for name, each in took.items():
        costs = ["", ""] if name == "engine" else [ratio(c["engine"], c[name]).shown(".3f") for c in (wall, processor)]
        rows.append([f"{work.name}: {name}", Spread.of(wall[name]).shown(".0f", 1e6), *costs, f"{each[-1].loss:.6f}"])
    return rows, ratio(wall["engine"], wall["by hand"])


def main(repeats: int = 7, threads: Annotated[int, typer.Option(help="Processor threads, on both sides.")] = 1,
         only: Annotated[str, typer.Option(help="Part of a work's name; all where left out.")] = "", record: bool = False) -> None:
    """The engine against a bare loop: LeNet at batch 50 and 784-30-10 at batch 10 on MNIST; at most 3 % more."""
    source = load("mnist")
    works = [w for w in WORKS if only.lower() in w.name.lower()]
    rows = [["work", "us a step, median (least to most)", "engine / it, wall", "engine / it, processor", "mean loss"]]
    lines = []
    for work in works:
        measured, over = measure(work, source, repeats, threads)
        rows += measured
        lines.append(f"{work.name}: engine / by hand {over.shown('.3f')}; {verdict(over.middle <= TARGET, f'at most {TARGET}')}")
    steps = ", ".join(f"{w.steps} steps of {w.name}" for w in works)
    tell("overhead", [f"{repeats} rounds in turns, {counted(threads, 'thread')}, eager, float32, no validation; {steps}", "",
                      *aligned(rows), "", *lines], record)
