"""The rows of the canon on single layers and on learning, as a user meets them: by name, on the command line, with its mistakes."""

import pytest

from chainrule.cli.main import run_command
from chainrule.core import registry
from chainrule.core.errors import InputError
from chainrule.core.registry import REQUIRED, optimizers
from chainrule.nets.layers.activation import ACTIVATIONS, make_activation

ROWS = {
    "B1": ("rules", "closedform adaline backprop search"),
    "B2": ("nets", "tanh-unit"),
    "B3": ("nets", "mcculloch-pitts perceptron mark-i"),
    "B3 rules": ("rules", "perceptron pocket averaged"),
    "B4": ("rules", "adaline madaline-i madaline-ii madaline-iii"),
    "B5": ("rules", "irls backprop"),
    "B5 nets": ("nets", "linear softmax"),
    "C3": ("losses", "squared cross-entropy perceptron hinge absolute contrastive"),
    "C4": ("inits", "zeros uniform normal lecun xavier he table orthogonal random-walk lsuv data-dependent"),
    "C5": ("optimizers", "sgd momentum nesterov adagrad adadelta rmsprop adam adamw muon bold-driver delta-bar-delta rprop irprop lbfgs "
                         "newton conjugate gauss-newton levenberg hessian-free kfac"),
    "C6": ("schedules", "step exponential cosine one-cycle warm-up"),
    "C7": ("constraints", "max-norm"),
    "C9": ("nets", "experts expert-values"),
}
RATED = [entry.name for entry in optimizers.entries() if "rate" in entry.options]


@pytest.mark.parametrize("row", ROWS)
def test_what_the_row_names_is_a_name_with_a_source(row):
    kind, names = ROWS[row]
    for name in names.split():
        entry = getattr(registry, kind).find(name)
        assert entry.summary
        assert entry.source


def test_the_activations_of_the_canon_are_names():
    wanted = ["step", "sign", "identity", "sigmoid", "tanh", "relu", "leaky", "elu", "softplus", "softmax", "maxout"]
    assert set(wanted) <= set(ACTIVATIONS)
    with pytest.raises(InputError, match="Did you mean relu"):
        make_activation("rleu")


def test_step_halves_as_the_row_says():
    """The canon's step falls at 50 % and at 75 %, and nowhere else."""
    import torch

    step = registry.schedules.choose("step").make()
    shares = torch.linspace(0, 1, 1001, dtype=torch.double)
    values = [float(step(share)) for share in shares]
    falls = [float(share) for share, before, after in zip(shares[1:], values, values[1:]) if after != before]
    assert falls == pytest.approx([0.5, 0.75], abs=2e-3)


@pytest.mark.parametrize("rate", ["0", "-0.1", "nan", "inf"])
def test_a_rate_that_is_no_rate_is_refused_by_every_optimizer_that_has_one(rate):
    assert {"sgd", "momentum", "adam", "kfac"} <= set(RATED)
    for name in RATED:
        with pytest.raises(InputError, match="expects rate to be a"):
            optimizers.choose(f"{name}:rate={rate}").make()


def table(path, rule):
    rows = [(a, b, rule(a, b)) for a in (0, 1) for b in (0, 1)] * 20
    path.write_text("a,b,y\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n")


def said(capsys, *words):
    code = run_command([str(word) for word in words])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


@pytest.mark.parametrize(("name", "logic", "separable"), [("and", lambda a, b: a & b, True), ("or", lambda a, b: a | b, True),
                                                          ("xor", lambda a, b: a ^ b, False)])
def test_a_perceptron_of_a_table_ends_with_the_verdict(name, logic, separable, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "t.csv", logic)
    code, out, err = said(capsys, "train", "t.csv", "--target", "y", "--net", "perceptron", "--rule", "perceptron", "--epochs", 20,
                          "--plan", "eager", "--out", "run")
    assert code == 0
    assert ("not linearly separable" in out + err) is not separable
    assert ("accuracy 100.00 % " in out) is separable


def test_a_singular_design_is_refused_or_told_by_rank_and_column(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [f"{i % 7},{i * i % 11},{i % 7 + i * i % 11},{(i * 37) % 23 / 3}" for i in range(90)]
    (tmp_path / "t.csv").write_text("a,b,sum,y\n" + "\n".join(lines) + "\n")
    code, out, err = said(capsys, "train", "t.csv", "--target", "y", "--net", "linear", "--rule", "closedform", "--out", "run")
    assert code == 0
    assert "rank" in out + err
    assert "sum" in out + err


@pytest.mark.parametrize(("words", "sentence"), [
    (("--rule", "closedform", "--net", "mlp"), "--rule backprop"),
    (("--rule", "madaline-ii", "--net", "mlp"), "--rule backprop"),
    (("--rule", "perceptron", "--optimizer", "lbfgs"), "--rule backprop"),
    (("--loss", "contrastive"), "--loss cross-entropy"),
    (("--fold", "1/5000"), "fewer folds"),
    (("--epochs", "many"), "--epochs expects a whole number; got 'many'."),
    (("--seconds", "x"), "--seconds expects a number; got 'x'."),
    (("--target", "--out", "there"), "--target may lack its value"),
    (("--stages", "foo"), "--stages is layers, none or a rule that learns from batches without targets, e.g. divergence; got 'foo'."),
    (("--epochs",), "--epochs lacks its value. See chainrule train --help."),
    (("--net", "mlp:hidden=30,hidden=40"), "given hidden twice"),
])
def test_a_mistake_is_one_sentence_that_says_what_to_do(words, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = said(capsys, "train", "digits", *words)
    assert code == 2
    assert sentence in err
    assert not out
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_no_option_of_an_optimizer_is_required():
    assert not [(e.name, o.name) for e in optimizers.entries() for o in e.options.values() if o.default is REQUIRED]
