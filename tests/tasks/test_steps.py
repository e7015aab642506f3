"""Answers at steps: padding counts nowhere, nats are those of the probabilities, and a text is answered as it is learned from."""

import math

import polars as pl
import pytest
import torch
from torch.nn import functional as F

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.core.registry import losses
from chainrule.data.encode.encoder import Encoder
from chainrule.data.encode.input_encoder import InputEncoder
from chainrule.data.encode.target_encoder import TargetEncoder
from chainrule.data.encode.vocabulary import one_hot
from chainrule.data.source import Part
from chainrule.evaluate.significance import compare
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.tasks.language import Language
from chainrule.tasks.steps import ABSENT, nats
from chainrule.tasks.tagging import Tagging

QUICK = {"epochs": 1, "plan": "eager", "threads": 1, "progress": False}
TEXT = "abracadabra, said the cat. " * 30


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


class Plain:
    """A runner for tasks that only ask it for what a net reads."""

    ready = staticmethod(lambda x: x)


def encoder(classes=("E", "H")):
    return Encoder(InputEncoder("symbols", (4,)), TargetEncoder("steps", classes))


def labelled():
    """Sequences of 4, 2 and 3 steps, filled up to 4."""
    y = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]])
    mask = torch.arange(4) < torch.tensor([4, 2, 3])[:, None]
    return Part(torch.zeros(3, 4), y, torch.arange(3), mask=mask)


def sure(y):
    return F.one_hot(y, 2).float() * 0.9 + 0.05


def test_a_paired_test_of_tagging_counts_only_the_steps_that_exist():
    part, task = labelled(), Tagging(encoder())
    said = part.y.clone()
    said[0, 1] = 0                                             # one wrong step of the first sequence, two of the last
    said[2, :2] = 1
    filled = torch.where(part.mask, said, 1 - said)            # what is said where nothing is must not matter
    one, other = (task.outcomes(Plain, part, sure(answer), "a set") for answer in (said, filled))
    assert torch.equal(one.costs, other.costs)
    assert one.costs.tolist() == pytest.approx([1 * 3 / 9, 0.0, 2 * 3 / 9])
    assert float(one.costs.mean()) == pytest.approx(3 / 9), "the share of all nine steps that is wrong"
    right = task.outcomes(Plain, part, sure(part.y), "a set")
    verdict = compare(["a", "b"], [one, right]).pairs[0].verdict
    assert "b has a share of steps wrong of 0 against 0.3333 for a" in verdict
    assert "squared" not in verdict
    with pytest.raises(InputError, match="mix mean surprise in nats and share of steps wrong"):
        compare(["a", "b"], [one, Language(encoder()).outcomes(Plain, part, sure(said), "a set")])


def test_measures_of_answers_leave_out_steps_that_do_not_exist():
    part, task = labelled(), Tagging(encoder())
    truth = task.truth(part, Plain.ready)
    assert truth.tolist() == [[0, 1, 1, 0], [1, 0, ABSENT, ABSENT], [0, 0, 1, ABSENT]]
    result = task.measure(sure(torch.where(part.mask, part.y, 1 - part.y)), truth, seed=0)
    assert result.measures["accuracy"].value == result.measures["exact"].value == 1
    language = Language(encoder()).measure(sure(part.y), truth, seed=0)
    assert language.measures["nats"].value == pytest.approx(-math.log(0.95))


@pytest.mark.parametrize("name", ["squared", "cross-entropy:smoothing=0.2", "focal", "hinge"])
def test_nats_are_minus_the_log_of_what_is_answered_whatever_was_lowered(name):
    loss, task = losses.choose(name).make(), Language(encoder(("a", "b", "c")))
    outputs = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0]])
    answer = task.answer(outputs, loss)
    torch.testing.assert_close(answer.sum(-1), torch.ones(2, 4))
    if name == "squared":
        positive = outputs.clamp(min=1e-12)
        by_scores = torch.where((outputs > 0).any(-1, keepdim=True), positive / positive.sum(-1, keepdim=True), outputs.softmax(-1))
        torch.testing.assert_close(answer, by_scores)
    else:
        torch.testing.assert_close(answer, outputs.exp() / outputs.exp().sum(-1, keepdim=True))
    by_hand = torch.tensor([[-math.log(max(float(answer[i, t, y[i, t]]), 1e-300)) for t in range(4)] for i in range(2)])
    torch.testing.assert_close(nats(outputs, y, loss), by_hand.double(), rtol=1e-5, atol=1e-6)


def test_validation_of_a_text_names_its_nats_beside_the_loss_that_was_lowered(tmp_path):
    (tmp_path / "t.txt").write_text(TEXT)
    run = cr.train("t.txt", net="rnn:hidden=4", rule="bptt:window=8", loss="cross-entropy:smoothing=0.3", **QUICK)
    last = run.history[-1]
    assert last["valid_bits"] == pytest.approx(last["valid_nats"] / math.log(2))
    assert last["valid_perplexity"] == pytest.approx(math.exp(last["valid_nats"]))
    assert last["valid_loss"] != pytest.approx(last["valid_nats"], rel=1e-3)
    assert run.valid.measures["nats"].value == pytest.approx(last["valid_nats"], rel=0.05)


def test_a_text_is_answered_symbol_by_symbol_with_the_state_carried_along(tmp_path):
    """The whole text in one unrolling of the module, against what is predicted window by window, and what is written."""
    (tmp_path / "t.txt").write_text(TEXT)
    run = cr.train("t.txt", net="rnn:hidden=6", rule="bptt:window=16", **QUICK)
    vocabulary = run.trained.encoder.inputs.vocabulary
    for new in ("the cat", TEXT[:47], TEXT[:32]):
        (tmp_path / "new.txt").write_text(new)
        x = one_hot(vocabulary.encode(new)[None], len(vocabulary))
        with torch.no_grad():
            whole = run.net.unroll(x, run.net.initial(1))[0][0].softmax(-1)              # (t, classes)
        answer, names = run.predict("new.txt")
        torch.testing.assert_close(answer, whole)
        assert names == vocabulary.names
    from chainrule.workflows.predict import predict_to

    assert predict_to(run.trained, "new.txt", tmp_path / "out.csv") == 32
    table = pl.read_csv(tmp_path / "out.csv", quote_char='"')
    assert table.columns == ["row", "prediction", "probability"]
    assert table["probability"].to_list() == pytest.approx(whole.max(1).values.tolist(), rel=1e-5)
    assert run.test_on("t.txt").n == (len(TEXT) - 1) // 16
    assert run.predict(cr.load("t.txt"))[0].shape == (len(TEXT), len(names))


def test_predictions_of_labels_have_a_row_for_each_letter_that_exists(tmp_path):
    from chainrule.workflows.predict import predict_to

    lines = [f">s{i}\n{'ACDE'[i % 4] * (4 + i % 3)}\n{'HE'[i % 2] * (4 + i % 3)}" for i in range(40)]
    (tmp_path / "t.fasta").write_text("\n".join(lines) + "\n")
    run = cr.train("t.fasta", net="rnn:hidden=4", **QUICK)
    assert predict_to(run.trained, "t.fasta", tmp_path / "out.csv") == sum(4 + i % 3 for i in range(40))
    table = pl.read_csv(tmp_path / "out.csv")
    assert table.group_by("row", maintain_order=True).len()["len"].to_list() == [4 + i % 3 for i in range(40)]
    assert cr.train("t.fasta", net="rnn:hidden=4", seed=1, split_seed=0, **QUICK).job.task.name == "tagging"


def test_a_task_brings_its_net_where_the_rule_can_train_it(tmp_path):
    (tmp_path / "t.txt").write_text(TEXT)
    source = cr.load("t.txt")
    assert build(source, Options(task="language", rule="backprop", epochs=1)).net_name == "rnn"
    assert build(source, Options(task="language", epochs=1)).rule_name == "bptt"
    assert build(cr.load("iris"), Options(task="reconstruction", rule="backprop", epochs=1)).net_name == "autoencoder"
    assert build(cr.load("iris"), Options(rule="expectation", epochs=1)).net_name == "mixture"
