"""Gauss-Newton products and Hessian-free steps against dense algebra."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from valley import Valley

from chainrule.core.batch import Batch
from chainrule.core.criterion import Objective, Solve, Supervised
from chainrule.core.net import Net
from chainrule.core.registry import losses, optimizers
from chainrule.optim.solvers import hessian_free
from chainrule.optim.solvers.curvature import GaussNewton, Surface, flat


class Recurrent(nn.Module):
    """h <- tanh(W h + V x + b), and the outputs are U h of the end: (n, t, 2) -> (n, 3); `states` are all h, (n, t, 4)."""

    def __init__(self):
        super().__init__()
        self.reads, self.again, self.says = nn.Linear(2, 4).double(), nn.Linear(4, 4, bias=False).double(), nn.Linear(4, 3).double()

    def states(self, x):
        h, all_h = x.new_zeros(len(x), 4), []
        for t in range(x.shape[1]):
            h = torch.tanh(self.reads(x[:, t]) + self.again(h))
            all_h.append(h)
        return torch.stack(all_h, 1)

    def forward(self, x):
        return self.says(self.states(x)[:, -1])


def solve(spec, loss="cross-entropy", **penalties):
    return Solve(Objective(Supervised(losses.choose(loss).make()), **penalties), optimizers.choose(spec).make())


def small(loss="cross-entropy", weighted=False, l2=0.0):
    """A net of 23 parameters in double precision, seven samples, and its surface."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 2)).double()
    y = torch.randint(2, (7,)) if loss == "cross-entropy" else torch.randn(7, 2).double()
    batch = Batch(torch.randn(7, 3).double(), y, torch.rand(7).double() if weighted else None)
    net, objective = Net.of(module), Objective(Supervised(losses.choose(loss).make()), l2=l2)
    return net, batch, Surface(net, batch, objective)


def dense(surface, batch, structural=0.0):
    """The Gauss-Newton matrix (p, p) with J by reverse mode and H by torch.func."""
    def outputs(w):
        return surface.at(w)(batch.x).flatten()

    at = surface.start
    ends = outputs(at).detach()
    curved = torch.func.hessian(lambda z: surface.objective.loss_of(z.view(len(batch), -1), batch))(ends)
    j = torch.func.jacrev(outputs)(at)
    matrix = j.T @ curved @ j + surface.objective.l2 * torch.diag(surface.weights())
    if structural:
        hidden = torch.func.jacrev(lambda w: surface.at(w).call("states", batch.x).flatten())(at)
        matrix = matrix + structural / len(batch) * hidden.T @ hidden
    return matrix


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["cross-entropy", "squared", "absolute"])
def test_a_product_is_that_with_the_dense_matrix(loss, weighted):
    _, batch, surface = small(loss, weighted, l2=0.3)
    product, matrix = GaussNewton(surface, surface.start, batch), dense(surface, batch)
    for v in torch.randn(3, len(matrix), dtype=torch.double):
        torch.testing.assert_close(product(v), matrix @ v, rtol=1e-10, atol=1e-12)
    assert product.products == 3
    assert float(torch.linalg.eigvalsh(matrix).min()) > -1e-12


def test_a_product_is_that_of_forward_then_reverse_mode():
    """J v by dual numbers, H by a jvp of the loss's gradient, J' by a vjp."""
    _, batch, surface = small()
    v = torch.randn(len(surface.start), dtype=torch.double)
    run = lambda w: surface.at(w)(batch.x)
    ends, along = torch.func.jvp(run, (surface.start,), (v,))
    _, bent = torch.func.jvp(torch.func.grad(lambda z: surface.objective.loss_of(z, batch)), (ends,), (along,))
    twin = torch.func.vjp(run, surface.start)[1](bent)[0]
    torch.testing.assert_close(GaussNewton(surface, surface.start, batch)(v), twin, rtol=1e-11, atol=1e-13)


def recurrent():
    torch.manual_seed(0)
    module = Recurrent()
    for p in module.parameters():
        nn.init.normal_(p, std=0.7)
    return module, Batch(torch.randn(6, 5, 2).double(), torch.randint(3, (6,)))


def test_structural_damping_adds_the_squared_jacobian_of_the_hidden_states():
    module, batch = recurrent()
    surface = Surface(Net.of(module), batch, Objective(Supervised(losses.choose("cross-entropy").make())))
    product, matrix = GaussNewton(surface, surface.start, batch, structural=0.7), dense(surface, batch, 0.7)
    v = torch.randn(len(matrix), dtype=torch.double)
    torch.testing.assert_close(product(v), matrix @ v, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(product(v), dense(surface, batch) @ v, rtol=1e-3)


def test_structural_damping_holds_the_hidden_states_of_a_recurrent_net_and_lets_it_learn():
    moved = []
    for structural in (0, 30):
        module, batch = recurrent()
        net, rule = Net.of(module), solve(f"hessian-free:damping=0.1,structural={structural}")
        before = module.states(batch.x).detach()
        state, reports = rule.init(net), []
        for _ in range(25):
            net, state, report = rule.step(net, state, batch)
            reports.append({k: float(v) for k, v in report.items()})
            if len(reports) == 1:
                moved.append(float((module.states(batch.x).detach() - before).norm()))
        assert reports[-1]["loss"] < 0.1 * reports[0]["loss"]
    assert moved[1] < 0.5 * moved[0]


def system(p=40, seed=0):
    torch.manual_seed(seed)
    root = torch.randn(p, p, dtype=torch.double)
    return root @ root.T / p + 0.05 * torch.eye(p, dtype=torch.double), torch.randn(p, dtype=torch.double)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("warm", [False, True])
def test_conjugate_gradients_solve_what_numpy_does(scaled, warm):
    matrix, slope = system()
    start = torch.randn(40, dtype=torch.double) if warm else torch.zeros(40, dtype=torch.double)
    scales = torch.rand(40, dtype=torch.double) + 0.5 if scaled else None
    kept = hessian_free.minimise(lambda v: matrix @ v, slope, start, scales=scales, iterations=300, progress=1e-18)
    x = kept[-1].solution
    np.testing.assert_allclose(x.numpy(), np.linalg.solve(matrix.numpy(), -slope.numpy()), rtol=1e-6, atol=1e-7)
    for iterate in kept:
        quadratic = float(slope @ iterate.solution + iterate.solution @ matrix @ iterate.solution / 2)
        assert math.isclose(iterate.value, quadratic, rel_tol=1e-9)
    assert all(a.value >= b.value for a, b in pairwise(kept))


def test_the_preconditioner_of_a_diagonal_matrix_solves_it_at_once():
    diagonal = torch.logspace(0, 4, 30, dtype=torch.double)
    kept = hessian_free.minimise(lambda v: diagonal * v, torch.ones(30, dtype=torch.double), torch.zeros(30, dtype=torch.double),
                                scales=diagonal, iterations=1, progress=1e-9)
    torch.testing.assert_close(kept[-1].solution, -1 / diagonal)


def test_conjugate_gradients_stop_by_relative_progress_and_keep_iterates_ever_further_apart():
    """Martens's rule, from the values of the iterates of a run ended one step later each time."""
    matrix, slope = system(200)
    run = lambda iterations, progress: hessian_free.minimise(lambda v: matrix @ v, slope, torch.zeros(200, dtype=torch.double),
                                                            iterations=iterations, progress=progress)
    values = [0.0] + [run(i, 1e-18)[-1].value for i in range(1, 60)]
    for progress in (5e-4, 5e-3):
        met = [i for i in range(1, 60) if i > (k := max(10, i // 10)) and (values[i] - values[i - k]) / values[i] < k * progress]
        kept = run(59, progress)
        assert 11 <= met[0] < 59
        assert kept[-1].value == values[met[0]]
    numbers = [values.index(iterate.value) for iterate in run(59, 1e-18)]
    assert numbers == [1, 2, 3, 4, 6, 8, 11, 15, 20, 26, 34, 45, 59]


@pytest.mark.parametrize(("share", "factor"), [(-1, 3 / 2), (0.2, 3 / 2), (0.25, 1), (0.5, 1), (0.75, 1), (0.8, 2 / 3), (math.nan, 3 / 2)])
def test_the_damping_follows_how_well_the_fall_was_predicted(share, factor):
    assert hessian_free.corrected(share) == factor


@pytest.mark.parametrize("spec", ["", ",preconditioned=yes", ",structural=2"])
def test_a_step_solves_the_damped_dense_system_and_corrects_the_damping(spec):
    if "structural" in spec:
        module, batch = recurrent()
        net = Net.of(module)
        surface = Surface(net, batch, Objective(Supervised(losses.choose("cross-entropy").make())))
    else:
        net, batch, surface = small()
    rule = solve("hessian-free:damping=0.5,iterations=400,progress=1e-18" + spec)
    value, slope = surface.slope(surface.start)
    bare = dense(surface, batch)
    matrix = dense(surface, batch, 2 * 0.5) if "structural" in spec else bare
    move = torch.linalg.solve(matrix + 0.5 * torch.eye(len(slope), dtype=torch.double), -slope)
    state = rule.init(net)
    net, state, report = rule.step(net, state, batch)
    torch.testing.assert_close(state["solver"]["solution"], move, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(flat(net), surface.start + move, rtol=1e-6, atol=1e-8)
    assert math.isclose(float(report["loss"]), float(value), rel_tol=1e-12)
    share = (surface.value(surface.start + move) - float(value)) / float(slope @ move + move @ bare @ move / 2)
    assert math.isclose(float(report["damping"]), 0.5 * hessian_free.corrected(share))
    assert float(report["products"]) > 5
    assert float(report["evaluations"]) >= 2


@pytest.mark.parametrize(("damping", "factor"), [(0.2, 3 / 2), (0.5, 1), (2, 2 / 3)])
def test_the_share_that_corrects_the_damping_is_of_the_fall_without_damping(damping, factor):
    """In Rosenbrock's valley a solution brings -3.8, 0.32 and 0.97 of it; half of a quadratic forgotten would bring 4.6 at 0.5."""
    net, rule = Net.of(Valley()), solve(f"hessian-free:damping={damping},progress=1e-18", "squared")
    _, _, report = rule.step(net, rule.init(net), Batch(torch.zeros(1, 1), torch.zeros(1, 2, dtype=torch.double)))
    assert math.isclose(float(report["damping"]), damping * factor)


def test_the_next_step_begins_at_the_decayed_solution():
    net, batch, _ = small()
    rule = solve("hessian-free:damping=0.5,iterations=1,decay=0.6")
    state = rule.init(net)
    net, state, _ = rule.step(net, state, batch)
    last, strength = state["solver"]["solution"].clone(), float(state["solver"]["damping"])
    surface = Surface(net, batch, rule.objective)
    _, slope = surface.slope(surface.start)
    matrix = dense(surface, batch) + strength * torch.eye(len(slope), dtype=torch.double)
    start = 0.6 * last
    left = matrix @ start + slope
    twin = start - (left @ left) / (left @ matrix @ left) * left  # one step of steepest descent from there
    net, state, _ = rule.step(net, state, batch)
    torch.testing.assert_close(state["solver"]["solution"], twin, rtol=1e-9, atol=1e-12)


def test_going_back_stops_where_the_objective_no_longer_falls():
    """Along a line with its bottom at 1: iterates at 0.5, 0.9, 1.3, 3 are gone back over to 0.9."""
    class Line(nn.Module):
        def __init__(self):
            super().__init__()
            self.at = nn.Parameter(torch.zeros(1, dtype=torch.double))

        def forward(self, x):
            return (self.at - 1)[None]

    batch = Batch(torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.double))
    surface = Surface(Net.of(Line()), batch, Objective(Supervised(losses.choose("squared").make())))
    kept = [hessian_free.Iterate(torch.tensor([w], dtype=torch.double), 0.0) for w in (0.5, 0.9, 1.3, 3.0)]
    move, reached, end = hessian_free._back(surface, kept)
    assert float(move) == 0.9
    assert math.isclose(reached, 0.005)
    assert math.isclose(end, 2.0)
    length, found = hessian_free._shorter(surface, torch.tensor([4.0]), 4.5, 0.5, -4.0, 1.0)
    assert found
    assert math.isclose(length, 0.8**4)  # 1.6384 is the first within reach of 2, with the fall that is asked for
    assert hessian_free._shorter(surface, torch.tensor([-1.0]), 2.0, 0.5, 1.0, 1.0) == (0.0, False)


def test_mean_squared_slopes_of_single_samples():
    _, batch, surface = small("squared", weighted=True)
    total = torch.zeros_like(surface.start)
    for i in range(len(batch)):
        alone = Surface(surface.net, Batch(batch.x[i : i + 1], batch.y[i : i + 1]), surface.objective)
        total += batch.weight[i] * alone.slope(alone.start)[1].square()
    torch.testing.assert_close(hessian_free.squared_slopes(surface, batch), total / len(batch), rtol=1e-10, atol=1e-14)


def test_the_matrix_may_be_taken_over_a_share_of_the_rows():
    net, batch, surface = small(weighted=True)
    some = surface.some(3)
    rows = [next(i for i in range(7) if torch.equal(batch.x[i], x)) for x in some.x]
    assert len(set(rows)) == 3
    assert torch.equal(some.y, batch.y[rows])
    assert torch.equal(some.weight, batch.weight[rows])
    assert surface.some(7) is batch
    ends = []
    for spec in ("hessian-free:damping=0.5", "hessian-free:damping=0.5,curvature=0.4"):
        net, batch, _ = small()
        rule = solve(spec)
        rule.step(net, rule.init(net), batch)
        ends.append(flat(net))
    assert not torch.allclose(*ends, rtol=1e-3)
