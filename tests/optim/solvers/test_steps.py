"""Solvers on costs of steps: sequences are what their steps are as rows, and steps that do not exist are as if they were not there."""

import pytest
import torch
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Objective, Solve, Stepwise, Supervised
from chainrule.core.net import Net
from chainrule.core.registry import losses, optimizers
from chainrule.optim.solvers import kfac
from chainrule.optim.solvers.curvature import GaussNewton, Surface, flat
from chainrule.optim.solvers.hessian_free import squared_slopes
from chainrule.optim.solvers.levenberg import residuals

N, T, D, K = 5, 4, 2, 3
SOLVERS = [("squared", "levenberg"), ("squared", "gauss-newton"), ("squared", "kfac:fisher=empirical"),
           ("cross-entropy", "kfac:fisher=empirical"), ("cross-entropy", "newton"), ("cross-entropy", "hessian-free")]


def rows_and_steps(loss, *, masked, weighted=False):
    """The same cases as sequences (n, t), and as rows of their own; every sample's weight is that of its steps."""
    torch.manual_seed(0)
    x = torch.randn(N, T, D, dtype=torch.double)
    y = torch.randn(N, T, K, dtype=torch.double) if loss == "squared" else torch.randint(K, (N, T))
    mask = torch.arange(T) < torch.tensor([4, 2, 3, 4, 1])[:, None] if masked else torch.ones(N, T, dtype=torch.bool)
    weight = torch.tensor([0.5, 2.0, 1.0, 0.0, 1.5], dtype=torch.double) if weighted else None
    rows = Batch(x[mask], y[mask], None if weight is None else weight[:, None].expand(N, T)[mask])
    if masked:                                                               # what stands where nothing is must not matter
        x = torch.where(mask[..., None], x, 7.0)
    return rows, Batch(x, y, weight, mask if masked else None)


def module():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(D, 3), nn.Tanh(), nn.Linear(3, K)).double()


def objectives(loss):
    each = losses.choose(loss).make()
    return Objective(Supervised(each), l2=0.1), Objective(Stepwise(each), l2=0.1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("loss", "solver"), SOLVERS, ids=lambda word: str(word))
def test_a_step_of_sequences_is_that_of_their_steps_as_rows(loss, solver, masked, weighted):
    moved = []
    for batch, objective in zip(rows_and_steps(loss, masked=masked, weighted=weighted), objectives(loss), strict=True):
        net, rule = Net.of(module()), Solve(objective, optimizers.choose(solver).make())
        start, state = flat(net), rule.init(net)
        for _ in range(1 if solver == "gauss-newton" else 2):            # whose second leads far away from here
            net, state, _ = rule.step(net, state, batch)
        moved.append(flat(net) - start)
    assert float(moved[0].norm()) > 1e-3
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("masked", [False, True])
def test_half_the_squared_residuals_are_the_objective(masked):
    _, batch = rows_and_steps("squared", masked=masked, weighted=True)
    surface = Surface(Net.of(module()), batch, objectives("squared")[1])
    left = residuals("levenberg", surface, surface.start)
    torch.testing.assert_close(float(left.square().sum()) / 2, surface.value(surface.start))


@pytest.mark.parametrize("masked", [False, True])
def test_residuals_ignore_what_is_no_number_where_no_step_is(masked):
    """A net may give anything there, as `Batch.mean` knows."""
    _, batch = rows_and_steps("squared", masked=True)
    assert batch.mask is not None
    surface = Surface(Net.of(module()), batch.with_inputs(torch.where(batch.mask[..., None], batch.x, torch.nan)), objectives("squared")[1])
    assert bool(residuals("levenberg", surface, surface.start).isfinite().all())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_preconditioner_is_made_of_each_sequences_part_of_the_mean_loss(masked, weighted):
    """By a loop: the objective is the mean over sequences of w f, and the entry of a parameter that of w (df)^2."""
    _, batch = rows_and_steps("cross-entropy", masked=masked, weighted=weighted)
    surface = Surface(Net.of(module()), batch, Objective(objectives("cross-entropy")[1].criterion))
    weight = torch.ones(N) if batch.weight is None else batch.weight
    count = N * T if batch.mask is None else int(batch.mask.sum())
    total = torch.zeros_like(surface.start)
    slopes = torch.zeros_like(surface.start)
    for i in range(N):
        net = module()
        exist = slice(None) if batch.mask is None else batch.mask[i]
        cost = nn.functional.cross_entropy(net(batch.x[i][exist]), batch.y[i][exist], reduction="sum") * N / count
        slope = torch.cat([g.reshape(-1) for g in torch.autograd.grad(cost, list(net.parameters()))])
        total += weight[i] * slope.square() / N
        slopes += weight[i] * slope / N
    torch.testing.assert_close(slopes, surface.slope(surface.start)[1])
    torch.testing.assert_close(squared_slopes(surface, batch), total)


def test_classes_are_drawn_for_every_step():
    torch.manual_seed(0)
    chances = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])               # (t, classes)
    drawn = kfac.drawn(chances.log().expand(20000, -1, -1), "cross-entropy")
    assert drawn.shape == (20000, 2)
    counts = torch.stack([torch.bincount(drawn[:, t], minlength=3) for t in range(2)]) / 20000
    assert bool(((counts - chances).abs() < 4 * (chances * (1 - chances) / 20000).sqrt()).all())


@pytest.mark.parametrize("masked", [False, True])
def test_the_block_of_a_layer_is_its_part_of_the_gauss_newton_matrix(masked):
    """Where every step reads the same, inputs and slopes are independent, and the Kronecker product is exact: for the squared loss, whose
    own matrix of second derivatives is one, with residuals that are the columns of one."""
    torch.manual_seed(0)
    layer = nn.Linear(D, K).double()
    mask = torch.tensor([[True, True, True], [True, True, True]] if not masked else [[True, True, False], [True, False, False]])
    x = torch.randn(D, dtype=torch.double).expand(2, 3, D)
    ones = torch.eye(K, dtype=torch.double).repeat(2, 1)                     # (6, k)
    y = layer(x).detach().clone()
    y[mask] -= ones[: int(mask.sum())]
    batch = Batch(x, y, mask=mask if masked else None)
    surface = Surface(Net.of(layer), batch, Objective(Stepwise(losses.choose("squared").make())))
    _, _, seen = kfac._passes(surface, kfac.factored(surface.net), False)
    reads, spread = seen[""]
    order = torch.arange(K * D).view(K, D)
    order = torch.cat([order, K * D + torch.arange(K)[:, None]], 1).flatten()    # (weight | bias) by rows, as the factors are
    product = GaussNewton(surface, surface.start, batch)
    dense = torch.stack([product(v) for v in torch.eye(len(surface.start), dtype=torch.double)])[order][:, order]
    torch.testing.assert_close(torch.kron(spread * K, reads), dense)
