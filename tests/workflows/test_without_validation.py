"""Nothing validates where --split leaves no rows for it: the last weights are the result, which is said, and nothing claims more."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError

OPTIONS = {"net": "linear", "loss": "cross-entropy", "optimizer": "sgd:rate=0.1", "batch": 17, "epochs": 3, "plan": "eager",
           "progress": False}


@pytest.mark.parametrize("split", ["train=1", "train=.85,test=.15"])
def test_the_last_weights_are_the_result_and_that_is_said(tmp_path, split):
    run = cr.train("iris", **OPTIONS, split=split, out=tmp_path / "a")
    assert "the last weights, since no rows validate" in run.events[0].settings["chosen"]
    assert [row["best"] for row in run.history] == [True] * 3
    assert not any(name.startswith("valid_") for row in run.history for name in row)
    job = cr.Run(run.path).fresh_job()
    *_, last = job.events()
    assert last.best == {}
    weights = {name: t.clone() for name, t in job.net.tensors.items()}
    assert all(torch.equal(t, weights[name]) for name, t in cr.Run(run.path).trained.net.tensors.items())
    again = cr.Run(run.path)
    assert "validation" not in again.report(tmp_path / "a.html").read_text().split("</style>")[1]
    assert again.export("safetensors")[1] == 0.0
    assert again.summary()["valid"] == {"n": 0, "baseline": None, "linear": None, "against": []}
    with pytest.raises(InputError, match="no rows validate"):
        _ = again.valid
    if "test" in split:
        assert again.test().n == 22


@pytest.mark.parametrize(("made", "message"), [
    (lambda: cr.train("iris", **OPTIONS, split="train=1", patience=3), "--patience 3 waits for the validation part to improve"),
    (lambda: cr.sweep("iris", over={"seed": (0, 1)}, **OPTIONS, split="train=1"), "a sweep judges nets by the validation part"),
    (lambda: cr.train("iris", **OPTIONS, split="train=1", members=2), "a sweep judges nets by the validation part"),
    (lambda: cr.boost("iris", rounds=2, **OPTIONS, split="train=1"), "boosting judges nets by the validation part"),
])
def test_what_needs_validation_says_so(tmp_path, monkeypatch, made, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        made()


def test_folds_need_no_share_of_their_own(tmp_path):
    run = cr.train("iris", **OPTIONS, split="train=1", fold="1/3", out=tmp_path / "a")
    assert run.valid.n == 50
