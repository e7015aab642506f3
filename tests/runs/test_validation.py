"""What a run keeps of its validation part is what its net says of these rows, within bounds, and of no other run."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule.core.errors import CorruptFile, InputError, Interrupted
from chainrule.core.events import Evaluated
from chainrule.engine.stop import Stop
from chainrule.runs import validation
from chainrule.runs.validation import Validation, as_pixels

QUICK = {"epochs": 2, "plan": "eager", "threads": 1, "progress": False}


def alone(result):
    """A result without the simpler answers that stand beside it."""
    return dataclasses.replace(result, linear=None, against=())


def test_answers_rows_and_measures_are_those_of_the_net_on_the_source(tmp_path):
    run = cr.train("digits", net="softmax", **QUICK, out=tmp_path / "run")
    kept, source = Validation.read(run.folder, run.record["run"]), run.source
    assert torch.equal(kept.truth, source.targets[kept.rows])
    pixels = source.inputs[kept.rows].float() / 16                       # a digit's largest value
    with torch.no_grad():
        torch.testing.assert_close(kept.answers, run.net(pixels).softmax(1))
    assert kept.result.errors == int((kept.answers.argmax(1) != kept.truth).sum())
    assert kept.result == cr.Run(run.path).valid
    assert alone(kept.result) == run.trained.measure(run.job.data.valid)
    assert torch.equal(kept.inputs, source.inputs[kept.rows[:256]])


def test_mistakes_are_the_surest_wrong_answers_as_pixels(tmp_path):
    run = cr.train("digits", net="softmax", **QUICK, out=tmp_path / "run")
    kept = run.validation
    wrong = kept.answers.argmax(1) != kept.truth
    surest = kept.answers.amax(1)[wrong].sort(descending=True).values[:24]
    assert torch.equal(kept.mistakes.answers.amax(1), surest)
    assert bool((kept.mistakes.answers.argmax(1) != kept.mistakes.truth).all())
    at = kept.rows[wrong][kept.answers.amax(1)[wrong].argmax()]
    expected = (run.source.inputs[at].double() * 255 / 16).round()
    assert float((kept.mistakes.images[0].double() - expected).abs().max()) <= 1      # a half may round either way
    assert kept.mistakes.images.dtype == torch.uint8


def test_pictures_of_real_numbers_reach_from_black_to_white():
    images = torch.tensor([[[[-2.0, 0.0], [1.0, 2.0]]]])
    assert as_pixels(images).tolist() == [[[[0, 128], [191, 255]]]]
    assert as_pixels(torch.tensor([[[[0.0, 0.2, 1.0]]]])).tolist() == [[[[0, 51, 255]]]]


def test_no_more_is_kept_than_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(validation, "MOST_ANSWERS", 20)
    monkeypatch.setattr(validation, "INPUT_BYTES", 64 * 5)
    run = cr.train("digits", net="softmax", **QUICK, out=tmp_path / "many")
    kept, whole = run.validation, run.job.data.valid
    assert (len(kept.rows), len(kept.answers), len(kept.truth)) == (20, 20, 20)
    assert torch.equal(kept.rows, whole.rows[:20])
    assert torch.equal(kept.inputs, whole.x[:5])                          # rows of 64 bytes
    assert kept.result.n == len(whole)
    monkeypatch.setattr(validation, "ANSWER_BYTES", 40 * 7)
    assert len(Validation.of(run.trained, run.job.data).answers) == 7     # rows of ten numbers


def test_values_are_kept_in_their_own_units(tmp_path):
    x = np.random.default_rng(0).normal(size=(80, 3))
    y = 500 + 100 * x[:, 0]
    run = cr.train((x, y), net="linear", rule="closedform", progress=False, out=tmp_path / "run")
    kept = run.validation
    np.testing.assert_allclose(kept.truth[:, 0].numpy(), y[kept.rows.numpy()], rtol=1e-5)
    np.testing.assert_allclose(kept.answers.numpy(), kept.truth.numpy(), rtol=1e-4)
    assert kept.mistakes is None


def test_an_interrupted_run_keeps_nothing_until_it_is_resumed(tmp_path):
    stop = Stop()

    def interrupt(event):
        if isinstance(event, Evaluated):
            stop.request("SIGINT")

    with pytest.raises(Interrupted):
        cr.train("digits", net="softmax", **QUICK, out=tmp_path / "run", stop=stop, sinks=[interrupt])
    run = cr.Run(tmp_path / "run")
    assert Validation.read(run.folder, run.record["run"]) is None
    assert alone(run.valid) == run.trained.measure(run.job.data.valid)    # from the data
    resumed = cr.resume(tmp_path / "run", progress=False)
    assert Validation.read(resumed.folder, resumed.record["run"]).result == resumed.valid


def test_the_validation_of_another_run_is_refused_by_name(tmp_path):
    one, other = (cr.train("digits", net="softmax", **QUICK, seed=seed, out=tmp_path / str(seed)) for seed in (0, 1))
    shutil.copy(other.path / "valid.safetensors", one.path / "valid.safetensors")
    with pytest.raises(CorruptFile, match=r"valid\.safetensors belongs to run"):
        _ = cr.Run(one.path).valid
    (one.path / "valid.safetensors").unlink()
    with pytest.raises(InputError, match=r"valid\.safetensors"):
        _ = cr.Run(one.path).valid
