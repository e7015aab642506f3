"""The rate finder: no trace on the run, a quadratic's stability limit as second derivation of the edge, and wrong use."""

import json
import random

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.core.registry import optimizers
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.workflows.find_rate import range_test, read, smooth


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


QUICK = Options(net="mlp:hidden=20,dropout=0.2", epochs=2, plan="eager", threads=1, optimizer="sgd:momentum=0.9")


def trained(job):
    list(job.events())
    return {k: v.detach().clone() for k, v in job.net.tensors.items()}


def test_it_leaves_no_trace():
    """The same job, tested first, trains to the same bits, and the caller's random numbers go on as they would have."""
    source = cr.load("digits")
    alone = trained(build(source, QUICK))
    job = build(source, QUICK)
    before = {k: v.detach().clone() for k, v in job.net.tensors.items()}
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    range_test(job, steps=40)
    assert all(torch.equal(t, before[k]) for k, t in job.net.tensors.items())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert random.getstate() == states[2]
    after = trained(job)
    assert all(torch.equal(t, after[k]) for k, t in alone.items())


def linear_regression(scale):
    """Inputs of variance 1 in float, whole batches: gradient descent on a quadratic of curvature 1 in `scale` units of the rule."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(256, 3, generator=g)
    y = x @ torch.tensor([[1.0], [2.0], [-1.0]]) + 0.1 * torch.randn(256, 1, generator=g)
    source = cr.load((x.numpy(), (scale * y[:, 0]).numpy()))
    return build(source, Options(net="linear", rule="backprop", loss="squared", optimizer="sgd", batch=10**6, plan="eager", epochs=1,
                                 split="train=.8,valid=.1,test=.1"))


def test_the_edge_is_the_stability_limit_of_a_quadratic():
    """Gradient descent grows where rate * curvature > 2: the edge may not be far above 2 / the largest eigenvalue, and not far below."""
    job = linear_regression(1.0)
    x = job.data.train.x
    x = torch.cat([x, torch.ones(len(x), 1)], 1).double()
    limit = 2 / float(torch.linalg.eigvalsh(x.T @ x / len(x))[-1])
    found = range_test(job, lowest=1e-3, highest=100.0)
    assert found.diverged
    assert limit / 3 < found.edge < 3 * limit
    assert found.suggested <= found.edge / 3 + 1e-9
    assert found.steepest < limit


def test_rates_rise_evenly_in_their_logarithm_and_are_those_the_optimizer_used():
    """Second derivation: plain gradient descent at the stated rates, written out, sees the same losses."""
    job = linear_regression(1.0)
    found = range_test(job, steps=30, lowest=1e-4, highest=0.1)
    assert found.rates[0] == pytest.approx(1e-4)
    assert found.rates[-1] == pytest.approx(0.1)
    x, y = job.data.train.x.double(), job.data.train.y.double()
    w, b = (p.detach().double().clone() for p in job.net.params.values())
    if w.dim() < 2:
        w, b = b, w
    for rate, loss in zip(found.rates, found.losses, strict=True):
        off = x @ w.T + b - y
        assert loss == pytest.approx(float(0.5 * off.square().sum(1).mean()), rel=1e-4)
        w, b = w - rate * off.T @ x / len(x), b - rate * off.mean(0)


def test_reading_a_made_up_range():
    """Flat, then falling fastest at the 50th of 80 steps, then rising."""
    rates = [10 ** (-5 + i / 16) for i in range(80)]
    losses = [2.0 - 1.5 / (1 + np.exp(-(i - 50) / 2)) + max(0, i - 65) * 0.3 for i in range(80)]
    found = read(rates, losses, optimizers.choose("adam"))
    assert abs(rates.index(found.steepest) - 50) <= 1
    assert abs(rates.index(found.edge) - 63) <= 3
    assert found.diverged
    assert found.optimizer == f"adam:rate={found.suggested}"
    assert optimizers.choose(found.optimizer).options["rate"] == found.suggested


def test_smoothing_keeps_lines_inside_and_constants_everywhere():
    assert smooth([3.0] * 30) == pytest.approx([3.0] * 30)
    assert smooth([float(i) for i in range(60)])[25:35] == pytest.approx(list(range(25, 35)), abs=1e-3)


def test_the_folder_holds_a_picture_and_the_figures(tmp_path):
    found = cr.find_rate("iris", steps=40, plan="eager", out=tmp_path / "out")
    assert found.path.read_bytes()[:4] == b"\x89PNG"
    assert json.loads((tmp_path / "out" / "rates.json").read_text())["suggested"] == found.suggested
    assert f"--optimizer {found.optimizer}" in str(found)


@pytest.mark.parametrize(("options", "word"), [
    ({"steps": 3}, "at least"), ({"lowest": 1.0, "highest": 0.1}, "lowest < highest"), ({"rule": "perceptron", "classes": "3,8"}, "^$"),
    ({"net": "linear", "rule": "closedform"}, "no rate"), ({"rule": "backprop", "optimizer": "lbfgs"}, "follows no rate")])
def test_wrong_use(options, word):
    if word == "^$":
        assert cr.find_rate("digits", steps=30, **options).suggested > 0            # a direction that is no gradient has a rate as well
        return
    with pytest.raises(InputError, match=word):
        cr.find_rate("digits" if "rule" not in options else "diabetes", **options)
