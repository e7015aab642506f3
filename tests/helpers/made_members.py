"""Members as the tests of stacks make them, run them, and run each alone."""

from __future__ import annotations

from functools import partial

import torch
from tiny import part
from torch import Tensor, nn

from chainrule.core.criterion import Supervised
from chainrule.core.descend import Descend
from chainrule.core.events import Finished
from chainrule.core.net import Net
from chainrule.core.stage import Budget, Stage
from chainrule.data.feed.shuffled import Feed
from chainrule.engine.members.grouping import train_members
from chainrule.engine.members.groups import Member
from chainrule.engine.position import Settings
from chainrule.engine.seat import Seat
from chainrule.engine.stop import Stop
from chainrule.engine.train import train_seat
from chainrule.losses.classic import cross_entropy
from chainrule.optim.first_order import adam, adamw, sgd
from chainrule.optim.schedules import cosine
from chainrule.rules.backprop import backprop

DEFAULTS = {"rate": 0.1, "momentum": 0.9, "decay": 0.0, "l1": 0.0, "l2": 0.0}


def make_rule(optimizer=sgd, schedule=False, **own):
    """A rule as a job makes it: by the numbers of its optimizer and its penalties."""
    given = {**DEFAULTS, **own}

    def make(numbers):
        n = {**given, **numbers}
        options = {"rate": n["rate"], "decay": n["decay"]} | ({"momentum": n["momentum"]} if optimizer is sgd else {})
        return Descend(partial(backprop, criterion=Supervised(cross_entropy()), l1=n["l1"], l2=n["l2"]), optimizer(**options),
                       schedule=cosine() if schedule else None)

    return make, given


def module(seed, hidden=6, dropout=0.0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, hidden), nn.Tanh(), nn.Dropout(dropout), nn.Linear(hidden, 2))


def member(seed=0, *, epochs=3, steps=None, rows=30, batch=7, patience=None, net=None, store=None, stop=None, hidden=6, dropout=0.0,
           optimizer=sgd, schedule=False, data=None, settings=None, **numbers):
    make, given = make_rule(optimizer, schedule, **numbers)
    net = Net.of(net or module(seed, hidden, dropout))
    data = data or part(rows)
    feed = Feed(data, Tensor.float, batch=batch, seed=seed)

    def loss(_):
        return {"loss": float(cross_entropy().each(net(feed.x), feed.y).mean())}

    ours = Settings(**{"seed": seed, "plan": "eager", "threads": 1, "patience": patience, "save_every": 0.0 if store else None,
                       **(settings or {})})
    seat = Seat([Stage(make({}), Budget(epochs=epochs, steps=steps))], net, lambda _: feed, loss, ours, store, stop or Stop(), 0)
    return Member(seat, make, given)


def run(members):
    """The events of each member, and its weights."""
    told: list[list] = [[] for _ in members]
    for i, event in train_members(members):
        told[i].append(event)
    return told, [{k: t.detach().clone() for k, t in m.seat.net.tensors.items()} for m in members]


def alone(*members):
    told, weights = [], []
    for m in members:
        told.append(list(train_seat(m.seat)))
        weights.append({k: t.detach().clone() for k, t in m.seat.net.tensors.items()})
    return told, weights


def assert_near(mine, theirs, tolerance=1e-5):
    for a, b in zip(mine, theirs, strict=True):
        for name in a:
            torch.testing.assert_close(a[name], b[name], rtol=tolerance, atol=tolerance)


def finished(told):
    return [next(e for e in events if isinstance(e, Finished)) for events in told]


ONE = part(30)
VARIANTS = {
    "seeds": [{"seed": s} for s in range(3)],
    "seeds that read one part": [{"seed": s, "data": ONE} for s in range(2)],
    "rates": [{"rate": r} for r in (0.01, 0.1, 0.5)],
    "penalties": [{"l1": a, "l2": b} for a, b in ((0.0, 0.0), (0.01, 0.0), (0.003, 0.1))],
    "decays": [{"decay": d} for d in (0.0, 0.1)],
    "momenta": [{"momentum": m} for m in (0.5, 0.9)],
    "adam rates": [{"rate": r, "decay": d, "optimizer": adam} for r, d in ((0.01, 0.0), (0.1, 0.1))],
    "adamw": [{"rate": r, "decay": d, "optimizer": adamw} for r, d in ((0.01, 0.0), (0.1, 0.1))],
    "scheduled rates": [{"rate": r, "schedule": True, "seed": s} for s, r in enumerate((0.05, 0.2))],
}
