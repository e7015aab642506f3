"""Contrastive divergence against the exact likelihood of 4 x 3 units, its expectation by enumeration, and autograd."""

import pytest
import torch
from energies import plain, table
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.descend import Descent
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.tree import clone, dot, norm
from chainrule.nets.rbm import RBM
from chainrule.rules.contrastive_divergence import Divergence, Phase, contrast


def machine(units: str = "binary") -> Net:
    torch.manual_seed(1)
    net = Net.of(RBM((4,), 0, hidden=3, units=units).double())
    with torch.no_grad():
        for p in net.params.values():
            p.normal_()
    return net


DATA = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]], dtype=torch.float64)


def slope(f, net: Net) -> dict[str, Tensor]:
    return torch.func.grad(lambda params: f(net.at(params)))(clone(net.params))


def exact(net: Net, x: Tensor) -> dict[str, Tensor]:
    """The gradient of minus the mean log likelihood, by autograd through the sum over all 16 x 8 joint states."""
    v, h = table(4), table(3)

    def cost(net: Net) -> Tensor:
        w, b, c = net.params["weight"], net.params["visible_bias"], net.params["hidden_bias"]
        joint = v @ w.T @ h.T + (v @ b)[:, None] + h @ c
        own = x @ w.T @ h.T + (x @ b)[:, None] + h @ c
        return joint.flatten().logsumexp(0) - own.logsumexp(1).mean()

    return slope(cost, net)


def direction(rule: Divergence, net: Net, batch: Batch) -> dict[str, Tensor]:
    """What one step of `plain(1)` took off the parameters."""
    after = net.clone()
    rule.step(after, rule.init(after), batch)
    return {name: (p - after.params[name]).detach() for name, p in net.params.items()}


@torch.no_grad()
def phase(net: Net, v: Tensor, share: Tensor) -> Phase:
    return Phase(v, net.call("hidden", v), share)


def test_the_phases_at_the_models_own_distribution_are_the_exact_gradient():
    net, v = machine(), table(4)
    model = phase(net, v, net.call("log_prob", v).detach().exp())
    made = contrast(net, phase(net, DATA, torch.full((5,), 0.2, dtype=torch.float64)), model)
    torch.testing.assert_close(made, exact(net, DATA))
    costly = contrast(net, model, model, cost=0.1)
    torch.testing.assert_close(costly["weight"], 0.1 * net.params["weight"])


@pytest.mark.parametrize("steps", [1, 2])
def test_its_expectation_is_the_chain_enumerated(steps):
    """Second derivation: the transition matrix of the Gibbs chain over all 16 visible states, to the k-th power."""
    net, v, h = machine(), table(4), table(3)

    def odds(p: Tensor, states: Tensor) -> Tensor:
        return (p[:, None] * states + (1 - p[:, None]) * (1 - states)).prod(2)

    with torch.no_grad():
        transition = odds(net.call("hidden", v), h) @ odds(net.call("visible", h), v)               # (16, 16)
        begin = torch.stack([(state == DATA).all(1).double().mean() for state in v])                # (16,)
        expected = contrast(net, phase(net, v, begin), phase(net, v, begin @ transition.matrix_power(steps)))
    torch.manual_seed(0)
    drawn = direction(Divergence(Descent(plain(1.0)), steps=steps, cost=0.0), net, Batch(DATA.repeat(8000, 1)))
    torch.testing.assert_close(drawn, expected, rtol=0, atol=0.011)                                 # 4 standard errors of 40,000 draws
    wrong = contrast(net, phase(net, v, begin), phase(net, v, begin @ transition.matrix_power(3 - steps)))
    assert norm({k: wrong[k] - expected[k] for k in wrong}).item() > 0.05                           # so the test can tell k=1 from k=2


def test_more_steps_come_nearer_the_exact_gradient():
    net = machine()
    truth = exact(net, DATA)

    def off(**options) -> tuple[float, float]:
        torch.manual_seed(0)
        made = direction(Divergence(Descent(plain(1.0)), cost=0.0, **options), net, Batch(DATA.repeat(4000, 1)))
        apart = norm({k: made[k] - truth[k] for k in truth}) / norm(truth)
        return apart.item(), (dot(made, truth) / norm(made) / norm(truth)).item()

    one, thirty = off(steps=1), off(steps=30)
    assert one[1] > 0.8
    assert thirty[0] < 0.05 < one[0]
    assert thirty[1] > 0.998
    assert off(steps=30, persistent=True, chains=20_000)[0] < 0.05


@pytest.mark.parametrize("units", ["binary", "gaussian", "multinomial", "relu"])
@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 2.0, 1.0, 0.25, 1.25], dtype=torch.float64)])
def test_it_is_the_gradient_of_the_free_energy_difference(units, weight):
    """Second derivation: autograd of F(data) - F(chain) at the very states that the rule drew."""
    net, batch = machine(units), Batch(DATA, weight=weight)
    torch.manual_seed(7)
    made = direction(Divergence(Descent(plain(1.0)), steps=3, cost=0.0), net, batch)
    torch.manual_seed(7)
    v = DATA
    with torch.no_grad():
        for _ in range(3):
            v = net.call("draw_visible", net.call("visible", net.call("draw_hidden", net.call("hidden", v))))
    torch.testing.assert_close(made, slope(lambda n: batch.mean(n.call("free_energy", DATA) - n.call("free_energy", v)), net))


def test_the_loss_is_the_squared_error_of_the_first_reconstruction():
    net = machine()
    rule = Divergence(Descent(plain(0.0)), steps=2)
    torch.manual_seed(2)
    _, _, report = rule.step(net, rule.init(net), Batch(DATA))
    torch.manual_seed(2)
    p = net.call("hidden", DATA)
    rebuilt = net.call("visible", (torch.rand_like(p) < p).double())
    torch.testing.assert_close(report["loss"], ((rebuilt - DATA) ** 2).sum(1).mean())


@pytest.mark.parametrize("options", [{"steps": 10}, {"persistent": True, "chains": 500}])
def test_training_reaches_the_entropy_of_the_data(options):
    """The exact mean log likelihood has a ceiling, minus the entropy of the patterns; training comes near it."""
    torch.manual_seed(0)
    x = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]], dtype=torch.float64).repeat(100, 1)
    net = Net.of(RBM((4,), 0, hidden=3).double())
    rule = Divergence(Descent(plain(0.2)), cost=0.0, **options)
    state = rule.init(net)
    before = net.call("log_prob", x).mean().item()
    for _ in range(1500):
        net, state, _ = rule.step(net, state, Batch(x))
    after = net.call("log_prob", x).mean().item()
    ceiling = -torch.tensor(3.0).log().item()
    assert before < -2.7
    assert ceiling - 0.25 < after <= ceiling


def test_persistent_chains_go_on_from_where_they_were():
    """A machine of two deep wells, all units on and all off: a chain stays in its well whatever the data are."""
    net = machine()
    with torch.no_grad():
        net.params["weight"].fill_(20)
        net.params["hidden_bias"].fill_(-40)
        net.params["visible_bias"].fill_(-30)
    rule = Divergence(Descent(plain(0.0)), persistent=True, chains=7, steps=2)
    state = rule.init(net)
    assert state["chains"].shape == (7, 4)
    wells = torch.tensor([1, 0, 0, 1, 1, 0, 1], dtype=torch.float64)[:, None].expand(7, 4)
    state["chains"].copy_(wells)
    for _ in range(5):
        net, state, _ = rule.step(net, state, Batch(DATA))
    torch.testing.assert_close(state["chains"], wells.contiguous())


def test_statistics_of_samples_are_on_the_mean_those_of_probabilities():
    net = machine()
    made = {}
    for statistics in ("probabilities", "samples"):
        torch.manual_seed(0)
        made[statistics] = direction(Divergence(Descent(plain(1.0)), steps=2, cost=0.0, statistics=statistics), net,
                                     Batch(DATA.repeat(8000, 1)))
    torch.testing.assert_close(made["samples"], made["probabilities"], rtol=0, atol=0.02)
    torch.manual_seed(0)
    few = direction(Divergence(Descent(plain(1.0)), cost=0.0, statistics="samples"), net, Batch(DATA))
    for slope in few.values():
        torch.testing.assert_close(slope * 5, (slope * 5).round())                       # counts of states of five rows


def test_tempered_chains_learn_too_and_their_exchanges_are_reported():
    torch.manual_seed(0)
    x = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]], dtype=torch.float64).repeat(100, 1)
    net = Net.of(RBM((4,), 0, hidden=3).double())
    rule = Divergence(Descent(plain(0.2)), cost=0.0, tempering=5, chains=200)
    state = rule.init(net)
    assert state["chains"].shape == (5, 200, 4)
    for _ in range(1500):
        net, state, report = rule.step(net, state, Batch(x))
    after, ceiling = net.call("log_prob", x).mean().item(), -torch.tensor(3.0).log().item()
    assert ceiling - 0.25 < after <= ceiling
    assert 0.05 < float(report["exchanges"]) < 1


def test_tempered_chains_leave_a_well_in_which_others_stay():
    """Two deep wells, all units on and all off, as likely as each other: half of the chains that began in one end in the other."""
    net = machine()
    with torch.no_grad():
        net.params["weight"].fill_(6)
        net.params["hidden_bias"].fill_(-12)
        net.params["visible_bias"].fill_(-9)
    share = {}
    for tempering in (1, 12):
        rule = Divergence(Descent(plain(0.0)), persistent=True, chains=200, steps=5, tempering=tempering)
        state = rule.init(net)
        state["chains"].fill_(1.0)
        torch.manual_seed(0)
        for _ in range(60):
            net, state, _ = rule.step(net, state, Batch(DATA))
        chains = state["chains"] if tempering == 1 else state["chains"][0]
        share[tempering] = float((chains.sum(1) < 2).double().mean())
    assert share[1] < 0.1
    assert 0.35 < share[12] < 0.65


def test_wrong_use_is_said():
    with pytest.raises(InputError, match="steps=0"):
        Divergence(Descent(plain(0.1)), steps=0)
    with pytest.raises(InputError, match=r"restricted Boltzmann machine; got Linear.*--net rbm"):
        Divergence(Descent(plain(0.1))).init(Net.of(nn.Linear(3, 2)))
