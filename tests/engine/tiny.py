"""The small nets, rules and data that the tests of the engine share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial

import torch
from torch import Tensor, nn

from chainrule.core.losses import cross_entropy, squared
from chainrule.core.net import Net
from chainrule.core.rule import Batch, Budget, Descend, Learner, Rule, Stage
from chainrule.data.feed import Feed
from chainrule.data.source import Part
from chainrule.engine.plan import Plan
from chainrule.engine.train import Settings, Stop, Training
from chainrule.optim.optimizers import sgd
from chainrule.optim.schedules import cosine
from chainrule.rules.backprop import backprop


def dense(dropout: float = 0.0, norm: bool = False) -> Net:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(3, 6), *([nn.BatchNorm1d(6)] if norm else []), nn.Tanh(), nn.Dropout(dropout), nn.Linear(6, 2)]
    return Net.of(nn.Sequential(*layers))


def convolutional() -> Net:
    torch.manual_seed(0)
    return Net.of(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2)))


def descend(rate: float = 0.1, momentum: float = 0.9, schedule: bool = False, steps: int = 100) -> Descend:
    direction = partial(backprop, loss=cross_entropy())
    return Descend(direction, sgd(rate=rate, momentum=momentum), schedule=cosine() if schedule else None, steps=steps)


def least_squares(rate: float = 0.1) -> Descend:
    return Descend(partial(backprop, loss=squared()), sgd(rate=rate))


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
    return Learner(net, rule.init(net))


def running(net: Net, rule: Rule, *, epochs: int | None = 3, steps: int | None = None, seconds: float | None = None, batch: int = 7,
            data: Part | None = None, under: Plan | None = None, validate: Callable[[Learner], dict[str, float]] | None = None,
            stages: Iterable[Stage] = (), store: object = None, stop: object = None, **settings: object) -> Training:
    """A run of one stage (or of `stages`), under a given plan unless `settings` say otherwise."""
    feed = Feed(data or part(), Tensor.float, batch=batch, seed=3)
    made = None if "plan" in settings else [{"since": 0, "made": asdict(under or Plan(threads=1))}]
    settings = {"made": made, **settings}

    def loss(_: Learner) -> dict[str, float]:
        assert feed.y is not None
        return {"loss": float(cross_entropy().each(net(feed.x), feed.y).mean())}

    stop = stop or Stop()
    several = list(stages) or [Stage(rule, Budget(epochs=epochs, steps=steps, seconds=seconds))]
    return Training(several, net, lambda _: feed, validate or loss, Settings(seed=4, **settings), store, stop, 0)  # type: ignore[arg-type]
