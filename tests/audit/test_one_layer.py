"""What runs of one layer say: dependent columns before a closed form, separability after a perceptron."""

import json

import pytest
import torch

import chainrule as cr
from chainrule.audit.one_layer import after, before
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.job.build import build, trainable
from chainrule.job.options import Options

np = pytest.importorskip("numpy")
CORNERS = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]] * 15, dtype=np.float32)


def job_of(data, **options):
    return build(cr.load(data), Options.from_json({"plan": "eager", **options}))


def trained(y, rule: str, **options):
    job = job_of((CORNERS, np.tile(y, 15)), rule=rule, epochs=20, **options)
    for _ in job.events():
        pass
    return job


def test_a_singular_design_is_told_by_column_before_it_is_solved():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=80), rng.normal(size=80)
    frame = pandas.DataFrame({"a": a, "b": b, "both": a + b, "y": a - b + rng.normal(size=80)})
    job = build(cr.load(frame, target="y"), Options.from_json({"rule": "closedform", "net": "linear"}))
    (told,) = before(job)
    assert told.startswith("The inputs have rank 2, not 3: both = ")
    assert " a + " in told
    assert before(build(cr.load(frame, target="y"), Options.from_json({"rule": "closedform:ridge=0.1", "net": "linear"}))) == []
    assert before(build(cr.load(frame[["a", "b", "y"]], target="y"), Options.from_json({"rule": "closedform", "net": "linear"}))) == []


@pytest.mark.parametrize("rule", ["perceptron", "pocket", "averaged"])
def test_xor_ends_with_the_verdict_and_or_with_the_other(rule):
    (told,) = after(trained([0, 1, 1, 0], rule))
    assert "not linearly separable" in told
    assert "--net mlp" in told
    (told,) = after(trained([0, 1, 1, 1], rule))
    assert "are linearly separable" in told
    assert "not linearly separable" not in told


def test_several_classes_and_irls_are_told_too():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = (np.array([[0, 2], [2, -1], [-2, -1]])[y] + 2 * rng.normal(size=(90, 2))).astype(np.float32)
    job = job_of((x, y), rule="irls", epochs=20)
    for _ in job.events():
        pass
    (told,) = after(job)
    assert "not linearly separable" in told
    far = job_of((x + 20 * np.eye(3)[y][:, :2].astype(np.float32) - 20 * (y == 2)[:, None], y), rule="irls", epochs=20)
    for _ in far.events():
        pass
    assert "are linearly separable" in after(far)[0]
    assert after(job_of("iris", net="mlp")) == []


def test_what_would_take_long_is_not_begun(monkeypatch):
    from chainrule.audit import one_layer

    monkeypatch.setattr(one_layer, "quick", lambda *_: False)
    (told,) = after(trained([0, 1, 1, 0], "perceptron"))
    assert "was not decided" in told


def test_a_net_with_nothing_to_train_is_refused():
    with pytest.raises(InputError, match=r"mcculloch-pitts has nothing to train.*Train one of .*perceptron"):
        trainable(nets.choose("mcculloch-pitts").make((2,), 1), "mcculloch-pitts", nets.choose("mcculloch-pitts"))
    trainable(torch.nn.Linear(2, 1), "linear", None)


def test_what_there_is_to_say_is_said_on_the_command_line(tmp_path, capsys, monkeypatch):
    """Rank and columns before training, whether a plane parts the classes after it, and that fixed units learn nothing."""
    monkeypatch.chdir(tmp_path)
    rows = [(a, b) for a in (0, 1) for b in (0, 1)] * 20
    (tmp_path / "xor.csv").write_text("a,b,y\n" + "".join(f"{a},{b},{'yes' if a != b else 'no'}\n" for a, b in rows))
    assert run_command(["train", "xor.csv", "--target", "y", "--rule", "perceptron", "--epochs", "3", "--json"]) == 0
    told = capsys.readouterr().out
    assert "not linearly separable" in told
    assert "not linearly separable" in json.loads(told.splitlines()[-1])["notes"][0]
    (tmp_path / "twice.csv").write_text("a,b,y\n" + "".join(f"{i % 7},{2 * (i % 7)},{3 * (i % 7) + i % 2}\n" for i in range(60)))
    assert run_command(["train", "twice.csv", "--target", "y", "--rule", "closedform"]) == 0
    assert "rank" in "".join(capsys.readouterr())
    assert run_command(["train", "xor.csv", "--target", "y", "--net", "mcculloch-pitts"]) == 2
    assert "nothing to train" in capsys.readouterr().err
