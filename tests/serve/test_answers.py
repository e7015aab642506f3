"""What the page says of trained nets is what the library says: the pad against `predict`, pairs against `compare`, Play against `train`."""

import base64
import time
from itertools import pairwise

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.serve import chain, drawing, generating, inside, pairing, playing
from chainrule.serve.folders import Runs
from chainrule.serve.opened import Opened
from chainrule.serve.play import Play, arguments
from chainrule.serve.worker import answered
from chainrule.workflows.picture import picture

QUICK = {"epochs": 4, "plan": "eager", "progress": False}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    cr.train("digits", net="mlp:hidden=16", out=root / "dense", **QUICK)
    cr.train("digits", net="convnet:pattern=8-pool,dense=16", out=root / "conv", **{**QUICK, "epochs": 1})
    cr.train("iris", net="mlp:hidden=6,dropout=0.1", out=root / "iris", **QUICK)
    cr.train("diabetes", net="mlp:hidden=6", out=root / "numbers", **QUICK)
    return root


@pytest.fixture
def opened(root):
    with torch.no_grad():
        yield Opened(Runs.at(root))


def bytes_of(packed):
    return np.frombuffer(base64.b64decode(packed["data"]), np.uint8).reshape(packed["c"], packed["h"], packed["w"])


@pytest.mark.parametrize("run", ["dense", "conv"])
def test_a_digit_on_the_pad_has_the_probabilities_of_predict(opened, root, run):
    pad = drawing.examples(opened, {"run": run})
    assert (pad["c"], pad["h"], pad["w"], pad["maximum"]) == (1, 8, 8, 16)
    for example in pad["examples"][:5]:
        ours = drawing.answer(opened, {"run": run, "pixels": example["pixels"]})
        pixels = np.array(example["pixels"], np.uint8).reshape(1, 1, 8, 8)
        theirs, names = cr.Run(root / run).predict(pixels)
        assert ours["classes"] == list(names)
        assert np.abs(np.array(ours["probabilities"]) - theirs[0].numpy()).max() <= 1e-5
        assert (bytes_of(ours["sees"])[0] == np.round(pixels[0, 0] / 16 * 255)).all()


def test_the_nearest_training_pictures_are_the_nearest(opened):
    data = opened.data({"run": "dense"})
    row = data.train.x[7].flatten().tolist()
    answer = drawing.answer(opened, {"run": "dense", "pixels": row})
    assert (answer["neighbours"][0]["row"], answer["neighbours"][0]["distance"]) == (int(data.train.rows[7]), 0.0)
    x = data.train.x.flatten(1).double()
    away = (x - torch.tensor(row, dtype=torch.float64)).square().mean(1).sqrt().sort().values[:5]
    assert torch.allclose(torch.tensor([one["distance"] for one in answer["neighbours"]], dtype=torch.float64), away, atol=1e-4)
    assert answer["far"]["far"] is False
    noise = torch.randint(0, 17, (64,), generator=torch.Generator().manual_seed(0)).tolist()
    assert drawing.answer(opened, {"run": "dense", "pixels": noise})["far"]["far"] is True


def test_sliders_at_rest_change_nothing_and_the_strips_agree_with_the_answer(opened):
    pixels = drawing.examples(opened, {"run": "dense"})["examples"][0]["pixels"]
    plain = drawing.answer(opened, {"run": "dense", "pixels": pixels})
    rest = drawing.answer(opened, {"run": "dense", "pixels": pixels, "sliders": drawing.UNCHANGED})
    assert rest["probabilities"] == plain["probabilities"]
    for strip in drawing.vary(opened, {"run": "dense", "pixels": pixels}):
        i = len(strip["values"]) // 2
        there = drawing.answer(opened, {"run": "dense", "pixels": pixels, "sliders": {strip["name"]: strip["values"][i]}})["probabilities"]
        assert strip["best"][i] == int(np.argmax(there))
        assert strip["probability"][i] == pytest.approx(max(there), abs=1e-5)


def test_a_shift_of_whole_pixels_is_one():
    x = torch.zeros(1, 1, 10, 10, dtype=torch.uint8)
    x[0, 0, 4, 3] = 9
    moved = drawing.changed(x, {**drawing.UNCHANGED, "shift x": 0.2, "shift y": -0.1}, 0, 16)
    assert moved[0, 0, 3, 5] == 9
    assert int(moved.sum()) == 9
    turned = drawing.changed(x, {**drawing.UNCHANGED, "rotation": 60.0}, 0, 16)
    assert int(turned.float().sum()) > 0


@pytest.mark.parametrize("pixels", [None, [], [1] * 63, [17] * 64, [0.5] * 64, ["1"] * 64, [-1] * 64])
def test_what_is_no_picture_is_a_sentence(opened, pixels):
    with pytest.raises(InputError):
        drawing.answer(opened, {"run": "dense", "pixels": pixels})


def test_the_graph_of_a_net_has_its_layers_and_who_reads_whom(opened):
    result = inside.graph_of(opened, {"run": "iris"})
    names = [node["name"] for node in result["nodes"]]
    assert names[0] == "input"
    assert {(names[i], names[j]) for i, j in result["edges"]} == set(pairwise(names))
    assert sum(node["parameters"] for node in result["nodes"]) == result["parameters"] == 4 * 6 + 6 + 6 * 3 + 3


def test_a_formula_on_the_page_is_the_lecture_s_and_its_sums_are_over_paths(opened):
    result = chain.chain(opened, {"formula": "e = (a + b) * (b + 1)", "at": {"a": 2, "b": 1, "gone": 5}})
    assert [(node["name"], node["value"], node["derivative"]) for node in result["nodes"]] == [
        ("a", 2, 2), ("b", 1, 5), ("a + b", 3, 2), ("b + 1", 2, 3), ("e = (a + b) * (b + 1)", 6, 1)]
    assert [(edge["tail"], edge["head"], edge["factor"]) for edge in result["edges"]] == [
        (0, 2, 1), (1, 2, 1), (1, 3, 1), (2, 4, 2), (3, 4, 3)]
    assert result["variables"] == {"a": 2, "b": 1}
    by_b = result["nodes"][1]["sum"]
    assert (by_b["paths"], by_b["total"]) == (2, 5)
    assert [(path["nodes"], path["factors"], path["product"]) for path in by_b["largest"]] == [
        ([1, 3, 4], [1, 3], 3), ([1, 2, 4], [1, 2], 2)]
    assert chain.chain(opened, {"formula": "x y"})["variables"] == {"x": 1, "y": 1}


def test_a_run_on_the_page_is_what_the_picture_of_it_says(opened, root, tmp_path):
    run = cr.Run(root / "iris")
    row = int(run.job.data.valid.rows[2])
    ours = chain.chain(opened, {"run": "iris", "row": row})
    with torch.enable_grad():
        theirs = picture(run, "graph", tmp_path / "g.png", row=row).figures
    nodes = {one["node"]: (one["value"], one["derivative"]) for one in theirs if "node" in one}
    assert {node["name"]: (node["value"], node["derivative"]) for node in ours["nodes"]} == nodes
    assert {(e["weight"], e["derivative"]) for e in ours["edges"] if e["weight"]} == {
        (one["weight"], one["derivative of weight"]) for one in theirs if "weight" in one}
    assert all(node["sum"]["total"] == pytest.approx(node["derivative"]) for node in ours["nodes"][:-1])
    assert ours["row"] == row
    layers = chain.chain(opened, {"run": "conv"})
    assert "numbers for one row" in layers["why"]
    assert layers["layers"][-1]["derivatives"] == [1.0]
    assert layers["paths"] == 1


@pytest.mark.parametrize("question", [
    {"formula": 3}, {"formula": ""}, {"formula": "a = a + 1"}, {"formula": "a +"}, {"formula": "(" * 500 + "a"}, {"formula": "a" * 10**5},
    {"formula": "import os; os"}, {"formula": "__import__('os')"}, {"formula": "a", "at": {}}, {"formula": "a b", "at": []},
    {"formula": "a b", "at": {"a": "1"}}, {"formula": "a b", "at": {"a": True}}, {"formula": "a b", "at": {"a": 10**400}},
    {"formula": "a b", "at": {"a": float("nan")}}, {"formula": "a b", "at": {"a": None}}, {"run": "iris", "row": -1},
    {"run": "iris", "row": "3"}, {"run": "iris", "row": 10**30}, {"run": "iris", "row": True}, {"run": "numbers", "row": 442}])
def test_what_is_no_formula_no_value_and_no_row_is_a_sentence(opened, question):
    with pytest.raises(InputError):
        chain.chain(opened, question)


def test_the_rows_that_excite_a_unit_most_do(opened):
    result = inside.neurons(opened, {"run": "dense", "layer": "hidden1"})
    trained, data = opened.trained({"run": "dense"}), opened.data({"run": "dense"})
    values = trained.ready(data.train.x).flatten(1) @ trained.net.module.hidden1.weight.T + trained.net.module.hidden1.bias
    for unit in result["units"]:
        best = values[:, unit["unit"]].topk(6).values
        assert torch.allclose(torch.tensor([row["value"] for row in unit["rows"]]), best, atol=1e-4)
    assert (result["of"], len(result["units"])) == (16, 16)
    table = inside.neurons(opened, {"run": "iris"})
    assert len(table["names"]) == 4
    assert table["units"][0]["rows"][0]["picture"] is None


def test_mistakes_are_wrong_and_the_surest_first(opened):
    result = drawing.mistakes(opened, {"run": "dense"})
    assert result["n"] == 270
    assert all(one["guesses"][0]["name"] != one["truth"] for one in result["mistakes"])
    sure = [one["guesses"][0]["probability"] for one in result["mistakes"]]
    assert sure == sorted(sure, reverse=True)


def test_pairs_are_tested_on_the_rows_that_validated(opened, root):
    result = pairing.compare_runs(opened, {"runs": ["dense", "conv"]})
    wrong = [round((1 - cr.Run(root / name).valid.accuracy) * 270) for name in ("dense", "conv")]
    assert (result["n"], result["scores"]) == (270, [float(w) for w in wrong])
    assert not (root / "openings.jsonl").exists()
    with pytest.raises(InputError):
        pairing.compare_runs(opened, {"runs": ["dense", "iris"]})


def test_dreams_of_a_net_that_makes_none_are_a_sentence(opened):
    with pytest.raises(InputError):
        generating.dream(opened, {"run": "dense"})


def test_a_dream_is_the_sample_of_its_seed(tmp_path):
    run = cr.train("digits", net="rbm:hidden=8", out=tmp_path / "rbm", **{**QUICK, "epochs": 1})
    opened = Opened(Runs.at(tmp_path))
    ours = generating.dream(opened, {"run": "rbm", "n": 3, "seed": 5})
    theirs = run.sample(3, seed=5).rows
    assert len(ours["pictures"]) == 3
    assert (bytes_of(ours["pictures"][0])[0] == (theirs[0].reshape(8, 8).float() / 16 * 255).round().clamp(0, 255).numpy()).all()


def test_what_cannot_be_answered_is_a_sentence_and_the_next_is_answered(opened):
    assert "error" in answered(opened, "{")
    assert "error" in answered(opened, '{"about": "nothing"}')
    assert "error" in answered(opened, '{"about": "net", "run": "../x"}')
    assert "answer" in answered(opened, '{"about": "net", "run": "dense"}')


@pytest.mark.parametrize("asked", [{}, {"data": "/etc/passwd"}, {"data": "../x.csv"}, {"data": "spiral;ls"}, {"data": "--help"},
                                   {"data": "spiral", "out": "/tmp/x"}, {"data": "spiral", "net": "mlp --out=/x\n"},
                                   {"data": "spiral", "from": "x"}, {"data": 3}])
def test_play_takes_no_other_options(asked):
    with pytest.raises(InputError):
        arguments(asked)


def test_play_is_the_run_that_its_command_is(tmp_path):
    """Paused before its first step, let go for seven steps: the weights are those of `train --steps 7`."""
    from chainrule.engine import checkpoint
    from chainrule.engine.commands import Command, send

    options = {"data": "moons:count=100", "net": "mlp:hidden=4x3", "optimizer": "sgd:rate=0.3", "batch": 20, "seed": 3}
    play = Play(tmp_path)
    try:
        folder = tmp_path / play.start(options)["run"]
        opened = Opened(Runs.at(tmp_path))

        def at(step, seconds=90):
            for _ in range(seconds * 20):
                if (folder / "last.safetensors").exists() and checkpoint.read(folder / "last.safetensors")[1]["position"]["step"] == step:
                    return checkpoint.read(folder / "last.safetensors")[0]
                assert play.child.poll() is None, (folder / "play.txt").read_text()
                time.sleep(0.05)
            raise AssertionError(f"never at step {step}")

        at(0)
        first = playing.pictures(opened, {"run": folder.name})
        assert [layer["units"] for layer in first["layers"]][:1] == [4]
        assert first["step"] == 0
        send(folder, Command("go", 7))
        weights = at(7)
        assert playing.pictures(opened, {"run": folder.name})["step"] == 7
    finally:
        play.close()
    alone = cr.train("moons:count=100", net="mlp:hidden=4x3", optimizer="sgd:rate=0.3", batch=20, seed=3, steps=7, plan="eager",
                     out=tmp_path / "alone", progress=False)
    last = checkpoint.read(alone.path / "last.safetensors")[0]
    for name in ("hidden1.weight", "hidden2.bias", "output.weight"):
        assert torch.equal(weights[f"run/net/{name}"], last[f"run/net/{name}"])
