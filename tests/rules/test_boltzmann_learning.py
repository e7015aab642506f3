"""Boltzmann machine learning against the exact gradient of the likelihood, by autograd through the sum over all states."""

import math

import pytest
import torch
from energies import plain, table
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.descend import Descent
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.tree import clone, norm
from chainrule.nets.boltzmann import Boltzmann
from chainrule.recipes.boltzmann_machine import encoder, learned
from chainrule.rules.boltzmann_learning import BoltzmannLearning, difference

DATA = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]], dtype=torch.float64)


def machine(hidden: int = 3, spread: float = 0.7) -> Net:
    torch.manual_seed(1)
    net = Net.of(Boltzmann((4,), 0, hidden=hidden).double())
    with torch.no_grad():
        for p in net.params.values():
            p.normal_(std=spread)
    return net


def exact(net: Net, x: Tensor) -> dict[str, Tensor]:
    """The gradient of minus the mean log likelihood, through pairwise sums over the states of all units."""

    def cost(params: dict[str, Tensor]) -> Tensor:
        s = table(7)
        minus = torch.einsum("ni,ij,nj->n", s, params["weight"].triu(1), s) + s @ params["bias"]
        own = torch.stack([minus[(s[:, :4] == row).all(1)].logsumexp(0) for row in x])
        return minus.logsumexp(0) - own.mean()

    return torch.func.grad(cost)(clone(net.params))


def direction(rule: BoltzmannLearning, net: Net, batch: Batch) -> dict[str, Tensor]:
    after = net.clone()
    state = rule.init(after)
    rule.step(after, state, batch)
    return {name: (p - after.params[name]).detach() for name, p in net.params.items()}


@torch.no_grad()
def test_the_phases_at_their_own_distributions_are_the_exact_gradient():
    net, s = machine(), table(7)
    joint = (-net.call("energy", s)).softmax(0)
    given = torch.zeros(128, dtype=torch.float64)
    for row in DATA:
        at = (s[:, :4] == row).all(1)
        given[at] += joint[at] / joint[at].sum() / len(DATA)
    made = difference(net, (s, given), (s, joint))
    torch.testing.assert_close(made, exact(net, DATA))
    costly = difference(net, (s, joint), (s, joint), cost=0.1)
    torch.testing.assert_close(costly["weight"], 0.1 * net.params["weight"].triu(1))


def test_long_draws_come_near_the_exact_gradient():
    net = machine()
    torch.manual_seed(0)
    rule = BoltzmannLearning(Descent(plain(1.0)), clamped="gibbs", sweeps=30, chains=20_000)
    made, truth = direction(rule, net, Batch(DATA.repeat(4000, 1))), exact(net, DATA)
    assert float(norm({k: made[k] - truth[k] for k in truth}) / norm(truth)) < 0.05


def test_weights_of_rows_count():
    net, weight = machine(hidden=0), torch.tensor([2.0, 0, 0, 0, 3], dtype=torch.float64)
    rule = BoltzmannLearning(Descent(plain(1.0)), free="mean-field")
    torch.manual_seed(0)
    weighed = direction(rule, net, Batch(DATA, weight=weight))
    torch.manual_seed(0)
    repeated = direction(rule, net, Batch(DATA[[0, 0, 4, 4, 4]]))
    torch.testing.assert_close(weighed, repeated)


def test_the_loss_is_how_likely_each_visible_unit_is_given_all_others():
    net = machine()
    rule = BoltzmannLearning(Descent(plain(0.0)))
    _, _, report = rule.step(net, rule.init(net), Batch(DATA))
    with torch.no_grad():
        s = net.call("settled", net.call("begun", DATA), 4)
        cost = 0.0
        for i in range(4):
            on, off = s.clone(), s.clone()
            on[:, i], off[:, i] = 1, 0
            odds = torch.stack([-net.call("energy", off), -net.call("energy", on)], 1).log_softmax(1)
            cost -= odds.gather(1, DATA[:, i : i + 1].long()).mean()
    torch.testing.assert_close(report["loss"], cost)


def test_learning_brings_the_distribution_to_that_of_the_data():
    """The 4-2-4 encoder of the paper: four rows of 256, at first with a probability of 1 in 64."""
    before, after = (learned(encoder(), 2, steps)[0] for steps in (0, 60))
    assert before > 0.95
    assert after < 0.4


def test_wrong_use_is_said():
    with pytest.raises(InputError, match="sweeps=0"):
        BoltzmannLearning(Descent(plain(0.1)), sweeps=0)
    with pytest.raises(InputError, match=r"Boltzmann machine; got Linear.*--net boltzmann"):
        BoltzmannLearning(Descent(plain(0.1))).init(Net.of(nn.Linear(3, 2)))
    assert math.isfinite(learned(encoder(), 1, 5, clamped="mean-field")[1])
