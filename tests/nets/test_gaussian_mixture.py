"""Mixtures of Gaussians against scipy's densities, and their samples against their moments."""

import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.gaussian_mixture import Mixture


def mixture(covariance: str) -> Mixture:
    torch.manual_seed(3)
    net = Mixture((2,), 0, components=3, covariance=covariance).double()
    with torch.no_grad():
        net.log_weights.normal_()
        net.scale.copy_(torch.rand_like(net.scale) + 0.3)
        net.scale.copy_(net.scale.tril() if covariance == "full" else net.scale)
    return net


def moments(net: Mixture):
    """Weights (3,), means (3, 2) and covariances (3, 2, 2), as the parameters define them."""
    scale = net.scale if net.scale.dim() == 3 else net.scale.diag_embed()
    return net.log_weights.exp() / net.log_weights.exp().sum(), net.means, scale @ scale.mT


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
@torch.no_grad()
def test_densities_are_scipys(covariance):
    from scipy.stats import multivariate_normal

    net, x = mixture(covariance), torch.randn(20, 2, dtype=torch.float64)
    weights, means, covariances = moments(net)
    each = torch.stack([w * torch.as_tensor(multivariate_normal(m.numpy(), c.numpy()).pdf(x.numpy()))
                        for w, m, c in zip(weights, means, covariances, strict=True)], 1)
    torch.testing.assert_close(net(x).exp(), each)
    torch.testing.assert_close(net.log_prob(x).exp(), each.sum(1))
    torch.testing.assert_close(net.encode(x), each / each.sum(1, keepdim=True))


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
@torch.no_grad()
def test_samples_have_the_moments(covariance):
    net = mixture(covariance)
    weights, means, covariances = moments(net)
    mean = weights @ means
    away = means - mean
    total = torch.einsum("k,kij->ij", weights, covariances + away[:, :, None] * away[:, None])
    drawn = net.sample(40_000)
    torch.testing.assert_close(drawn.mean(0), mean, rtol=0, atol=0.04)
    torch.testing.assert_close(drawn.T.cov(), total, rtol=0.05, atol=0.02)


def test_by_name_and_shape():
    net = nets.choose("mixture:components=4,covariance=diagonal").make((2, 3), 0)
    assert net(torch.randn(5, 2, 3)).shape == (5, 4)
    assert net.sample(5).shape == (5, 2, 3)
    assert "features=6, components=4, covariance=diagonal" in repr(net)
    with pytest.raises(InputError, match="components=0"):
        Mixture((2,), 0, components=0)
