"""Expectation-maximisation against scikit-learn from the same start, its invariant, and autograd of what the M-step maximises."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.tree import clone
from chainrule.nets.gaussian_mixture import Mixture
from chainrule.rules.em import Expectation, maximise, seeds


def iris() -> Tensor:
    from sklearn.datasets import load_iris

    return torch.as_tensor(load_iris().data, dtype=torch.float64)


def mixture(covariance: str, features: int = 4, components: int = 3) -> Net:
    torch.manual_seed(0)
    return Net.of(Mixture((features,), 0, components=components, covariance=covariance).double())


def train(net: Net, x: Tensor, iterations: int, weight: Tensor | None = None, **options) -> list[float]:
    rule = Expectation(**options)
    state, losses = rule.init(net), []
    for _ in range(iterations):
        net, state, report = rule.step(net, state, Batch(x, weight=weight))
        losses.append(report["loss"].item())
    return losses


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_it_is_scikit_learns_from_the_same_start(covariance):
    from sklearn.mixture import GaussianMixture

    net, x = mixture(covariance), iris()
    with torch.no_grad():
        net.params["means"].copy_(x[[0, 60, 120]])
    peer = GaussianMixture(3, covariance_type="diag" if covariance == "diagonal" else "full", reg_covar=1e-5, tol=0, max_iter=25,
                           weights_init=[1 / 3] * 3, means_init=x[[0, 60, 120]].numpy(),
                           precisions_init=torch.ones(3, 4).numpy() if covariance == "diagonal" else torch.eye(4).repeat(3, 1, 1).numpy())
    peer.fit(x.numpy())
    train(net, x, 25, start="given", floor=1e-5)
    scale = net.params["scale"].detach()
    spread = scale.square() if covariance == "diagonal" else scale @ scale.mT
    ours = [net.params["log_weights"].detach().exp(), net.params["means"].detach(), spread, net.call("log_prob", x).detach()]
    theirs = [torch.as_tensor(t) for t in (peer.weights_, peer.means_, peer.covariances_, peer.score_samples(x.numpy()))]
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_likelihood_never_falls(covariance, weighted):
    x = iris()
    torch.manual_seed(1)
    weight = torch.rand(150, dtype=torch.float64) + 0.5 if weighted else None
    for seed in range(3):
        torch.manual_seed(seed)
        net = mixture(covariance)
        losses = train(net, x, 40, weight, floor=0.0)
        assert all(after <= before + 1e-12 for before, after in pairwise(losses))
        assert losses[-1] < losses[0] - 0.3
        torch.testing.assert_close(-Batch(x, weight=weight).mean(net.call("log_prob", x)).item(), losses[-1], rtol=0, atol=0.02)


@pytest.mark.parametrize("full", [True, False])
def test_the_fit_is_where_the_expected_likelihood_is_flat(full):
    """Second derivation: autograd of the sum of share x log(weight x density), which the M-step maximises."""
    x = iris()
    torch.manual_seed(0)
    share = (torch.randn(150, 3, dtype=torch.float64) + torch.tensor([0.0, 1.0, 2.0])).softmax(1)
    net = mixture("full" if full else "diagonal")

    def expected(params: dict[str, Tensor]) -> Tensor:
        return (share * net.at(params)(x)).sum()

    fitted = maximise(x, share, 0.0, full)
    for name, slope in torch.func.grad(expected)(fitted).items():
        torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-8, msg=name)
    assert all(slope.abs().max() > 1 for slope in torch.func.grad(expected)(clone(net.params)).values())


def test_a_weight_of_two_is_a_sample_twice():
    x, one, two = iris(), mixture("full"), mixture("full")
    weight = torch.ones(150, dtype=torch.float64)
    weight[:50] = 2
    train(one, x, 5, weight, start="given", floor=1e-3)
    train(two, torch.cat([x, x[:50]]), 5, start="given", floor=1e-3)
    torch.testing.assert_close(clone(one.params), clone(two.params))


def test_it_finds_clusters_from_the_data_alone():
    """Clusters far from the net's own means, one feature's unit a thousandth of the other's: found from at least nine of ten seeds."""
    centres = torch.tensor([[100.0, 1e5], [104.0, 1e5], [102.0, 1.05e5]], dtype=torch.float64)
    found = 0
    for seed in range(10):
        torch.manual_seed(seed)
        x = (centres[:, None] + torch.randn(3, 60, 2, dtype=torch.float64) * torch.tensor([0.5, 500.0])).flatten(0, 1)
        net = mixture("full", 2)
        train(net, x, 30)
        means = net.params["means"].detach()
        found += bool(((means[:, None] - centres) / torch.tensor([0.5, 500.0])).norm(dim=2).amin(0).max() < 1)
    assert found >= 9


def test_seeds_are_drawn_by_squared_distance():
    """Arthur & Vassilvitskii's odds by enumeration: points 0, 1 and 4; the second seed given the first."""
    x = torch.tensor([[0.0], [1.0], [4.0]], dtype=torch.float64)
    pairs = torch.zeros(3, 3, dtype=torch.float64)
    torch.manual_seed(0)
    for _ in range(3000):
        first, second = (int((x[:, 0] == m).nonzero()) for m in seeds(x, 2, 0.0, False)["means"][:, 0])
        pairs[first, second] += 1 / 3000
    away = (x - x.T).square()
    torch.testing.assert_close(pairs, away / away.sum(1, keepdim=True) / 3, rtol=0, atol=0.03)


def test_the_data_seed_the_first_step_only():
    net, x = mixture("diagonal"), iris()
    rule = Expectation()
    state = rule.init(net)
    assert not state["seeded"]
    net, state, _ = rule.step(net, state, Batch(x))
    assert state["seeded"]
    given = net.clone()
    torch.manual_seed(3)
    net, state, _ = rule.step(net, state, Batch(x))
    train(given, x, 1, start="given")
    torch.testing.assert_close(clone(net.params), given.params, rtol=0, atol=0)


def test_a_singular_covariance_is_not_hidden():
    x = iris()
    flat = torch.cat([x[:, :2], x[:, :1]], 1)  # a feature twice
    net = mixture("full", 3)
    losses = train(net, flat, 3, floor=0.0)
    assert losses[-1] != losses[-1]
    assert torch.isnan(net.params["scale"]).any()
    line = torch.tensor([[0.0, 0.0], [2.0, 2.0]], dtype=torch.float64)  # covariance exactly [[1, 1], [1, 1]]
    assert torch.isnan(maximise(line, torch.ones(2, 1, dtype=torch.float64), 0.0, True)["scale"]).all()
    floored = mixture("full", 3)
    assert all(loss == loss for loss in train(floored, flat, 20, floor=1e-4))


def test_wrong_use_is_said():
    with pytest.raises(InputError, match="floor"):
        Expectation(floor=-1.0)
    with pytest.raises(InputError, match=r"mixture of Gaussians; got Linear.*--net mixture"):
        Expectation().init(Net.of(nn.Linear(3, 2)))
    net = mixture("full")
    with pytest.raises(InputError, match=r"3 components needs at least as many samples; got 2\."):
        train(net, iris()[:2], 1)
