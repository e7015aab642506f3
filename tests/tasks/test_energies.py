"""Likelihoods of energies: minus the free energy less the log of the partition function, exactly or by annealing."""

import math

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule.core.abilities.densities import Estimate
from chainrule.core.errors import InputError
from chainrule.evaluate.measures import density
from chainrule.tasks.energies import widened

QUICK = {"epochs": 3, "plan": "eager", "threads": 1, "progress": False}


def switches(n: int = 200) -> np.ndarray:
    """Rows of six units in two moods, (n, 1, 2, 3) in {0, 1}."""
    rng = np.random.default_rng(0)
    mood = rng.random((n, 1)) < 0.5
    return (rng.random((n, 6)) < np.where(mood, 0.9, 0.2)).astype(np.float32).reshape(n, 1, 2, 3)


@pytest.fixture
def run(tmp_path):
    return cr.train(switches(), net="rbm:hidden=4", out=tmp_path / "run", **QUICK)


def test_the_likelihood_of_a_small_machine_is_exact(run):
    result = run.test()
    x = torch.from_numpy(switches()).flatten(1)[run.job.data.door.rows]
    with torch.no_grad():
        each = run.net.log_prob(x)
    measure = result.measures["log_likelihood"]
    assert measure.value == pytest.approx(float(each.mean()), abs=1e-4)
    assert measure.low < measure.value < measure.high
    assert not [note for note in result.notes if "estimated" in note or "probabilities" in note]
    rates = torch.from_numpy(switches()).flatten(1)[run.job.data.train.rows].double().mean(0)
    alone = torch.distributions.Bernoulli(rates).log_prob(x.double()).sum(1).mean()
    assert result.baseline.name == "independent units"
    assert result.baseline.measures["log_likelihood"].value == pytest.approx(float(alone), abs=1e-3)


def test_a_larger_one_is_estimated_and_says_so(tmp_path):
    run = cr.train("digits", net="rbm:hidden=24", out=tmp_path / "run", **QUICK)
    first, again = run.test(), run.test()
    assert first.measures["log_likelihood"] == again.measures["log_likelihood"]
    assert any("annealed importance sampling" in note for note in first.notes)
    assert any("probabilities that a unit is on" in note for note in first.notes)
    assert first.baseline.name == "independent units"


def test_validation_says_how_likely_units_are_given_the_others(run):
    assert -6 * math.log(2) * 1.5 < run.history[-1]["valid_pseudo_likelihood"] < 0


def test_gaussian_units_learn_standardised_columns_beyond_one_gaussian(tmp_path):
    """Two clusters: the machine of Gaussian units is likelier than independent Gaussians, by the command line's own choices."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(600, 2)) * 0.35 + np.where(rng.random((600, 1)) < 0.5, 2.0, -2.0)
    run = cr.train(x, net="rbm:hidden=4", optimizer="sgd:rate=0.01,momentum=0.9", out=tmp_path / "run", **{**QUICK, "epochs": 60})
    assert run.net.units == "gaussian"
    result = run.test()
    assert result.measures["log_likelihood"].value > result.baseline.measures["log_likelihood"].value + 0.05
    assert result.baseline.name == "independent Gaussians"


def test_the_interval_takes_in_that_of_the_partition_function():
    result = density(torch.linspace(-3, -1, 50), name="log_likelihood")
    before = result.measures["log_likelihood"]
    after = widened(result, "log_likelihood", Estimate(10.0, 9.5, 11.0), ("a note",)).measures["log_likelihood"]
    assert after.low == pytest.approx(after.value - math.hypot(before.value - before.low, 1.0))
    assert after.high == pytest.approx(after.value + math.hypot(before.high - before.value, 0.5))
    same = widened(result, "log_likelihood", Estimate(10.0, 10.0, 10.0), ())
    assert same.measures == result.measures


def test_a_bound_from_below_stands_beside_the_estimate(tmp_path):
    run = cr.train("digits", net="rbm:hidden=24", out=tmp_path / "run", **QUICK)
    result = run.test()
    bound, estimate = result.measures["log_likelihood_bound"], result.measures["log_likelihood"]
    assert bound.value < estimate.high
    assert bound.value == pytest.approx(estimate.value, abs=3.0)
    assert any("from below" in note and "Burda" in note for note in result.notes)


def test_the_range_of_numbers_that_binary_units_cannot_have_is_told_and_another_scale_refused(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3)) * 3 + 5
    run = cr.train(x, net="rbm:hidden=3,units=binary", out=tmp_path / "run", **QUICK)
    train = x[run.job.data.train.rows]
    note = next(note for note in run.job.data.encoder.inputs.notes if "scaled to lie from 0 to 1" in note)
    assert f"go from {train.min():.4g} to {train.max():.4g}" in note
    with pytest.raises(InputError, match=r"as they are scaled\. Use --scale unit"):
        cr.train(x, net="rbm:hidden=3,units=binary", scale="standardised", out=tmp_path / "other", **QUICK)
    within = cr.train(np.abs(np.sin(x)), net="rbm:hidden=3,units=binary", out=tmp_path / "within", **QUICK)
    assert not [note for note in within.job.data.encoder.inputs.notes if "scaled" in note]
