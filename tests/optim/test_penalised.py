"""What compares values compares those of the objective whose slope it follows: the penalties of a rule are part of it."""

import math

import pytest
import torch
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.descend import prepared
from chainrule.core.net import Net
from chainrule.core.registry import constraints, losses, optimizers, rules
from chainrule.core.rule import Learner
from chainrule.core.tree import clone, leaves
from chainrule.engine.members.stacked import Together, stack
from chainrule.engine.plans.microbatch import Accumulated
from chainrule.job.by_part import ByPart
from chainrule.job.rule_spec import make_rule

WEIGHTS, L1, L2 = [4.0, -3.0, 0.5], 0.3, 2.0
CURVED, TARGET = [1.0, 3.0, 0.2], [3.0, 1.0, -2.0]  # the loss is the sum of c (w - t)^2 / 2: a bowl, away from zero
COMPARING = ["bold-driver:rate=0.05,up=1.5", "bold-driver:rate=0.7", "irprop:rate=0.4", "irprop:rate=0.2,up=1.6,down=0.3"]


class Bowl(nn.Module):
    """Outputs root(c) w, whose half squared distance to root(c) t is the bowl: (n, any) -> (n, 3). Plus an idle bias."""

    def __init__(self, weights=WEIGHTS):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([weights], dtype=torch.double))
        self.bias = nn.Parameter(torch.tensor([5.0], dtype=torch.double))

    def forward(self, x):
        return (self.weight * torch.tensor([CURVED], dtype=torch.double).sqrt()).expand(len(x), -1) + 0 * self.bias


def batch(n=1):
    target = torch.tensor(TARGET, dtype=torch.double) * torch.tensor(CURVED, dtype=torch.double).sqrt()
    return Batch(torch.zeros(n, 1, dtype=torch.double), target.expand(n, -1).clone())


def rule_of(spec, penalties=f"l1={L1},l2={L2}", **more):
    chosen = rules.choose(f"backprop:{penalties}" if penalties else "backprop")
    return make_rule(chosen, Supervised(losses.choose("squared").make()), optimizers.choose(spec), None, **more)


def taken(rule, steps=25, module=None, n=1):
    """The weights after every step (steps, 3), and the losses that were reported."""
    net = Net.of(module or Bowl())
    state, places, reported = rule.init(net), [], []
    for _ in range(steps):
        net, state, report = rule.step(net, state, batch(n))
        places.append(net.params["weight"].detach().flatten().clone())
        reported.append(float(report["loss"]))
    assert float(net.params["bias"].detach()) == 5.0
    return torch.stack(places), reported


def data_loss(w):
    return sum(c * (v - t) ** 2 / 2 for c, t, v in zip(CURVED, TARGET, w, strict=True))


def height(w, l1=L1, l2=L2):
    return data_loss(w) + sum(l1 * abs(v) + l2 * v * v / 2 for v in w)


def slope(w, l1=L1, l2=L2):
    return [c * (v - t) + l2 * v + l1 * math.copysign(1.0, v) for c, t, v in zip(CURVED, TARGET, w, strict=True)]


def by_bold_driver(value, steps, rate=0.1, up=1.05, down=0.5):
    """The step is taken, looked at by `value`, and kept or taken anew from where it began."""
    def moved(w):
        return [v - rate * g for v, g in zip(w, slope(w), strict=True)]

    best, there = WEIGHTS, moved(WEIGHTS)
    places = [there]
    for _ in range(steps - 1):
        if value(there) <= value(best):
            best, rate = there, rate * up
        else:
            rate *= down
        there = moved(best)
        places.append(there)
    return places


def by_irprop(value, steps, rate, up=1.2, down=0.5):
    w, size, before, move, last, places = list(WEIGHTS), [rate] * 3, [0.0] * 3, [0.0] * 3, math.inf, []
    for _ in range(steps):
        now, g = value(w), slope(w)
        for i in range(3):
            turn = before[i] * g[i]
            size[i] *= up if turn > 0 else down if turn < 0 else 1.0
            if turn < 0:
                w[i] -= move[i] if now > last else 0.0
                g[i] = 0.0
            move[i] = -size[i] * math.copysign(1.0, g[i]) if g[i] else 0.0
            w[i] += move[i]
            before[i] = g[i]
        last = now
        places.append(list(w))
    return places


def by_hand(spec, value, steps=25):
    chosen = optimizers.choose(spec)
    return torch.tensor({"bold-driver": by_bold_driver, "irprop": by_irprop}[chosen.entry.name](value, steps, **chosen.options),
                        dtype=torch.double)


def test_the_cases_name_every_optimizer_that_compares():
    ours = {entry.name for entry in optimizers.entries() if entry.traits.compares}
    assert ours == {spec.split(":")[0] for spec in COMPARING} == {"bold-driver", "irprop"}


@pytest.mark.parametrize("spec", COMPARING)
def test_steps_down_a_penalised_bowl_are_those_by_hand(spec):
    """The reported loss stays without the penalty; by it alone, every one of these specs would go elsewhere."""
    places, reported = taken(rule_of(spec))
    torch.testing.assert_close(places, by_hand(spec, height), rtol=1e-10, atol=1e-12)
    assert (places - by_hand(spec, data_loss)).abs().max() > 1e-2
    assert reported[0] == pytest.approx(data_loss(WEIGHTS))
    assert reported[-1] == pytest.approx(data_loss(places[-2].tolist()))


def test_a_bold_driver_ends_at_the_bottom_of_the_penalised_bowl():
    """Which is, from the slope of every weight: the soft threshold of c t, divided by c + l2."""
    places, _ = taken(rule_of("bold-driver:rate=0.05"), steps=300)
    bottom = [math.copysign(max(abs(c * t) - L1, 0.0), t) / (c + L2) for c, t in zip(CURVED, TARGET, strict=True)]
    torch.testing.assert_close(places[-1], torch.tensor(bottom, dtype=torch.double), rtol=0, atol=1e-4)


@pytest.mark.parametrize("spec", COMPARING)
def test_the_penalty_comes_along_wherever_the_rule_is_wrapped_split_or_stacked(spec):
    straight, _ = taken(rule_of(spec))
    torch.testing.assert_close(taken(prepared(rule_of(spec), lambda x: x + 1))[0], straight)
    torch.testing.assert_close(taken(Accumulated(rule_of(spec), 2), n=4)[0], straight, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(taken(rule_of(spec, constraint=ByPart.read(constraints, "max-norm:100")))[0], straight)

    def make(numbers):
        chosen = rules.choose("backprop:l1=0.1,l2=0.1")
        own = {name.removeprefix("rule."): value for name, value in numbers.items()}
        return make_rule(type(chosen)(chosen.entry, {**chosen.options, **own}), Supervised(losses.choose("squared").make()),
                         optimizers.choose(spec), None)

    penalties = [(L1, L2), (0.0, 0.5), (0.1, 0.0)]
    together = Together(make, [{"rule.l1": l1, "rule.l2": l2} for l1, l2 in penalties], shared=True)
    learner = stack([Learner(net := Net.of(Bowl()), make({}).init(net)) for _ in penalties], together)
    for _ in range(12):
        learner = Learner(*together.step(*learner, batch())[:2])
    for i, (l1, l2) in enumerate(penalties):
        alone, _ = taken(rule_of(spec, f"l1={l1},l2={l2}"), steps=12)
        torch.testing.assert_close(learner.net.params["weight"][i].flatten(), alone[-1], rtol=1e-10, atol=1e-12)


def test_what_no_one_compares_or_no_one_asked_for_costs_nothing(monkeypatch):
    """No penalty is made for optimizers that follow the slope alone, nor where none was asked for."""
    assert rule_of("sgd").penalty is rule_of("adam").penalty is rule_of("bold-driver", "").penalty is None
    assert rule_of("bold-driver", "clip=1").penalty is None
    assert rule_of("irprop", "l2=0.1,clip=1").penalty is not None
    params = clone(Net.of(Bowl()).params)
    cost = rule_of("irprop").penalty(params)
    assert float(cost) == pytest.approx(height(WEIGHTS) - data_loss(WEIGHTS))
    assert len(leaves(params)) == 2
