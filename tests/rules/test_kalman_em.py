"""Expectation-maximisation of a linear dynamical system: never less likely than before, stationary at a fixed point, gaps filled in."""

import itertools
import math

import pytest
import torch

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.nets.feedforward import mlp
from chainrule.nets.lds import LinearDynamicalSystem
from chainrule.rules.kalman_em import KalmanEM


def drawn(n: int = 12, length: int = 15, gaps: bool = False) -> torch.Tensor:
    """Sequences of a system that turns slowly; with gaps, of single numbers, of steps and at the end."""
    torch.manual_seed(0)
    true = LinearDynamicalSystem((length, 3), 0).double()
    with torch.no_grad():
        true.transition.weight.copy_(0.97 * torch.tensor([[math.cos(0.4), -math.sin(0.4)], [math.sin(0.4), math.cos(0.4)]]))
        true.transition.scale.mul_(0.3)
        true.emission.scale.copy_(torch.tensor([[0.4, 0, 0], [0.2, 0.3, 0], [0.0, -0.2, 0.5]]))
        true.emission.offset.copy_(torch.tensor([1.0, -2.0, 0.5]))
    x = true.sample(n)
    if gaps:
        x[torch.rand_like(x) < 0.15] = math.nan
        x[::3, 4] = math.nan
        x[1::3, 11:] = math.nan
    return x


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_an_iteration_never_makes_the_data_less_likely(gaps, weighted):
    x = drawn(gaps=gaps)
    weight = torch.rand(len(x), dtype=torch.float64) + 0.1 if weighted else None
    net, rule, losses = Net.of(LinearDynamicalSystem((15, 3), 0).double()), KalmanEM(floor=0.0), []
    state = rule.init(net)
    for _ in range(15):
        net, state, report = rule.step(net, state, Batch(x, weight=weight))
        losses.append(float(report["loss"]))
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(losses))
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("gaps", [False, True])
def test_where_it_rests_the_likelihood_has_no_slope(gaps):
    """By autograd through the filter: what an iteration does not move any more is where the gradient of the log likelihood is zero."""
    x = drawn(n=40, gaps=gaps)
    x = x + 0.7 * torch.randn_like(x)
    torch.manual_seed(2)
    module = LinearDynamicalSystem((15, 3), 0, states=1).double()
    net, rule = Net.of(module), KalmanEM(floor=0.0)
    state = rule.init(net)

    def slope() -> float:
        return float(torch.stack([g.norm() for g in torch.autograd.grad(module.log_prob(x).sum(), list(module.parameters()))]).norm())

    before = slope()
    for _ in range(600):
        net, state, _ = rule.step(net, state, Batch(x))
    assert slope() < 1e-3 * before


def test_steps_that_a_mask_leaves_out_are_not_learned_from():
    x = drawn()
    mask = torch.arange(15) < torch.tensor([15, 9, 12] * 4)[:, None]
    results = []
    for batch in (Batch(torch.where(mask[..., None], x, math.nan)), Batch(x, mask=mask)):
        torch.manual_seed(5)
        net, rule = Net.of(LinearDynamicalSystem((15, 3), 0).double()), KalmanEM()
        net, _, report = rule.step(net, rule.init(net), batch)
        results.append((report["loss"], {name: p.detach().clone() for name, p in net.params.items()}))
    torch.testing.assert_close(results[0], results[1])


def test_it_refuses_what_it_cannot_train():
    with pytest.raises(InputError, match="floor of variance"):
        KalmanEM(floor=-1)
    with pytest.raises(InputError, match="trains a linear dynamical system"):
        KalmanEM().init(Net.of(mlp((4,), 2)))
