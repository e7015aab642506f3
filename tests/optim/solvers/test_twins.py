"""L-BFGS, conjugate gradients, Newton and least squares against scipy, torch and closed forms."""

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import nn
from valley import Valley

from chainrule.core.batch import Batch
from chainrule.core.criterion import Objective, Solve, Supervised
from chainrule.core.net import Net
from chainrule.core.registry import losses, optimizers
from chainrule.optim.solvers.curvature import Surface, hessian, jacobian
from chainrule.optim.solvers.lbfgs import downhill
from chainrule.optim.solvers.levenberg import residuals


def solve(spec, loss="squared", **penalties):
    return Solve(Objective(Supervised(losses.choose(loss).make()), **penalties), optimizers.choose(spec).make())


def steps(rule, net, batch, n):
    state, reports = rule.init(net), []
    for _ in range(n):
        net, state, report = rule.step(net, state, batch)
        reports.append({k: float(v) for k, v in report.items()})
    return reports


VALLEY = Batch(torch.zeros(1, 1, dtype=torch.double), torch.zeros(1, 2, dtype=torch.double))


def valley(p):
    return float((1 - p[0]) ** 2 / 2 + 50 * (p[1] - p[0] ** 2) ** 2)


def valley_slope(p):
    return np.array([p[0] - 1 - 200 * p[0] * (p[1] - p[0] ** 2), 100 * (p[1] - p[0] ** 2)])


class Odds(nn.Module):
    """The scores of two classes, 0 and w x: softmax over them is the logistic function. (n, 5) -> (n, 2)."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 5, dtype=torch.double))

    def forward(self, x):
        score = x @ self.weight.T
        return torch.cat([torch.zeros_like(score), score], 1)


def logistic(n=80, weighted=False):
    torch.manual_seed(0)
    x = torch.randn(n, 5, dtype=torch.double)
    y = (torch.rand(n) < torch.sigmoid(x @ torch.tensor([1.0, -2.0, 0.5, 0.0, 0.3], dtype=torch.double))).long()
    return Batch(x, y, torch.rand(n, dtype=torch.double) + 0.5 if weighted else None)


def logistic_value(batch, l2):
    """Mean log loss and its gradient in plain numpy."""
    x, sign = batch.x.numpy(), 2.0 * batch.y.numpy() - 1

    def f(w):
        margin = sign * (x @ w)
        return np.logaddexp(0, -margin).mean() + l2 * (w @ w) / 2

    def g(w):
        margin = sign * (x @ w)
        return -(x * (sign / (1 + np.exp(margin)))[:, None]).mean(0) + l2 * w

    return f, g


def test_two_loops_equal_the_matrix_that_bfgs_updates():
    """H <- (I - r s y') H (I - r y s') + r s s' with r = 1 / s'y, from H = (s'y / y'y) I of the newest pair: Nocedal & Wright (7.16)."""
    torch.manual_seed(0)
    root = torch.randn(6, 6, dtype=torch.double)
    pairs = [(s, (root @ root.T + torch.eye(6)).double() @ s) for s in torch.randn(4, 6, dtype=torch.double)]
    gradient, eye = torch.randn(6, dtype=torch.double), torch.eye(6, dtype=torch.double)
    s, y = pairs[-1]
    inverse = (s @ y) / (y @ y) * eye
    for s, y in pairs:
        r = 1 / (s @ y)
        inverse = (eye - r * torch.outer(s, y)) @ inverse @ (eye - r * torch.outer(y, s)) + r * torch.outer(s, s)
    torch.testing.assert_close(downhill(gradient, pairs), -inverse @ gradient, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(inverse @ y, s, rtol=1e-10, atol=1e-10)  # the newest pair is met exactly
    assert torch.equal(downhill(gradient, []), -gradient)


def test_lbfgs_remembers_as_many_moves_as_it_may_and_only_along_which_the_slope_grew():
    net, rule = Net.of(Valley()), solve("lbfgs:memory=3")
    state = rule.init(net)
    for i in range(8):
        before = net.params["at"].detach().clone()
        net, state, _ = rule.step(net, state, VALLEY)
        kept = state["solver"]
        assert int(kept["count"]) == i + 1
        torch.testing.assert_close(kept["moves"][i % 3], net.params["at"].detach() - before, rtol=0, atol=1e-15)
        assert float((kept["moves"][i % 3] * kept["bends"][i % 3]).sum()) > 0
        change = valley_slope(net.params["at"].detach().numpy()) - valley_slope(before.numpy())
        np.testing.assert_allclose(kept["bends"][i % 3].numpy(), change, rtol=1e-9, atol=1e-9)


def test_lbfgs_ends_where_scipys_and_torchs_do():
    batch, l2 = logistic(), 0.01
    f, g = logistic_value(batch, l2)
    theirs = scipy.optimize.minimize(f, np.zeros(5), jac=g, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-9})
    ours = Odds()
    reports = steps(solve("lbfgs", "cross-entropy", l2=l2), Net.of(ours), batch, 25)
    assert abs(reports[-1]["loss"] - theirs.fun) < 1e-12
    np.testing.assert_allclose(ours.weight.detach().numpy()[0], theirs.x, atol=1e-6)
    assert sum(r["evaluations"] for r in reports[: theirs.nit]) <= 3 * theirs.nfev

    module, twin = Valley(), Valley()
    reports = steps(solve("lbfgs"), Net.of(module), VALLEY, 45)
    torchs = torch.optim.LBFGS([twin.at], max_iter=100, line_search_fn="strong_wolfe", tolerance_change=1e-15)

    def closure():
        torchs.zero_grad()
        value = twin(VALLEY.x).square().sum() / 2
        value.backward()
        return value

    torchs.step(closure)
    valleys = scipy.optimize.minimize(valley, [-1.2, 1.0], jac=valley_slope, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-9})
    for end in (twin.at.detach().numpy(), valleys.x):
        np.testing.assert_allclose(module.at.detach().numpy(), end, atol=1e-5)
    assert reports[-1]["loss"] < 1e-12


def test_conjugate_directions_solve_a_bowl_in_as_many_steps_as_it_has_dimensions():
    torch.manual_seed(0)
    module = nn.Linear(6, 1, bias=False).double()
    x, target = torch.randn(30, 6, dtype=torch.double), torch.randn(30, 1, dtype=torch.double)
    best = torch.linalg.lstsq(x, target).solution.T
    rule = solve("conjugate:c1=1e-12,c2=1e-10")  # the line search is as exact as its rounding
    state, net, distance = rule.init(Net.of(module)), Net.of(module), []
    for _ in range(6):
        net, state, _ = rule.step(net, state, Batch(x, target))
        distance.append(float((module.weight.detach() - best).norm()))
    assert distance[-2] > 1e-4
    assert distance[-1] < 1e-6


def test_conjugate_gradients_end_where_scipys_do_and_turn_by_the_formula():
    batch, l2 = logistic(), 0.01
    f, g = logistic_value(batch, l2)
    theirs = scipy.optimize.minimize(f, np.zeros(5), jac=g, method="CG", options={"gtol": 1e-9})
    ours = Odds()
    rule, net = solve("conjugate", "cross-entropy", l2=l2), Net.of(ours)
    state, turned = rule.init(net), 0
    for _ in range(40):
        old = {k: v.clone() for k, v in state["solver"].items()}
        here = g(ours.weight.detach().numpy()[0])
        net, state, report = rule.step(net, state, batch)
        new = state["solver"]
        np.testing.assert_allclose(new["gradient"].numpy(), here, atol=1e-12)
        last = old["gradient"].numpy()
        if here @ here < 1e-16:
            break
        share = 0.0
        if int(old["count"]) and abs(here @ last) < 0.2 * (here @ here):
            share = max(0.0, here @ (here - last) / (last @ last))
        turned += share > 0
        np.testing.assert_allclose(new["direction"].numpy(), share * old["direction"].numpy() - here, rtol=1e-6, atol=1e-12)
    assert turned >= 3
    assert abs(float(report["loss"]) - theirs.fun) < 1e-12
    np.testing.assert_allclose(ours.weight.detach().numpy()[0], theirs.x, atol=1e-6)


def test_second_derivatives_and_jacobians_are_those_of_torch_func():
    """Seventy parameters need two blocks of rows; both ways round for the Jacobian."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    net, objective = Net.of(module), Objective(Supervised(losses.choose("squared").make()), l2=0.1)
    for n in (5, 200):
        batch = Batch(torch.randn(n, 4, dtype=torch.double), torch.randn(n, 1, dtype=torch.double), torch.rand(n, dtype=torch.double))
        surface = Surface(net, batch, objective)
        where = surface.start.clone().requires_grad_()
        assert len(where) == 71
        left = residuals("test", surface, where)
        value = lambda w, batch=batch, surface=surface: objective.value(surface.at(w), batch)
        torch.testing.assert_close(left.detach().square().sum() / 2, value(surface.start).detach(), rtol=1e-12, atol=0)
        of_residuals = torch.func.jacfwd(lambda w, surface=surface: residuals("test", surface, w))(surface.start)
        torch.testing.assert_close(jacobian(left, where), of_residuals, rtol=1e-10, atol=1e-12)
        twin = torch.func.hessian(value)(surface.start)
        torch.testing.assert_close(hessian(surface.slope(where, again=True)[1], where), twin, rtol=1e-10, atol=1e-12)
    short = torch.stack([where.sum(), where.square().sum(), (where**3).sum()])
    twin = torch.stack([torch.ones_like(where), 2 * where, 3 * where**2])
    torch.testing.assert_close(jacobian(short, where), twin, rtol=1e-12, atol=0)


def test_newton_on_squares_is_the_normal_equations_and_takes_one_step():
    torch.manual_seed(0)
    module = nn.Linear(6, 2).double()
    x, y = torch.randn(30, 6, dtype=torch.double), torch.randn(30, 2, dtype=torch.double)
    net, rule = Net.of(module), solve("newton", l2=0.3)
    rule.step(net, rule.init(net), Batch(x, y))
    ones = torch.cat([x, torch.ones(30, 1)], 1)
    ridge = 0.3 * torch.eye(7, dtype=torch.double)
    ridge[6, 6] = 0
    closed = torch.linalg.solve(ones.T @ ones / 30 + ridge, ones.T @ y / 30)
    torch.testing.assert_close(torch.cat([module.weight, module.bias[:, None]], 1).detach().T, closed, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_newton_step_of_logistic_regression_is_weighted_least_squares(weighted):
    """Iteratively reweighted: least squares of z = X w + (t - p) / (p (1 - p)) with weights p (1 - p)."""
    module, batch = Odds(), logistic(weighted=weighted)
    net, rule = Net.of(module), solve("newton", "cross-entropy")
    state = rule.init(net)
    for _ in range(3):
        w = module.weight.detach()[0].clone()
        p = torch.sigmoid(batch.x @ w)
        spread = p * (1 - p)
        root = (spread * (batch.weight if weighted else 1)).sqrt()
        z = batch.x @ w + (batch.y - p) / spread
        closed = torch.linalg.lstsq(root[:, None] * batch.x, root * z).solution
        net, state, report = rule.step(net, state, batch)
        assert float(report["damping"]) == 0
        torch.testing.assert_close(module.weight.detach()[0], closed, rtol=1e-9, atol=1e-10)


def test_newton_ends_where_scipys_trust_region_does_from_where_the_hessian_bends_down():
    def bent(p):
        a, b = p
        return np.array([[1 - 200 * b + 600 * a * a, -200 * a], [-200 * a, 100.0]])

    assert np.linalg.eigvalsh(bent([0.0, 1.5])).min() < 0
    theirs = scipy.optimize.minimize(valley, [0.0, 1.5], jac=valley_slope, hess=bent, method="trust-exact", options={"gtol": 1e-10})
    module = Valley(0.0, 1.5)
    reports = steps(solve("newton"), Net.of(module), VALLEY, 40)
    np.testing.assert_allclose(module.at.detach().numpy(), theirs.x, atol=1e-8)
    assert reports[0]["damping"] > 0
    assert all(later["loss"] <= earlier["loss"] for earlier, later in pairwise(reports))


def test_a_singular_hessian_is_shifted_until_it_can_be_solved():
    """Softmax regression over all classes has a direction in which nothing changes; its loss still goes to its least value."""
    batch, full, lone = logistic(), nn.Linear(5, 2, bias=False).double(), Odds()
    nn.init.zeros_(full.weight)
    reports = steps(solve("newton", "cross-entropy"), Net.of(full), batch, 12)
    least = steps(solve("newton", "cross-entropy"), Net.of(lone), batch, 12)[-1]["loss"]
    assert abs(reports[-1]["loss"] - least) < 1e-10


def bumps():
    """y = a exp(-b t) + c with errors, and a module whose outputs are that."""
    torch.manual_seed(0)
    t = torch.linspace(0, 4, 40, dtype=torch.double)[:, None]
    y = 2.5 * torch.exp(-1.3 * t) + 0.5 + 0.05 * torch.randn(40, 1, dtype=torch.double)

    class Decay(nn.Module):
        def __init__(self):
            super().__init__()
            self.at = nn.Parameter(torch.tensor([1.0, 0.5, 0.0], dtype=torch.double))

        def forward(self, t):
            a, b, c = self.at
            return a * torch.exp(-b * t) + c

    return Decay(), Batch(t, y)


@pytest.mark.parametrize("name", ["levenberg", "gauss-newton"])
def test_least_squares_end_where_scipys_do(name):
    module, batch = bumps()
    t, y = batch.x.numpy()[:, 0], batch.y.numpy()[:, 0]
    theirs = scipy.optimize.least_squares(lambda p: p[0] * np.exp(-p[1] * t) + p[2] - y, [1.0, 0.5, 0.0], method="lm", xtol=1e-14)
    reports = steps(solve(name), Net.of(module), batch, 20)
    np.testing.assert_allclose(module.at.detach().numpy(), theirs.x, atol=1e-7)
    assert abs(reports[-1]["loss"] - theirs.cost / len(t)) < 1e-12
    assert all(r["failed"] == 0 for r in reports[:8])


def test_a_step_of_levenberg_solves_the_damped_normal_equations_and_the_damping_follows_nielsen():
    module, batch = bumps()
    surface = Surface(Net.of(module), batch, Objective(Supervised(losses.choose("squared").make())))
    matrix = torch.func.jacrev(lambda w: residuals("test", surface, w))(surface.start)
    left, start = residuals("test", surface, surface.start), surface.start.clone()
    shift = 0.01 * float(matrix.square().sum(0).max())
    move = torch.linalg.solve(matrix.T @ matrix + shift * torch.eye(3, dtype=torch.double), -matrix.T @ left)
    net, rule = Net.of(module), solve("levenberg:damping=0.01")
    _, state, report = rule.step(net, rule.init(net), batch)
    torch.testing.assert_close(module.at.detach(), start + move, rtol=1e-9, atol=1e-12)
    predicted = float((left.square().sum() - (left + matrix @ move).square().sum()) / 2)
    share = (float(report["loss"]) - surface.value(start + move)) / predicted
    assert math.isclose(float(report["damping"]), shift * max(1 / 3, 1 - (2 * share - 1) ** 3), rel_tol=1e-9)
    assert float(state["solver"]["damping"]) == float(report["damping"])


def test_the_damping_follows_how_well_the_fall_was_predicted_all_the_way_down_the_valley():
    """Nielsen's factor, max(1/3, 1 - (2 share - 1)^3) after a fall, and 2, 2 4, 2 4 8 after one, two, three refusals in a row."""
    module = Valley()
    net, rule = Net.of(module), solve("levenberg:damping=1e-5")
    state, between, refused = rule.init(net), 0, 0
    for i in range(14):
        surface = Surface(net, VALLEY, rule.objective)
        a, b = surface.start.tolist()
        matrix = np.array([[-1.0, 0.0], [-20 * a, 10.0]])
        shift = 1e-5 * (matrix**2).sum(0).max() if i == 0 else float(state["solver"]["damping"])
        net, state, report = rule.step(net, state, VALLEY)
        times = int(report["evaluations"]) - 2
        shift *= 2.0 ** (times * (times + 1) / 2)
        left = np.array([1 - a, 10 * (b - a * a)])
        move = np.linalg.solve(matrix.T @ matrix + shift * np.eye(2), -matrix.T @ left)
        np.testing.assert_allclose(module.at.detach().numpy(), np.array([a, b]) + move, rtol=1e-7)
        share = (valley([a, b]) - valley(np.array([a, b]) + move)) / -(left @ matrix @ move + ((matrix @ move) ** 2).sum() / 2)
        factor = max(1 / 3, 1 - (2 * min(share, 1.0) - 1) ** 3)
        assert math.isclose(float(report["damping"]), shift * factor, rel_tol=1e-6)
        between += factor > 1 / 3
        refused += times > 0
        if report["loss"] < 1e-6:
            break
    assert between > 0
    assert refused > 0


def test_gauss_newton_on_a_linear_net_is_ridge_regression_with_sample_weights():
    torch.manual_seed(0)
    module = nn.Linear(4, 2, bias=False).double()
    x, y, weight = torch.randn(9, 4).double(), torch.randn(9, 2).double(), torch.rand(9).double()
    net, rule = Net.of(module), solve("gauss-newton", l2=0.2)
    rule.step(net, rule.init(net), Batch(x, y, weight))
    scaled = weight[:, None] * x / 9
    closed = torch.linalg.solve(scaled.T @ x + 0.2 * torch.eye(4).double(), scaled.T @ y).T
    torch.testing.assert_close(module.weight.detach(), closed, rtol=1e-10, atol=1e-12)
