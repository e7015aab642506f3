"""Members that learn by solvers go in turn, and each is then exactly the lone run with its numbers."""

import pytest
import torch
from made_members import alone, module, run
from tiny import part
from torch import Tensor

from chainrule.core.criterion import Solver, Supervised
from chainrule.core.events import Finished, Planned
from chainrule.core.net import Net
from chainrule.core.registry import losses, optimizers, rules
from chainrule.core.stage import Budget, Stage
from chainrule.data.feed.shuffled import Feed
from chainrule.engine.members import grouping as engine
from chainrule.engine.members.groups import Member
from chainrule.engine.position import Settings
from chainrule.engine.seat import Seat
from chainrule.engine.stop import Stop
from chainrule.job.rule_spec import make_rule

SQUARED = ("levenberg", "gauss-newton")
SOLVERS = [entry.name for entry in optimizers.entries() if isinstance(entry.make(), Solver)]


def member(name, seed, *, l2, batch=None, epochs=3, rows=30, dropout=0.0):
    """A member as a job makes it, by the spec of its solver, apart from others in seed and penalty."""
    loss = losses.choose("squared" if name.split(":")[0] in SQUARED else "cross-entropy").make()

    def make(numbers):
        return make_rule(rules.choose(f"backprop:l2={numbers.get('rule.l2', l2)}"), Supervised(loss), optimizers.choose(name), None)

    net = Net.of(module(seed, dropout=dropout))
    feed = Feed(part(rows), Tensor.float, batch=batch or rows, seed=seed, everything=batch is None)

    def validate(_):
        return {"loss": float(loss.each(net(feed.x), feed.y).mean())}

    seat = Seat([Stage(make({}), Budget(epochs=epochs))], net, lambda _: feed, validate,
                Settings(seed=seed, plan="eager", threads=1), None, Stop(), 0)
    return Member(seat, make, {"rule.l2": l2})


def family(name, **options):
    return [member(name, seed, l2=l2, **options) for seed, l2 in ((0, 0.0), (1, 0.1), (2, 0.1))]


def test_there_are_seven():
    assert set(SOLVERS) == {"lbfgs", "conjugate", "newton", "gauss-newton", "levenberg", "hessian-free", "kfac"}


@pytest.mark.parametrize("batch", [None, 8])
@pytest.mark.parametrize("name", SOLVERS)
def test_members_of_a_solver_are_the_lone_runs(name, batch, monkeypatch):
    """Though trying stacks would be worth it: a solver branches on numbers, and draws the seed of its surface."""
    monkeypatch.setattr(engine, "WORTH_STACKING_SECONDS", 0.0)
    told, together = run(family(name, batch=batch, dropout=0.2))
    lone, apart = alone(*family(name, batch=batch, dropout=0.2))
    begun = [module(seed).state_dict() for seed in range(3)]
    for i in range(3):
        assert all(torch.equal(together[i][key], apart[i][key]) for key in apart[i])
        assert not all(torch.equal(together[i][key], begun[i][key]) for key in apart[i])
        (planned,) = [event for event in told[i] if isinstance(event, Planned)]
        assert planned.reason.startswith("in turn: a step draws random numbers")
        (mine,), (theirs,) = ([event for event in events if isinstance(event, Finished)] for events in (told[i], lone[i]))
        assert mine.reason == theirs.reason
    assert not torch.equal(together[1]["0.weight"], together[2]["0.weight"])


def test_a_solver_among_others_is_no_kin_of_theirs(monkeypatch):
    """Members by different solvers have different states, and none is stacked with another's."""
    monkeypatch.setattr(engine, "WORTH_STACKING_SECONDS", 0.0)
    mixed = lambda: [member(name, 0, l2=0.1) for name in ("lbfgs", "lbfgs:memory=3", "newton")]
    _, together = run(mixed())
    _, apart = alone(*mixed())
    for mine, theirs in zip(together, apart, strict=True):
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    assert not torch.equal(together[0]["0.weight"], together[2]["0.weight"])
