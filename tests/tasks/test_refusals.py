"""What a task, a rule, a net or a loss cannot do with some data is said in one sentence before anything is trained."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.core.registry import losses
from chainrule.data.prepare import prepare
from chainrule.job.build import build, check_loss
from chainrule.job.options import Options

TEXT = "the quick brown fox jumps over the lazy dog. " * 20


def source(name, tmp_path):
    if name == "text":
        (tmp_path / "t.txt").write_text(TEXT)
        return cr.load(tmp_path / "t.txt")
    if name == "labels":
        lines = [f">s{i}\n{'ACDE'[i % 4] * (4 + i % 3)}\n{'HE'[i % 2] * (4 + i % 3)}" for i in range(40)]
        (tmp_path / "t.fasta").write_text("\n".join(lines) + "\n")
        return cr.load(tmp_path / "t.fasta")
    if name == "sequences":
        (tmp_path / "t.fasta").write_text("".join(f">s{i}\n{'ACDE'[i % 4] * (4 + i % 3)}\n" for i in range(40)))
        return cr.load(tmp_path / "t.fasta")
    if name == "table":
        return cr.load({"a": list(range(40)), "b": [i % 3 for i in range(40)]}, target="none")
    return cr.load(name)


LABELLING = r"Write a label into the header of each sequence, e\.g\. >seq1 label=coding, or one for each letter into a line below it"
NO_TEXT = "language asks which symbol of a text comes next; {} is no text"
NOT_ALONG = "bptt carries its state along one text, and the rows of {} do not go on from one another"
CASES = [
    ("digits", {"net": "rnn"}, r"rnn reads sequences of rows \(t, d\), or series \(t,\); got inputs of shape \(1, 8, 8\)"),
    ("iris", {"task": "language"}, NO_TEXT.format("iris")), ("digits", {"task": "language"}, NO_TEXT.format("digits")),
    ("iris", {"rule": "bptt"}, NOT_ALONG.format("iris")), ("digits", {"rule": "bptt"}, NOT_ALONG.format("digits")),
    *(("sequences", asked, "expected a text, of which the next symbol is foretold, or data with targets; t is no text and has none. "
       + LABELLING + ", or use --net hmm, which learns without") for asked in ({"net": "lstm"}, {"net": "rnn"})),
    ("sequences", {"net": "mlp"}, "backprop needs targets; t has none. " + LABELLING + ", or use --net hmm"),
    ("sequences", {"rule": "perceptron"}, LABELLING),
    ("table", {"net": "lstm"}, "has none. Name a column with --target, or use --net rbm"),
    ("labels", {"task": "language"}, "holds sequences with labels. Use --task tagging"),
    ("labels", {"rule": "bptt"}, NOT_ALONG.format("t")),
    ("labels", {"rule": "pocket"}, "pocket reads one target a sample; t has one for every step"),
    ("labels", {"rule": "irls"}, "irls reads one target a sample"),
    ("labels", {"rule": "closedform"}, "closedform reads one target a sample"),
    ("labels", {"rule": "search"}, "search reads one target a sample"), ("text", {"rule": "closedform"}, "closedform reads one target"),
    ("text", {"bootstrap": 1}, "some rows between these are left out or there twice"),
    ("diabetes", {"loss": "binary-cross-entropy"}, "reads targets from 0 to 1; those of diabetes are scaled"),
    ("iris", {"net": "autoencoder", "loss": "binary-cross-entropy"}, r"the rows of iris go from -\d\.\d+ to \d\.\d+ as a net reads them"),
    ("iris", {"net": "autoencoder", "loss": "cross-entropy"}, "reads class targets; iris gives the rows themselves, which are real"),
    ("digits", {"net": "autoencoder", "loss": "hinge"}, "reads sign or class targets; digits gives the rows themselves"),
    ("labels", {"loss": "huber"}, "loss huber reads real targets; t gives steps ones. Use --loss cross-entropy")]


@pytest.mark.parametrize(("data", "options", "message"), CASES, ids=[f"{d}-{o}" for d, o, _ in CASES])
def test_it_is_refused_in_one_sentence(data, options, message, tmp_path):
    with pytest.raises(InputError, match=message) as refused:
        build(source(data, tmp_path), Options(epochs=1, plan="eager", **options))
    assert "\n" not in str(refused.value)


def test_numbers_from_zero_to_one_may_be_reconstructed_by_their_log_odds():
    assert build(cr.load("digits"), Options(net="autoencoder", loss="binary-cross-entropy", epochs=1)).loss.name == "binary-cross-entropy"
    x = torch.rand(50, 3)
    check_loss(losses.choose("binary-cross-entropy").make(), prepare(cr.load((x, torch.arange(50) % 2)), range="unit"), "rows")


def test_what_does_not_fit_names_the_outputs_that_the_task_wants(tmp_path):
    class Narrow(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 3)

        def forward(self, x):
            return self.layer(x)

    from chainrule.job.own import Own

    with pytest.raises(InputError, match=r"inputs of shape \(4,\), 4 outputs wanted"):
        build(cr.load("iris"), Options(task="reconstruction", epochs=1), Own(net=Narrow()))


def test_comparators_and_committees_know_neither_steps_nor_reconstructions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = {"epochs": 1, "plan": "eager", "threads": 1, "progress": False}
    run = cr.train("iris", net="autoencoder:code=2", **quick)
    with pytest.raises(InputError, match="was trained for reconstruction; knn know classes and numbers alone"):
        cr.compare(run, "knn")
    with pytest.raises(InputError, match="a committee is of nets that classify samples or steps, or predict values"):
        cr.committee(run, run)
