"""A training step of each convolutional family by the fastest plan that serves it, beside the plainest loop of torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import torch
import typer
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.bench.harness import Spread, aligned, in_turns, ratio, tell, verdict
from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised, has_heads
from chainrule.core.errors import InputError, PlanRejected, suggest
from chainrule.core.net import Net
from chainrule.core.registry import losses, nets, optimizers, rules
from chainrule.core.rule import Learner
from chainrule.core.text import counted
from chainrule.core.threads import torch_threads
from chainrule.core.tree import clone
from chainrule.engine.plans.eager import copied
from chainrule.engine.plans.plan import Plan, arrange
from chainrule.engine.plans.trial import Trial, measure
from chainrule.job.rule_spec import make_rule

TARGET = 1.0
CLASSES = 10
RATE, MOMENTUM = 0.01, 0.9
PLANS = ("eager", "channels-last", "native")


@dataclass(frozen=True)
class Work:
    """A family as it is named, the shape of its pictures, and how many of them a step reads."""

    net: str
    shape: tuple[int, ...] = (3, 32, 32)
    batch: int = 32


WORKS = {work.net.partition(":")[0]: work for work in (
    Work("lenet", (1, 28, 28), 50), Work("lenet5", (1, 28, 28), 50), Work("convnet"), Work("alexnet", batch=16), Work("vgg", batch=8),
    Work("nin"), Work("all-cnn"), Work("maxout", batch=8), Work("dsn"), Work("fitnet"), Work("googlenet", batch=8),
    Work("bn-inception", batch=8), Work("inception-v3", (3, 75, 75), 4), Work("plain:depth=20"), Work("resnet:depth=20"),
    Work("fractalnet", batch=8), Work("highway"), Work("densenet:depth=40", batch=16), Work("capsnet", (1, 28, 28), 8),
    Work("local", (1, 28, 28), 50), Work("resnet1d", (3, 128), 32),
)}


class Sides:
    """The same steps, gradient descent with momentum on cross-entropy, from the same weights over the same batches."""

    def __init__(self, work: Work, steps: int, threads: int):
        torch.manual_seed(0)
        self.threads = threads
        self.net = Net.of(nets.choose(work.net).make(work.shape, CLASSES))
        self.batches = Batch(torch.randn(steps, work.batch, *work.shape), torch.randint(CLASSES, (steps, work.batch)))
        self.rule = make_rule(rules.choose("backprop"), Supervised(losses.choose("cross-entropy").make()),
                              optimizers.choose(f"sgd:rate={RATE},momentum={MOMENTUM}"), None)
        self.learner = Learner(self.net, clone(self.rule.init(self.net)))

    def trials(self) -> tuple[dict[str, Trial], dict[str, str]]:
        """The plans that gave eager's numbers, by name, and why the others did not come to that."""
        admitted, refused = {}, {}
        for name in PLANS:
            plan = replace(Plan.parse(name), threads=self.threads)
            try:
                with torch_threads():
                    admitted[name] = measure(self.rule, self.learner, self.batches, plan, 0,
                                             agree_with=None if name == "eager" else Plan(threads=self.threads))
            except PlanRejected as error:
                refused[name] = str(error)
        return admitted, refused

    def fresh(self) -> Learner:
        """A copy of the learner, for one side to train."""
        return copied(self.learner)

    def ours(self, trial: Trial, learner: Learner) -> Callable[[], float]:
        """Seconds a step of a plan."""
        arrange(learner, trial.plan.channels_last)

        def run() -> float:
            with torch_threads(self.threads):
                began = time.perf_counter()
                trial.advance(learner, self.batches)
                return (time.perf_counter() - began) / len(self.batches.x)

        return run

    def torch(self, module: nn.Module) -> Callable[[], float]:
        """Seconds a step of the loop of the tutorials: `zero_grad`, `backward`, `torch.optim.SGD`."""
        optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=MOMENTUM)
        several = has_heads(module)

        def loss_of(x: Tensor, y: Tensor) -> Tensor:
            if not several:
                return F.cross_entropy(module(x), y)
            outputs, heads = module.with_heads(x, y)  # type: ignore[operator]
            loss = F.cross_entropy(outputs, y)
            for head in heads.values():
                away = None if head.target is None else (head.outputs - head.target).square().flatten(1).sum(1).mean()
                loss = loss + head.weight * (F.cross_entropy(head.outputs, y) if away is None else away)
            return loss

        def run() -> float:
            with torch_threads(self.threads):
                began = time.perf_counter()
                for x, y in zip(self.batches.x, self.batches.y, strict=True):
                    optimizer.zero_grad()
                    loss_of(x, y).backward()
                    optimizer.step()
                return (time.perf_counter() - began) / len(self.batches.x)

        return run


def raced(name: str, repeats: int, steps: int, threads: int) -> tuple[list[str], Spread, str]:
    """The row of a family, its fastest plan's time over torch's, and why no native program serves it, where none does."""
    sides = Sides(WORKS[name], steps, threads)
    admitted, refused = sides.trials()
    fastest = min(admitted, key=lambda plan: admitted[plan].seconds_per_step)
    took = in_turns({"ours": sides.ours(admitted[fastest], sides.fresh()), "torch": sides.torch(sides.fresh().net.module.train())}, repeats)
    over = ratio(took["ours"], took["torch"])
    row = [WORKS[name].net, f"{sides.net.count():,}", str(WORKS[name].batch), fastest, Spread.of(took["ours"]).shown(".1f", 1e3),
           Spread.of(took["torch"]).shown(".1f", 1e3), over.shown(".2f")]
    return row, over, refused.get("native", "")


def main(only: Annotated[str, typer.Option(help="Families, joined by commas; all where left out.")] = "", repeats: int = 5,
         steps: Annotated[int, typer.Option(help="Steps a turn.")] = 3,
         threads: Annotated[int, typer.Option(help="Processor threads, on both sides.")] = 1, record: bool = False) -> None:
    """A training step of each convolutional family beside the plainest loop of torch: never slower."""
    names = [name.strip() for name in only.split(",")] if only else list(WORKS)
    for name in names:
        if name not in WORKS:
            raise InputError(f"There is no family called '{name}' here. {suggest(name, WORKS)}")
    rows = [["family", "weights", "batch", "plan", "ours, ms a step", "torch, ms a step", "ours / torch"]]
    slower: list[str] = []
    without: list[str] = []
    for name in names:
        row, over, reason = raced(name, repeats, steps, threads)
        rows.append(row)
        slower += [name] if over.low > TARGET else []
        without += [f"no native program for {name}: {reason}"] if reason else []
    tell("families", [f"{repeats} rounds in turns of {steps} steps, {counted(threads, 'thread')}, float32, made-up pictures", "",
                      *aligned(rows), "", *without,
                      f"slower than torch in every round: {', '.join(slower) or 'none'}; {verdict(not slower, 'none')}"], record)
