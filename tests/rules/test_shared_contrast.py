"""Contrastive divergence of machines that share weights: their slope by sums over places written out, and the share of units that is on."""

import pytest
import torch
from torch.nn import functional as F

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import nets, optimizers, rules
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.job.rule_spec import make_rule
from chainrule.rules.contrastive_divergence import contrast_of_shared


def machine():
    torch.manual_seed(0)
    net = Net.of(nets.choose("conv-rbm:filters=2,kernel=2,pool=2").make((2, 5, 5), 0).double())
    with torch.no_grad():
        for p in net.params.values():
            p.normal_()
    return net


def test_the_slope_is_the_mean_over_places_of_what_units_see():
    net, (data, model) = machine(), torch.rand(2, 3, 2, 5, 5, dtype=torch.float64)
    even = torch.full((3,), 1 / 3, dtype=torch.float64)
    slope = contrast_of_shared(net, data, model, (even, even), cost=0.1)
    expected = {name: torch.zeros_like(p) for name, p in net.params.items()}
    for sign, rows in ((-1, data), (1, model)):
        on = net.call("hidden", rows).detach()
        for i in range(4):
            for j in range(4):
                seen = rows[:, :, i : i + 2, j : j + 2]
                expected["weight"] += sign * torch.einsum("nk,ncab->kcab", on[:, :, i, j], seen) / 3 / 16
        expected["hidden_bias"] += sign * on.sum((2, 3)).mean(0) / 16
        expected["visible_bias"] += sign * rows.sum((2, 3)).mean(0) / 16
    expected["weight"] += 0.1 * net.params["weight"].detach()
    for name, exact in expected.items():
        torch.testing.assert_close(slope[name], exact)


@pytest.mark.parametrize("net", ["conv-rbm:filters=4,kernel=3", "rbm:hidden=9"])
def test_hidden_units_come_to_be_on_as_often_as_is_asked(net):
    torch.manual_seed(0)
    shape = (1, 8, 8)
    x = (torch.rand(200, *shape) < 0.3).float()
    x = x if net.startswith("conv") else x.flatten(1)
    learner = Net.of(nets.choose(net).make(shape, 0))
    rule = make_rule(rules.choose("divergence:sparsity=0.06,sparsity_cost=20"), None, optimizers.choose("sgd:rate=0.2"), None)
    state = rule.init(learner)
    for _ in range(300):
        learner, state, _ = rule.step(learner, state, Batch(x))
    assert float(learner.call("hidden", x).mean()) == pytest.approx(0.06, abs=0.02)


@pytest.mark.parametrize("options", ["sparsity=0", "sparsity=1.5", "sparsity=0.1,sparsity_cost=-1"])
def test_a_share_that_is_none_is_refused(options):
    with pytest.raises(InputError, match="divergence:sparsity"):
        make_rule(rules.choose(f"divergence:{options}"), None, optimizers.choose("sgd"), None)


def test_persistent_chains_are_refused_for_shared_weights():
    rule = make_rule(rules.choose("divergence:persistent=yes"), None, optimizers.choose("sgd"), None)
    with pytest.raises(InputError, match="Leave out persistent"):
        rule.init(machine())


def test_filters_part_from_one_another():
    """From weights that drive units alike, as those of a hundredth do, 15 of these 16 become one blurred stroke."""
    job = build(cr.load("digits"), Options(net="conv-rbm:filters=16,kernel=5", optimizer="sgd:rate=0.5,momentum=0.5", batch=20, epochs=4,
                                           plan="eager", threads=1))
    *_, _ = job.events()
    filters = F.normalize(job.net.params["weight"].detach().flatten(1), dim=1)
    cosines = (filters @ filters.T).fill_diagonal_(0)
    assert int((cosines.amax(1) > 0.95).sum()) <= 8
