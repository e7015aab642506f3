"""A trained net opened from its folder alone: the same weights, the same answers to the bit, and what its files must be."""

from __future__ import annotations

import copy
import pickle
import shutil

import pandas as pd
import pytest
import torch
from torch import nn

import chainrule as cr
from chainrule.core.errors import CorruptFile, InputError
from chainrule.job.own import Own
from chainrule.job.trained import Trained


def table(n=60):
    return pd.DataFrame({"a": [float(i % 7) for i in range(n)], "b": ["u" if i % 3 else "v" for i in range(n)],
                         "y": ["no" if i % 7 < 3 else "yes" for i in range(n)], "z": [2.0 * (i % 7) - i % 3 for i in range(n)]})


def train(out, **options):
    usual = {"target": "y", "net": "mlp:hidden=5", "epochs": 2, "batch": 20, "plan": "eager", "threads": 1, "progress": False}
    return cr.train(table().drop(columns="z" if options.get("target", "y") == "y" else "y"), **{**usual, **options}, out=out)


@pytest.mark.parametrize("options", [
    {}, {"target": "z"}, {"net": "perceptron", "rule": "perceptron"}, {"net": "linear", "rule": "adaline"},
    {"target": "z", "net": "linear", "rule": "closedform"}, {"net": "mlp:hidden=4,dropout=0.3"}, {"net": "rbm:hidden=3", "target": "none"},
    {"net": "softmax", "loss": "squared"}], ids=str)
def test_a_folder_alone_answers_as_the_job_that_trained_it(tmp_path, options):
    """What is opened was made from the spec and the files; the job holds the module that was trained."""
    run = train(tmp_path / "run", **options)
    shutil.move(run.path, tmp_path / "elsewhere")
    opened, ours, valid = Trained.open(tmp_path / "elsewhere"), run.job.trained, run.job.data.valid
    assert all(torch.equal(t, opened.net.tensors[name]) for name, t in ours.net.tensors.items())
    assert not opened.net.module.training
    assert (opened.task.name, opened.net_name, opened.seed) == (ours.task.name, ours.net_name, ours.seed)
    assert (opened.loss and opened.loss.name) == (ours.loss and ours.loss.name)
    assert opened.encoder.to_state()[1] == ours.encoder.to_state()[1]
    assert torch.equal(opened.predictions(valid), ours.predictions(valid))
    assert torch.equal(opened.predictions(valid.x), ours.predictions(valid))
    assert opened.columns(2) == ours.columns(2)
    assert opened.measure(valid) == ours.measure(valid)
    if valid.y is not None:
        assert torch.equal(opened.truth(valid), ours.truth(valid))
        mine, theirs = opened.outcomes(valid, "valid"), ours.outcomes(valid, "valid")
        for one, other in ((mine.right, theirs.right), (mine.costs, theirs.costs)):
            assert (one is None and other is None) or torch.equal(one, other)


def test_measures_are_those_of_predictions_counted_by_hand(tmp_path):
    run = train(tmp_path / "run", epochs=20)
    opened, valid = Trained.open(run.path), run.job.data.valid
    x = opened.encoder.inputs.ready(valid.x)
    with torch.no_grad():
        scores = run.net(x)
    right = scores.argmax(1) == valid.y
    assert opened.measure(valid).errors == int((~right).sum())
    assert torch.equal(opened.outcomes(valid, "valid").right, right)
    torch.testing.assert_close(opened.predictions(valid), scores.softmax(1))


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return self.layer(x)


def own_loss(outputs, targets):
    return -outputs.log_softmax(1).gather(1, targets[:, None]).mean()


def test_a_module_of_ones_own_is_given_again_and_its_loss_is_not_needed(tmp_path):
    run = train(tmp_path / "run", net=Plain(), loss=own_loss)
    with pytest.raises(InputError, match=r"trained a module of your own, Plain\. Give it again: cr\.Run\(path, net=\.\.\.\)\."):
        Trained.open(run.path)
    given = Plain()
    before = given.layer.weight.detach().clone()
    opened, valid = Trained.open(run.path, Own(given)), run.job.data.valid
    assert torch.equal(given.layer.weight, before)  # a copy answers
    assert torch.equal(opened.predictions(valid), run.job.trained.predictions(valid))


def test_it_can_be_copied_and_stored_after_it_has_answered(tmp_path):
    run = train(tmp_path / "run")
    opened, valid = Trained.open(run.path), run.job.data.valid
    answer = opened.predictions(valid)
    for twin in (copy.deepcopy(opened), pickle.loads(pickle.dumps(opened.answering()))):
        assert torch.equal(twin.predictions(valid), answer)
        assert all(t.data_ptr() != opened.net.tensors[name].data_ptr() for name, t in twin.net.tensors.items())
        with torch.no_grad():
            next(twin.net.module.parameters()).zero_()
        assert not torch.equal(twin.predictions(valid), answer)  # its net holds the module's own tensors
    assert torch.equal(opened.predictions(valid), answer)


def test_files_of_other_runs_and_no_run_are_refused(tmp_path):
    run, other = train(tmp_path / "run"), train(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match="There is no run in"):
        Trained.open(tmp_path)
    shutil.copy(other.path / "encoder.safetensors", run.path / "encoder.safetensors")
    with pytest.raises(CorruptFile, match=r"encoder\.safetensors belongs to run"):
        Trained.open(run.path)
    (run.path / "encoder.safetensors").unlink()
    with pytest.raises(InputError, match=r"encoder\.safetensors"):
        Trained.open(run.path)
