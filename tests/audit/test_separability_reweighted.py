"""Reweighted least squares decide as the linear programme does, with proofs that are checked here; each of their parts is derived again."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from chainrule.audit import separability as module
from chainrule.audit import separability_reweighted
from chainrule.audit.separability import quick, separable
from chainrule.audit.separability_reweighted import Found, search
from tests.audit.test_separability import check


def refused(*_):
    raise AssertionError("the linear programme was asked")


def points(n: int, d: int, seed: int, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Signs by a plane (apart), at random (mixed), or apart but for one twin with the other sign (touching), or with a rare input."""
    torch.manual_seed(seed)
    x = torch.randn(n, d, dtype=torch.double)
    y = (x @ torch.ones(d, dtype=torch.double) + 0.3).sign()
    if kind == "mixed":
        y = torch.where(torch.rand(n) < 0.5, 1.0, -1.0).double()
    if kind == "touching":
        x, y = torch.cat([x, x[:1]]), torch.cat([y, -y[:1]])
    if kind == "rare":  # mixed but for an input that only samples of one class have
        y = torch.where(torch.rand(n) < 0.5, 1.0, -1.0).double()
        x[:, 0] = torch.where((torch.arange(n) % 7 == 0) & (y > 0), x[:, 0].abs() + 1, 0.0)
    return x, y


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "d"), [(40, 3), (300, 20), (90, 40)])
@pytest.mark.parametrize("kind", ["apart", "mixed", "touching", "rare"])
def test_it_decides_as_the_linear_programme_does(kind, n, d, seed, monkeypatch):
    x, y = points(n, d, seed, kind)
    programme = separable(x, y)
    monkeypatch.setattr(module, "SMALL", 0)
    asked = []
    decided = module._programme
    monkeypatch.setattr(module, "_programme", lambda *a: (asked.append(1), decided(*a))[1])
    ours = separable(x, y)
    assert ours.separable == programme.separable
    check(ours, x, y)
    if ours.separable:
        assert ours.margin <= programme.margin * 10
    if kind != "touching":  # which have nothing but the twin to prove it by: there the programme may have to help
        assert not asked


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("spread", "expected"), [(0.3, True), (2.0, False)])
def test_several_classes_are_decided_too(spread, expected, seed, monkeypatch):
    torch.manual_seed(seed)
    y = torch.arange(240) % 4
    x = 4 * torch.eye(4, 6)[y] + spread * torch.randn(240, 6)  # single precision
    assert separable(x, y).separable == expected
    monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(module, "_programme", refused)
    verdict = separable(x, y)
    assert verdict.separable == expected
    check(verdict, x, y)


def test_rows_are_added_until_the_plane_fails_on_none(monkeypatch):
    monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(module, "FIRST", 10)
    monkeypatch.setattr(module, "_programme", refused)
    taken = []
    rows = module._Two.rows
    monkeypatch.setattr(module._Two, "rows", lambda self, at: (taken.append(len(at)), rows(self, at))[1])
    rounds = {}
    for kind, expected in (("apart", True), ("mixed", False)):
        x, y = points(3000, 6, 1, kind)
        taken.clear()
        verdict = separable(x, y)
        assert verdict.separable == expected
        check(verdict, x, y)
        assert taken == sorted(taken)
        assert taken[0] == 21
        assert taken[-1] < 500
        rounds[kind] = len(taken)
    assert rounds["apart"] > 2


def test_where_it_does_not_decide_the_linear_programme_does_from_the_hardest_rows(monkeypatch):
    monkeypatch.setattr(module, "SMALL", 0)
    x, y = points(2000, 4, 0, "apart")
    plane = torch.tensor([1.0, 1, 1, 1, 0.1], dtype=torch.double).numpy()
    monkeypatch.setattr(module, "search", lambda conditions, **_: Found(plane, np.arange(5), None, False))
    begun = []
    programme = module._programme
    monkeypatch.setattr(module, "_programme", lambda *given: (begun.append(given), programme(*given))[1])
    check(separable(x, y), x, y)
    ((conditions, chosen),) = begun
    heights = conditions.heights(plane)
    assert len(chosen) == module.FIRST
    assert heights[chosen].max() <= np.delete(heights, chosen).min()


def test_the_heights_are_those_of_the_rows_and_blocks_change_nothing(monkeypatch):
    x, y = points(50, 3, 0, "mixed")
    near = module._Near((x * 100 + 7).float())
    conditions = module._Two(near, (y > 0).long().numpy())
    rows, plane = conditions.rows(np.arange(50)), np.array([0.3, -1.0, 0.2, 0.05])
    assert np.abs(rows).max(0) == pytest.approx(1)
    np.testing.assert_allclose(conditions.heights(plane), rows @ plane, rtol=1e-9, atol=1e-12)
    monkeypatch.setattr(module, "BLOCK", 7)
    np.testing.assert_allclose(conditions.heights(plane), rows @ plane, rtol=1e-9, atol=1e-12)


def test_a_step_is_newtons_for_the_log_of_the_sum_of_exponentials():
    """Second derivation: gradient and Hessian of log sum exp(-z v) by autograd; the step goes down sum exp(-z v), along both."""
    torch.manual_seed(0)
    z, v = torch.randn(30, 4, dtype=torch.double), torch.randn(4, dtype=torch.double)
    loss = lambda v: (-(z @ v)).exp().sum()
    at = v.clone().requires_grad_()
    newton = torch.linalg.solve(torch.autograd.functional.hessian(loss, v), -torch.autograd.grad(loss(at), at)[0])
    weights = (-(z @ v)).exp().numpy()
    np.testing.assert_allclose(separability_reweighted._least_squares(z.numpy(), weights), newton.numpy(), rtol=1e-8)
    closed = np.linalg.lstsq(z.numpy() * np.sqrt(weights)[:, None], np.sqrt(weights), rcond=None)[0]
    np.testing.assert_allclose(separability_reweighted._least_squares(z.numpy(), weights), closed, rtol=1e-8)


def test_least_squares_bear_columns_that_repeat_each_other_or_are_empty():
    z = np.random.default_rng(0).normal(size=(40, 3))
    z = np.hstack([z, z[:, :1], np.zeros((40, 1))])
    found = separability_reweighted._least_squares(z, np.ones(40))
    closed = np.linalg.lstsq(z, np.ones(40), rcond=None)[0]
    np.testing.assert_allclose(z @ found, z @ closed, atol=1e-10)


def test_a_proof_leaves_out_what_lies_apart_on_its_own_side():
    """Two opposite points on a line, and two of another direction that a plane could well have on its positive side."""
    z = np.array([[1.0, 0.0], [-2.0, 0.0], [0.1, 5.0], [0.1, 15.0]])
    share = separability_reweighted._proof(z, np.full(4, 1 / 4), 1e-9)
    np.testing.assert_allclose(share, [2 / 3, 1 / 3, 0, 0], atol=1e-12)
    assert separability_reweighted._proof(np.array([[1.0, 0.2], [-0.5, 1.0]]), np.full(2, 0.5), 1e-9) is None


def test_rows_beyond_what_may_be_held_leave_it_undecided():
    x, y = points(3000, 6, 1, "mixed")
    conditions = module._Two(module._Near(x), (y > 0).long().numpy())
    assert not search(conditions, first=8, most=9, tolerance=1e-9).decided
    assert search(conditions, first=21, most=3000, tolerance=1e-9).decided


def test_what_is_quick_is_known_before():
    assert quick(150, 4, 3)
    assert quick(12163, 784, 2)
    assert not quick(60000, 784, 10)
    assert not quick(10**7, 784, 2)


def test_digits_are_decided_without_a_linear_programme(monkeypatch):
    """MNIST's first three thousand of two classes; all of 1 and 5 are apart, all of 3 and 5 are not."""
    files = [Path(os.environ.get("CHAINRULE_DATA", "")) / f"train-{what}-ubyte.gz" for what in ("images-idx3", "labels-idx1")]
    if not all(file.is_file() for file in files):
        pytest.skip("CHAINRULE_DATA names no folder with MNIST")
    monkeypatch.setattr(module, "_programme", refused)
    x, y = (torch.from_numpy(np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=skip).copy())
            for file, skip in zip(files, (16, 8), strict=True))
    x = x.view(-1, 784).float() / 255
    for one, other in ((1, 5), (3, 5)):
        some = ((y == one) | (y == other)).nonzero().flatten()[:3000]
        signs = torch.where(y[some] == one, 1, -1)
        verdict = separable(x[some], signs)
        check(verdict, x[some], signs)
        assert verdict.separable or one == 3
