"""Where units begin: at rows, far from one another, or over the plane that principal components span."""

import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.core.registry import inits, nets
from chainrule.nets.init.initial import initialise
from chainrule.nets.init.prototypes import spread_rows


def started(net, init, x, seed=0):
    torch.manual_seed(seed)
    module = nets.choose(net).make(tuple(x.shape[1:]), 0)
    initialise(module, inits.choose(init), x)
    return module.weight.detach()


@pytest.mark.parametrize("init", ["spread", "rows"])
def test_units_begin_at_rows_of_their_own(init):
    x = torch.randn(40, 3)
    units = started("kmeans:clusters=12", init, x)
    places = (units[:, None] == x).all(2).nonzero()[:, 1]
    assert len(places) == len(places.unique()) == 12


def test_more_units_than_rows_begin_near_rows():
    x = torch.randn(5, 3)
    units = started("kmeans:clusters=9", "spread", x)
    assert (torch.cdist(units, x).amin(1) < 0.2).all()
    assert len(units.unique(dim=0)) == 9


def test_rows_are_drawn_with_odds_of_their_squared_distance():
    """Points 0, 1 and 3 in a row: after the first, the odds of the second are known, and so is how often each pair comes."""
    x, pairs = torch.tensor([[0.0], [1.0], [3.0]]), torch.zeros(3, 3)
    torch.manual_seed(0)
    draws = 6000
    for _ in range(draws):
        first, second = (int((x == row).nonzero()[0, 0]) for row in spread_rows(x, 2))
        pairs[first, second] += 1 / draws
    square = torch.cdist(x, x) ** 2
    exact = square / square.sum(1, keepdim=True) / 3
    assert (pairs - exact).abs().max() < 4 * (0.25 / draws) ** 0.5


def test_a_grid_lies_in_the_plane_of_the_first_two_components():
    """Oracle: scikit-learn's PCA; corners at two standard deviations, the longer side along the first component."""
    from sklearn.decomposition import PCA

    x = torch.randn(200, 4, dtype=torch.float64) @ torch.diag(torch.tensor([4.0, 2.0, 0.1, 0.1], dtype=torch.float64)) + 1
    torch.manual_seed(0)
    module = nets.choose("som:rows=5,columns=3").make((4,), 0).double()
    initialise(module, inits.choose("plane"), x)
    pca = PCA(2).fit(x.numpy())
    at = torch.from_numpy(pca.transform(module.weight.detach().numpy())) / torch.from_numpy(pca.explained_variance_).sqrt()
    grid = at.reshape(5, 3, 2)
    torch.testing.assert_close(grid[:, 0, 0].abs(), torch.tensor([2.0, 1.0, 0.0, 1.0, 2.0], dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(grid[0, :, 1].abs(), torch.tensor([2.0, 0.0, 2.0], dtype=torch.float64), atol=1e-9, rtol=0)
    back = torch.from_numpy(pca.inverse_transform(pca.transform(module.weight.detach().numpy())))
    torch.testing.assert_close(module.weight.detach(), back)


@pytest.mark.parametrize(("net", "init", "words"), [("mlp", "spread", "stand for no rows"), ("kmeans", "plane", "KMeans has none")])
def test_other_nets_are_refused(net, init, words):
    with pytest.raises(InputError, match=words):
        started(net, init, torch.randn(20, 3))
