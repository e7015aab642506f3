"""Starting from trained weights: what is taken and what begins anew, what stays fixed, that the folder stands alone, what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from public_nets import Made, googlenet, vgg
from safetensors.torch import save_file
from torch import nn

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import CorruptFile, InputError, Interrupted
from chainrule.core.events import Warned
from chainrule.engine.stop import Stop
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.job.start import layers_of

LENET = "lenet:filters=4x6,hidden=16,norm=batch"
USUAL = {"epochs": 2, "batch": 50, "plan": "eager", "progress": False}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def zero_to_four(tmp_path_factory):
    """A net of the digits 0 to 4, which no test writes to."""
    return cr.train("digits", net=LENET, classes="0,1,2,3,4", out=tmp_path_factory.mktemp("source") / "run", **USUAL)


def five_to_nine(source, **options):
    return cr.train("digits", **{"classes": "5,6,7,8,9", "from_": source, **USUAL, **options})


def tensors(run):
    return {name: t.detach().clone() for name, t in run.trained.net.tensors.items()}


def started(data, source, **options):
    """A net as it is before its first step."""
    return build(cr.load(data) if not isinstance(data, tuple) else cr.load(*data), Options(from_=str(source), **options))


def test_other_classes_begin_the_output_layer_anew_though_its_shape_is_the_same(zero_to_four):
    job = started("digits", zero_to_four.path, classes="5,6,7,8,9")
    theirs, ours = tensors(zero_to_four), job.net.tensors
    assert theirs["output.weight"].shape == ours["output.weight"].shape
    assert {name for name in ours if not torch.equal(theirs[name], ours[name])} == {"output.weight", "output.bias"}
    assert job.net_name == LENET


def test_the_same_classes_make_a_net_that_answers_as_the_first_did(zero_to_four):
    job = started("digits", zero_to_four.path, classes="0,1,2,3,4", seed=3)
    rows = job.data.valid
    torch.testing.assert_close(job.trained.predictions(rows), zero_to_four.trained.predictions(rows), rtol=0, atol=0)
    assert not job.start.about["anew"]


def test_another_task_begins_the_output_layer_anew(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3)).astype("f4")
    first = cr.train((x, x[:, 0]), net="mlp:hidden=4", **USUAL)
    job = started((x, ["even", "odd"] * 30), first.path)
    assert set(job.start.about["taken"]) == {"layers.hidden1"} or job.start.about["taken"] == ["hidden1"]


def table(path, shift, scale, rows, target, seed=0):
    """A CSV of a word and two numbers, of another place and spread, and what is to be predicted of them."""
    rng = np.random.default_rng(seed)
    x = shift + scale * rng.normal(size=(rows, 2))
    words = rng.choice(["red", "green", "blue"], size=rows)
    y = x @ [1.0, -2.0] + (words == "red")
    path.write_text(f"colour,length,width,{target}\n" + "".join(f"{w},{a},{b},{c}\n" for w, (a, b), c in zip(words, x, y, strict=True)))
    return path


def test_a_table_is_read_by_the_statistics_of_the_first_run_so_that_the_net_answers_as_it_did(tmp_path):
    """The second table lies elsewhere and lacks a word: by its own statistics every answer would change."""
    first = cr.train(table(tmp_path / "a.csv", 0, 1, 80, "price"), net="mlp:hidden=6", target="price", **USUAL)
    second = table(tmp_path / "b.csv", 40, 7, 60, "price", seed=1)
    second.write_text("".join(line for line in second.read_text().splitlines(keepends=True) if not line.startswith("blue")))
    job = build(cr.load(second, target="price"), Options(from_=str(first.path), target="price"))
    ours = job.trained.predictions(job.data.valid)
    theirs, _ = first.predict(second)
    torch.testing.assert_close(ours, theirs[job.data.valid.rows], rtol=1e-6, atol=1e-5)
    own = build(cr.load(second, target="price"), Options(net="mlp:hidden=6", target="price"))
    assert own.data.encoder.inputs.features.scale.shape == job.data.encoder.inputs.features.scale.shape
    assert not torch.allclose(own.data.encoder.inputs.features.scale, job.data.encoder.inputs.features.scale)


def test_another_target_of_numbers_has_its_own_scale(tmp_path):
    first = cr.train(table(tmp_path / "a.csv", 0, 1, 80, "price"), net="mlp:hidden=6", target="price", **USUAL)
    job = build(cr.load(table(tmp_path / "b.csv", 40, 7, 60, "weight"), target="weight"), Options(from_=str(first.path), target="weight"))
    numbers = cr.load(tmp_path / "b.csv", target="weight").targets[job.data.train.rows]
    torch.testing.assert_close(job.data.encoder.target.scale[0].float(), numbers.float().reshape(len(numbers), 1).mean(0))


def test_a_text_is_read_by_the_alphabet_of_the_first(tmp_path):
    (tmp_path / "a.txt").write_text("the cat sat on the mat. " * 40)
    (tmp_path / "b.txt").write_text("a rat ate that hat; zz. " * 40)
    first = cr.train(tmp_path / "a.txt", net="rnn:hidden=8", **{**USUAL, "epochs": 1})
    job = started(tmp_path / "b.txt", first.path)
    assert job.data.encoder.inputs.vocabulary == first.trained.encoder.inputs.vocabulary
    assert not job.start.about["anew"]


def test_fixed_layers_stay_as_they_are_their_running_statistics_too(zero_to_four):
    run = five_to_nine(zero_to_four, freeze="features")
    theirs, ours = tensors(zero_to_four), tensors(run)
    same = {name for name in ours if torch.equal(theirs[name], ours[name])}
    assert same == {name for name in ours if name.startswith("features.")}
    assert any(name.endswith("running_var") for name in same)
    assert run.record["parameters"] == sum(t.numel() for name, t in run.trained.net.params.items() if not name.startswith("features."))


def test_all_fixes_whatever_is_taken_but_the_output_layer(zero_to_four):
    run = five_to_nine(zero_to_four, freeze="all")
    theirs, ours = tensors(zero_to_four), tensors(run)
    assert {name for name in ours if not torch.equal(theirs[name], ours[name])} == {"output.weight", "output.bias"}


def test_without_freeze_everything_moves(zero_to_four):
    theirs, ours = tensors(zero_to_four), tensors(five_to_nine(zero_to_four))
    assert not [name for name in ours if torch.equal(theirs[name], ours[name])]


def test_a_run_stands_alone_when_the_first_is_gone(zero_to_four, tmp_path):
    """The weights it began with are in its folder: it repeats, predicts and says where they came from, by their hash."""
    shutil.copytree(zero_to_four.path, tmp_path / "first")
    run = five_to_nine(tmp_path / "first", freeze="features")
    shutil.rmtree(tmp_path / "first")
    again = cr.Run(run.path)
    assert cr.repeat(run.path, progress=False) == (True, 0.0)
    torch.testing.assert_close(again.predict("digits")[0], run.predict("digits")[0])
    about = again.record["start"]
    assert len(about["sha256"]) == 64
    assert about["run"] == zero_to_four.record["run"]
    assert (about["taken"], about["anew"], about["fixed"]) == (["features", "hidden", "norm"], ["output"], "features")


def test_an_interrupted_run_goes_on_to_the_same_bits(zero_to_four):
    stop = Stop()
    whole = five_to_nine(zero_to_four, freeze="features.conv1", out="whole", epochs=3)
    with pytest.raises(Interrupted):
        five_to_nine(zero_to_four, freeze="features.conv1", out="part", epochs=3, stop=stop,
                     sinks=[lambda event: stop.request("test") if getattr(event, "epoch", 0) == 1 else None])
    resumed = cr.resume("part", progress=False)
    assert all(torch.equal(a, b) for a, b in zip(tensors(whole).values(), tensors(resumed).values(), strict=True))


def test_members_start_from_the_same_weights(zero_to_four):
    runs = five_to_nine(zero_to_four, freeze="features", members=2).runs
    first, second = map(tensors, runs)
    same = {name for name in first if torch.equal(first[name], second[name])} - {"norm.num_batches_tracked"}
    assert same == {name for name in first if name.startswith("features.")}


def test_it_is_said_what_is_taken_and_which_test_rows_were_learned_from(zero_to_four):
    events = []
    cr.train("digits", from_=zero_to_four, classes="0,1,2,3,4", split_seed=5, sinks=[events.append], **USUAL)
    notes = [event.message for event in events if isinstance(event, Warned)]
    assert f"Started from {zero_to_four.path} ({LENET}): features, hidden, norm and output are taken." in notes
    (seen,) = [note for note in notes if "learned from" in note]
    rows = cr.load("digits").inputs.flatten(1).tolist()
    own = build(cr.load("digits"), Options(classes="0,1,2,3,4", split_seed=5)).data.door.rows.tolist()
    trained = {tuple(rows[i]) for i in zero_to_four.job.data.train.rows.tolist()}
    assert seen.startswith(f"{sum(tuple(rows[i]) in trained for i in own)} of {len(own)} test rows are among those that")


def pictures(side, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, size=(24, 3, side, side), dtype=np.uint8), np.arange(24) % 3


@pytest.mark.parametrize(("restated", "made", "mean", "deviation", "theirs", "ours"), [
    (vgg, {"width": 0.0625}, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "classifier.6", "dense.output"),
    (googlenet, {"width": 0.125, "epsilon": 1e-3}, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "fc", "output"),
], ids=["vgg", "googlenet"])
def test_a_public_file_makes_the_public_net_on_pictures_scaled_as_it_reads_them(tmp_path, restated, made, mean, deviation, theirs, ours):
    torch.manual_seed(0)
    x, y = pictures(64 if restated is googlenet else 32)
    weights = Made(**made)
    scaled = (torch.from_numpy(x) / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None]
    restated(weights, scaled[:2], 7)
    save_file({name: t.contiguous() for name, t in weights.tensors.items()}, tmp_path / "public.safetensors")
    run = cr.train((x, y), from_=tmp_path / "public.safetensors", freeze="all", **{**USUAL, "epochs": 1, "batch": 8})
    assert run.record["start"]["anew"] == [ours]
    weights.tensors |= {f"{theirs}.{name}": p.detach() for name, p in run.net.get_submodule(ours).named_parameters()}
    expected = restated(weights, scaled, 3).softmax(1)
    torch.testing.assert_close(run.predict(x)[0], expected, rtol=1e-3, atol=1e-4)
    if restated is vgg:
        assert run.export("onnx")[1] < 1e-5


def test_a_file_of_our_own_names_needs_the_net_named(zero_to_four, tmp_path):
    shutil.copy(zero_to_four.path / "best.safetensors", tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"w.safetensors does not say which net its weights are of. Name it with --net"):
        five_to_nine(tmp_path / "w.safetensors")
    assert five_to_nine(tmp_path / "w.safetensors", net=LENET).record["start"]["anew"] == ["output"]


class Own(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.first, self.last = nn.Linear(64, 8), nn.Linear(8, outputs)

    def forward(self, x):
        return self.last(self.first(x.flatten(1)).tanh())


def test_a_module_of_ones_own_begins_its_last_layer_anew():
    first = cr.train("digits", net=Own(10), **USUAL)
    run = cr.train("digits", net=Own(3), classes="1,2,3", from_=first, freeze="first", **USUAL)
    assert torch.equal(run.net.first.weight, first.net.first.weight)
    with pytest.raises(InputError, match=r"trained a module of your own, Own. Give one with the same layers"):
        cr.train("digits", from_=first, **USUAL)


def test_what_does_not_fit_is_refused_with_the_layers_named(zero_to_four):
    with pytest.raises(InputError, match=r"features.conv2 \(6 x 4 x 5 x 5 there, 8 x 4 x 5 x 5 here\), features.norm2 \(6 there, 8 here\), "
                                         r"hidden \(16 x 24 there, 16 x 32 here\).* Its net is lenet:filters=4x6"):
        five_to_nine(zero_to_four, net="lenet:filters=4x8,hidden=16,norm=batch")
    with pytest.raises(InputError, match=r"for inputs of 64: features.conv1 \(not here\), features.conv2 \(not here\)"):
        five_to_nine(zero_to_four, net="softmax", rule="perceptron")
    x, y = np.zeros((30, 1, 16, 16), np.uint8), np.arange(30) % 3
    x[:, 0, 0, 0] = 255
    with pytest.raises(InputError, match=r"hidden \(16 x 24 there, 16 x 6 here\).*Bring the pictures to its size, 8 x 8"):
        cr.train((x, y), from_=zero_to_four, **USUAL)
    with pytest.raises(InputError, match="iris holds the rows of a table; the net that is started from reads pictures"):
        cr.train("iris", from_=zero_to_four, **USUAL)


def test_wrong_names_are_refused(zero_to_four, tmp_path):
    with pytest.raises(InputError, match=r"--freeze feature: the net has no such layer. Did you mean features"):
        five_to_nine(zero_to_four, freeze="feature")
    with pytest.raises(InputError, match="--freeze output: output is begun anew"):
        five_to_nine(zero_to_four, freeze="output")
    with pytest.raises(InputError, match=r"fixes all layers .* and leaves nothing to train"):
        cr.train("digits", classes="0,1,2,3,4", from_=zero_to_four, freeze="features+hidden+norm+output", **USUAL)
    one_layer = cr.train("iris", net="softmax", **USUAL)
    with pytest.raises(InputError, match=r"--freeze all leaves the output layer to be trained, and what is taken from .* has no other"):
        cr.train("iris", from_=one_layer, freeze="all", **USUAL)
    with pytest.raises(InputError, match="--freeze features fixes layers of a trained net, and none is started from"):
        cr.train("digits", freeze="features", **USUAL)
    with pytest.raises(InputError, match=f"There is no run in --from {zero_to_four.path}s. Did you mean {zero_to_four.path}"):
        five_to_nine(f"{zero_to_four.path}s")
    (tmp_path / "broken.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(CorruptFile, match=r"broken.safetensors is not a whole file of weights"):
        five_to_nine(tmp_path / "broken.safetensors")
    (tmp_path / "other.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match=r"neither a run folder nor a .safetensors file"):
        five_to_nine(tmp_path / "other.csv")


def test_missing_data_and_damaged_weights_are_one_sentence(zero_to_four, tmp_path):
    first = table(tmp_path / "a.csv", 0, 1, 80, "price")
    source = cr.train(first, net="mlp:hidden=6", target="price", **USUAL)
    run = cr.train(first, target="price", from_=source, **USUAL)
    content = bytearray((run.path / "start.safetensors").read_bytes())
    content[-1] ^= 1
    (run.path / "start.safetensors").write_bytes(content)
    with pytest.raises(CorruptFile, match=r"start.safetensors does not match its SHA-256"):
        cr.repeat(run.path, progress=False)
    first.unlink()
    with pytest.raises(InputError, match=r"a\.csv is not there any more"):
        cr.repeat(run.path, progress=False)


def test_the_command_line_and_a_file_of_options_name_it_alike(zero_to_four, tmp_path, capsys):
    (tmp_path / "options.toml").write_text(f'from = "{zero_to_four.path}"\nfreeze = "hidden"\nepochs = 1\nplan = "eager"\n')
    words = ["train", "digits", "--classes", "5,6,7,8,9", "--config", "options.toml", "--freeze", "features", "--out", "run"]
    assert run_command(words) == 0
    capsys.readouterr()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["start"]["fixed"] == "features"
    assert run_command([*words[:-1], "other", "--from", "nowhere"]) == 2
    assert "There is no run in --from nowhere" in capsys.readouterr().err


def test_layers_are_named_by_the_fewest_that_hold_them():
    every = ["a.b.weight", "a.b.bias", "a.c.weight", "d.weight", "e"]
    assert layers_of(every[:2], every) == ["a.b"]
    assert layers_of([*every[:3], "e"], every) == ["a", "e"]
    assert layers_of(["a.b.bias"], every) == ["a.b.bias"]
    assert layers_of([], every) == []
