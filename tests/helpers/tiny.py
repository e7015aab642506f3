"""The small nets, rules and data that the tests of the engine share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lone_seat import LoneSeat
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.descend import Descend, set_pace
from chainrule.core.errors import PlanRejected
from chainrule.core.net import Net
from chainrule.core.rule import Learner, Reads, Rule, Target
from chainrule.core.stage import Budget, Stage
from chainrule.core.tree import Tree
from chainrule.data.feed.shuffled import Feed
from chainrule.data.source import Part
from chainrule.engine import checkpoint
from chainrule.engine.plans import cache, planner, trial
from chainrule.engine.plans.eager import Advance
from chainrule.engine.plans.plan import Plan
from chainrule.engine.plans.signature import Signature
from chainrule.engine.position import Settings
from chainrule.engine.stop import Stop
from chainrule.losses.classic import cross_entropy, squared
from chainrule.optim.first_order import sgd
from chainrule.optim.schedules import cosine
from chainrule.rules.backprop import backprop

BUILD = Plan.build
PACE = {"done": 3.0, "each": 1.0, "whole": 99.0}   # in the middle of a stage, so that schedules have something to say


def dense(dropout: float = 0.0, norm: bool = False) -> Net:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(3, 6), *([nn.BatchNorm1d(6)] if norm else []), nn.Tanh(), nn.Dropout(dropout), nn.Linear(6, 2)]
    return Net.of(nn.Sequential(*layers))


def convolutional() -> Net:
    torch.manual_seed(0)
    return Net.of(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2)))


def descend(rate: float = 0.1, momentum: float = 0.9, schedule: bool = False) -> Descend:
    direction = partial(backprop, criterion=Supervised(cross_entropy()))
    return Descend(direction, sgd(rate=rate, momentum=momentum), schedule=cosine() if schedule else None)


def least_squares(rate: float = 0.1) -> Descend:
    return Descend(partial(backprop, criterion=Supervised(squared())), sgd(rate=rate))


class Bare:
    """What every rule says of itself, with nothing to remember; a test adds the step."""

    reads: Reads = "batch"
    target: Target = "any"
    tolerance = 1e-3

    def init(self, net: Net) -> Tree:
        return {}


def part(rows: int = 30, shape: tuple[int, ...] = (3,)) -> Part:
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(rows) % 2
    return Part(torch.randn(rows, *shape, generator=generator) + y.view(-1, *[1] * len(shape)), y, torch.arange(rows))


def chunk(k: int = 5, rows: int = 7, shape: tuple[int, ...] = (3,)) -> Batch:
    """k batches, stacked (k, rows, ...)."""
    data = part(k * rows, shape)
    assert data.y is not None
    return Batch(data.x.unflatten(0, (k, rows)), data.y.unflatten(0, (k, rows)))


def learner(net: Net, rule: Rule) -> Learner:
    state = rule.init(net)
    set_pace(state, PACE)
    return Learner(net, state)


def through_a_checkpoint(folder: Path, one: Learner, fresh: Learner) -> Learner:
    """`fresh`, its tensors being those that a checkpoint of `one` holds."""
    path = folder / "a.safetensors"
    checkpoint.write(path, checkpoint.pack({"net": one.net.tensors, "state": one.state}, "run"), {})
    stored, _ = checkpoint.read(path)
    for key, t in fresh.net.tensors.items():
        t.data.copy_(stored[f"run/net/{key}"])
    return Learner(fresh.net, checkpoint.unpack(stored, fresh.state, "run/state"))


def running(net: Net, rule: Rule, *, epochs: int | None = 3, steps: int | None = None, seconds: float | None = None, batch: int = 7,
            data: Part | None = None, under: Plan | None = None, validate: Callable[[Learner], dict[str, float]] | None = None,
            stages: Iterable[Stage] = (), store: object = None, stop: object = None, **settings: object) -> LoneSeat:
    """A run of one stage (or of `stages`), under a given plan unless `settings` say otherwise."""
    feed = Feed(data or part(), Tensor.float, batch=batch, seed=3)
    made = None if "plan" in settings else [{"since": 0, "made": asdict(under or Plan(threads=1))}]
    settings = {"made": made, **settings}

    def loss(_: Learner) -> dict[str, float]:
        assert feed.y is not None
        return {"loss": float(cross_entropy().each(net(feed.x), feed.y).mean())}

    stop = stop or Stop()
    several = list(stages) or [Stage(rule, Budget(epochs=epochs, steps=steps, seconds=seconds))]
    return LoneSeat(several, net, lambda _: feed, validate or loss, Settings(seed=4, **settings), store, stop, 0)  # type: ignore[arg-type]


class Ready:
    """A program that was compiled at once: it is ready from the `waits`th time on that it is asked."""

    seconds = seconds_of_writing = 0.0

    def __init__(self, waits: int = 0):
        self.waits = waits

    def ready(self) -> bool:
        self.waits -= 1
        return self.waits < 0


def planted(monkeypatch: pytest.MonkeyPatch, which: Callable[[Plan], bool], advance_of: Callable[[Rule], Advance]) -> None:
    """Replace what plans for which `which(plan)` holds do: `advance_of(rule)` is their advance."""

    def build(plan: Plan, rule: Rule, one: Learner, few: Batch, written: Any = None) -> Advance:
        return advance_of(rule) if which(plan) else BUILD(plan, rule, one, few)

    monkeypatch.setattr(Plan, "build", build)


def told_seconds(patch: pytest.MonkeyPatch, seconds: dict[str, float], making: dict[str, float]) -> list[str]:
    """Tell planners how long a step takes under each plan, and making one, so that what is chosen does not depend on the machine.

    Each plan is eager in truth; one that is not named cannot be made. Returns the names of plans as they are built and as they run.
    """
    used: list[str] = []

    def build(plan: Plan, rule: Rule, one: Learner, few: Batch, written: Ready | None = None) -> Callable[..., object]:
        if plan.name not in seconds:
            raise PlanRejected("cannot be made")
        used.append(plan.name)
        advance = BUILD(replace(plan, compiled=False, native=False, fused=1), rule, one, few)

        def named(learner: Learner, batches: Batch) -> object:
            used.append(plan.name)
            return advance(learner, batches)

        return named

    patch.setattr(Plan, "build", build)
    patch.setattr(Plan, "write", lambda plan, *_: Ready())
    patch.setattr(cache, "COMPILE_SECONDS", making)
    patch.setattr(trial, "_seconds_per_step", lambda advance, one, batches, device: (advance(one, batches), seconds[used[-1]])[1])
    as_told(patch)
    return used


def as_told(patch: pytest.MonkeyPatch) -> None:
    """Plans are not timed in turns beside what a test says of them, and every step has the usual number of operations."""
    patch.setattr(planner, "in_turns", lambda first, second, *_: (first.seconds_per_step, second.seconds_per_step))
    patch.setattr(planner, "signature", lambda *_: Signature(cache.USUAL_OPERATIONS, "a step"))
