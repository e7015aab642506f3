"""Constraints: every move ends where they allow, and what was already inside is left alone."""

import pytest
import torch
from torch import nn

from chainrule.core import registry
from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.job.by_part import ByPart
from chainrule.job.rule_spec import make_rule


def after(constraint, rate=5.0, steps=3, net=None):
    torch.manual_seed(0)
    net = net or Net.of(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3)))
    rule = make_rule(registry.rules.choose("backprop"), Supervised(registry.losses.choose("cross-entropy").make()),
                     registry.optimizers.choose(f"sgd:rate={rate}"), None, ByPart.read(registry.constraints, constraint))
    learner = Learner(net, rule.init(net))
    for _ in range(steps):
        learner = Learner(*rule.step(*learner, Batch(torch.randn(20, 6), torch.randint(3, (20,))))[:2])
    return net.params


def test_max_norm_is_the_nearest_point_within_the_ball():
    """Second derivation: torch.renorm, on the unconstrained move."""
    free, kept = after("max-norm:1e9", steps=1), after("max-norm:0.7", steps=1)
    for name, p in free.items():
        expected = p if p.dim() < 2 else torch.renorm(p.detach(), 2, 0, 0.7)
        torch.testing.assert_close(kept[name], expected)
    assert any(float(p.norm(dim=1).max()) > 0.7 for p in free.values() if p.dim() > 1)


def test_max_norm_holds_for_the_kernels_of_a_convolution():
    torch.manual_seed(1)
    weight = torch.randn(5, 3, 2, 2)
    expected = torch.renorm(weight, 2, 0, 2.0)
    registry.constraints.choose("max-norm:2").make()({"weight": weight})
    torch.testing.assert_close(weight, expected)


def test_non_negative_cuts_weights_and_leaves_biases():
    params = after("non-negative")
    assert all(float(p.min()) >= 0 for p in params.values() if p.dim() > 1)
    assert any(float(p.min()) < 0 for p in params.values() if p.dim() == 1)


def test_a_length_of_zero_and_a_rule_that_moves_by_itself_are_refused():
    with pytest.raises(InputError, match="above 0"):
        registry.constraints.choose("max-norm:0").make()
    with pytest.raises(InputError, match="--constraint"):
        make_rule(registry.rules.choose("closedform"), None, registry.optimizers.choose("sgd"), None,
                  ByPart.read(registry.constraints, "max-norm"))
