"""Samples held against rows: the measures by hand, what is told of a generator that collapses, samples of a class, and whole runs."""

import math

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.core.events import Diagnosed, Evaluated
from chainrule.data.encode.encoder import Encoder
from chainrule.evaluate.generation import beside_centres, centres_of, covered, faithful, frechet, radii, reached
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.observe.doctor.doctor import Doctor
from chainrule.observe.doctor.facts import Facts
from chainrule.tasks.generation import Generation

SMALL = {"net": "gan:hidden=16", "plan": "eager", "progress": False, "batch": 64}


def test_a_row_is_covered_within_its_neighbours_distance_by_hand():
    rows = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
    assert radii(rows, 2).tolist() == [3.0, 2.0, 3.0, 9.0]
    samples = torch.tensor([[3.5], [100.0]])
    assert covered(rows, samples, 2).tolist() == [False, False, True, True]
    assert faithful(rows, samples, 2).tolist() == [True, False]


def test_clusters_are_reached_by_a_fair_share_of_samples():
    torch.manual_seed(0)
    places = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 9.0]])
    rows = (places[:, None] + 0.1 * torch.randn(4, 50, 2)).flatten(0, 1)
    centres = centres_of(rows, 4)
    assert float(torch.cdist(places, centres).amin(1).max()) < 0.1
    near = places[:2].repeat(50, 1) + 0.1 * torch.randn(100, 2)
    assert int(reached(centres, rows, near).sum()) == 2
    assert beside_centres(centres, rows, near) == pytest.approx(1, abs=0.2)
    assert beside_centres(centres, rows, near + 4) > 10


def test_the_frechet_distance_of_gaussians_is_its_closed_form():
    """Of Gaussians with commuting covariances it is |m1 - m2|^2 + the sum of (s1 - s2)^2; and by scipy's matrix root for others."""
    from scipy.linalg import sqrtm

    torch.manual_seed(0)
    x, y = torch.randn(500, 3, dtype=torch.float64), torch.randn(400, 3, dtype=torch.float64) @ torch.randn(3, 3, dtype=torch.float64) + 1
    a, b = np.cov(x.numpy().T), np.cov(y.numpy().T)
    exact = float((x.mean(0) - y.mean(0)).square().sum()) + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet(x, y) == pytest.approx(exact, rel=1e-6)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x, 2 * x) == pytest.approx(float(x.mean(0).square().sum() + x.var(0).sum()), abs=0.05)


def task() -> Generation:
    encoder = build(cr.load("ring8:count=200"), Options(net="gan:hidden=4", plan="eager")).data.encoder
    assert isinstance(encoder, Encoder)
    return Generation(encoder)


HEALTHY = {"coverage": 0.9, "precision": 0.8, "clusters": 1.0, "spread": 1.1, "discriminator_accuracy": 0.55}


@pytest.mark.parametrize(("odd", "layer"), [
    ({"clusters": 0.3, "coverage": 0.2}, "generator"), ({"clusters": 0.3, "coverage": 0.3}, None),
    ({"discriminator_accuracy": 0.99, "coverage": 0.1}, "discriminator"),
    ({}, None), ({"clusters": 0.3, "spread": 8.0}, None), ({"discriminator_accuracy": 0.99}, None)])
def test_a_fault_is_told_where_it_lasts(odd, layer):
    def layers(history):
        doctor = Doctor(Facts(net="gan"))
        events = [Evaluated(i, 0.0, i, i, {"loss": 1.0}, valid, best=False) for i, valid in enumerate(history, 1)]
        return [one.finding.layer for event in events for one in doctor.consume(event)]

    assert layers([HEALTHY | odd] * 5) == ([layer] if layer else [])
    assert layers([HEALTHY | odd] * 4) == []
    assert layers([HEALTHY | odd] * 4 + [HEALTHY, HEALTHY | odd]) == []


def test_a_generator_that_has_collapsed_is_told_once_while_it_runs(tmp_path, monkeypatch):
    """A rate far too high for the generator: all samples fall on few of the eight modes."""
    monkeypatch.setattr(Generation, "quick_of_samples", lambda *_: {**HEALTHY, "clusters": 0.2, "coverage": 0.1})
    run = cr.train("ring8:count=400", epochs=5, out=tmp_path / "run", **SMALL)
    told = [event for event in run.events if isinstance(event, Diagnosed)]
    assert [(event.code, event.layer, event.fatal) for event in told] == [("D29", "generator", False)]
    assert run.summary()["diagnoses"][0]["code"] == "D29"
    assert "collapsed" in run.report(tmp_path / "r.html").read_text()


def test_a_run_measures_its_samples_beside_a_constant_answer(tmp_path):
    run = cr.train("ring8:count=600", epochs=3, out=tmp_path / "run", **SMALL)
    assert run.job.task.name == "generation"
    assert {"valid_coverage", "valid_clusters", "valid_discriminator_accuracy", "valid_loss"} <= run.history[0].keys()
    result = run.test()
    assert set(result.measures) == {"coverage", "precision", "clusters", "discriminator_accuracy"}
    assert result.baseline.name == "one Gaussian for each number"
    assert all(0 <= m.low <= m.value <= m.high <= 1 for m in result.measures.values())
    assert cr.Run(run.path).test().measures["coverage"] == result.measures["coverage"]


def test_samples_of_a_class_are_asked_for_by_its_name(tmp_path):
    run = cr.train("blobs:count=600,centres=3,deviation=0.3", epochs=150, out=tmp_path / "run", plan="eager", progress=False, batch=64,
                   net="gan:conditional=yes,hidden=32x32", optimizer="adam:rate=0.002,beta1=0.5")
    data = cr.load("blobs:count=600,centres=3,deviation=0.3")
    centres = torch.stack([data.inputs[data.targets == k].mean(0) for k in range(3)]).double()
    for k in range(3):
        drawn = run.sample(200, f"blob {k + 1}", seed=1).rows
        assert float((torch.cdist(drawn, centres).argmin(1) == k).double().mean()) > 0.9
    with pytest.raises(InputError, match=r"blob 9 is none of the classes.*blob"):
        run.sample(2, "blob 9")
    assert math.isfinite(float(run.sample(5).rows.sum()))


def test_a_conditional_pair_needs_classes_and_plain_ones_know_none(tmp_path):
    with pytest.raises(InputError, match="there are no classes"):
        cr.train(torch.randn(60, 3), net="gan:conditional=yes", epochs=1, progress=False)
    run = cr.train("ring8:count=200", epochs=1, out=tmp_path / "run", **SMALL)
    with pytest.raises(InputError, match="--given"):
        run.sample(2, "mode 1")


def test_pictures_are_made_by_convolutions(tmp_path):
    run = cr.train("digits", net="gan:convolutional=yes,conditional=yes,filters=4,spectral=yes", epochs=1, batch=64, plan="eager",
                   progress=False, out=tmp_path / "run")
    assert run.sample(6, "3").rows.shape == (6, 1, 8, 8)
    from chainrule.cli.main import run_command

    assert run_command(["sample", str(run.path), "--n", "12", "--given", "3", "--out", str(tmp_path / "three.png")]) == 0
    assert (tmp_path / "three.png").read_bytes().startswith(b"\x89PNG")
