"""Every registered optimizer keeps the contract under back-propagation: it lowers a loss, repeats, resumes, and leaves the frozen alone."""

import pytest
import torch
from tiny import through_a_checkpoint
from torch import nn

from chainrule.core import registry
from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Learner, Rule
from chainrule.core.tree import clone
from chainrule.engine.plans.eager import eager
from chainrule.job.rule_spec import make_rule

ROWS, FEATURES = 24, 5
every = pytest.mark.parametrize("name", registry.optimizers.names())


def task(name: str, steps: int) -> tuple[Rule, Learner, Batch]:
    """The same rows at each step, since some compare steps: a smooth function of them by a small net in double precision."""
    torch.manual_seed(0)
    x = torch.randn(ROWS, FEATURES, dtype=torch.float64)
    y = torch.stack([(x[:, 0] * x[:, 1]).tanh(), x[:, 2] - 0.5 * x[:, 3]], 1)
    net = Net.of(nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, 2)).double())
    rule = make_rule(registry.rules.choose("backprop"), Supervised(registry.losses.choose("squared").make()),
                     registry.optimizers.choose(name), None)
    return rule, Learner(net, clone(rule.init(net))), Batch(x.expand(steps, ROWS, FEATURES), y.expand(steps, ROWS, 2))


def trained(rule: Rule, learner: Learner, batches: Batch) -> tuple[Learner, torch.Tensor]:
    torch.manual_seed(1)                                                                       # some sample what they divide by
    after, report = eager(rule.step)(learner, batches)
    return after, report["loss"]


@every
def test_it_says_what_it_is_and_where_it_comes_from(name):
    entry = registry.optimizers.find(name)
    assert entry.source
    assert entry.summary.endswith(".")


@every
def test_it_lowers_the_loss(name):
    losses = trained(*task(name, 40))[1]
    assert bool(losses.isfinite().all())
    assert float(losses[-5:].mean()) < 0.97 * float(losses[0])


@every
def test_it_repeats_and_resumes_to_the_same_bits(name, tmp_path):
    straight, _ = trained(*task(name, 6))
    again, _ = trained(*task(name, 6))
    rule, learner, batches = task(name, 6)
    halfway, _ = trained(rule, learner, batches.rows(0, 3))
    random = torch.get_rng_state()
    rule, fresh, batches = task(name, 6)
    fresh = through_a_checkpoint(tmp_path, halfway, fresh)
    torch.set_rng_state(random)
    resumed, _ = eager(rule.step)(fresh, batches.rows(3, 6))
    for key, t in straight.net.tensors.items():
        assert torch.equal(t, again.net.tensors[key])
        assert torch.equal(t, resumed.net.tensors[key])


@every
def test_it_leaves_frozen_weights_where_they_were(name):
    rule, learner, batches = task(name, 4)
    module = learner.net.module
    module[0].weight.requires_grad_(False)
    net = Net.of(module)
    before = {key: t.clone() for key, t in module.state_dict().items()}
    after, _ = trained(rule, Learner(net, clone(rule.init(net))), batches)
    moved = {key for key, t in after.net.tensors.items() if not torch.equal(t, before[key])}
    assert moved == {"0.bias", "2.weight", "2.bias"}


@every
def test_where_the_loss_is_at_its_least_nothing_becomes_infinite(name):
    """Targets that the net gives already: a slope of zero, which some divide by."""
    rule, learner, batches = task(name, 4)
    with torch.no_grad():
        y = learner.net.module(batches.x[0])
    after, losses = trained(rule, learner, Batch(batches.x, y.expand(4, ROWS, 2)))
    assert bool(losses.isfinite().all())
    assert all(bool(t.isfinite().all()) for t in after.net.tensors.values())


@every
def test_an_option_it_does_not_have_is_refused_by_name(name):
    with pytest.raises(InputError, match="speediness"):
        registry.optimizers.choose(f"{name}:speediness=1").make()
