"""Codes from a run: the net's own or a layer's, the same in blocks and at once, to every kind of file, with their nearest neighbours."""

import json

import numpy as np
import polars as pl
import pytest
import torch

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.workflows import encode as encoding
from chainrule.workflows import predict
from chainrule.workflows.encode import encode_to

QUICK = {"epochs": 1, "plan": "eager", "threads": 1, "progress": False}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


@pytest.mark.parametrize(("net", "options", "width"), [
    ("autoencoder:hidden=12,code=5", {}, 5), ("autoencoder:hidden=4x6,code=5,convolutional=yes", {}, 5), ("vae:hidden=12,code=3", {}, 3),
    ("rbm:hidden=7", {}, 7), ("mixture:components=4,covariance=diagonal", {}, 4)], ids=str)
def test_codes_are_what_the_module_makes_of_encoded_rows(net, options, width, tmp_path):
    run = cr.train("digits", net=net, out=tmp_path / "run", **options, **QUICK)
    codes = cr.Run(tmp_path / "run").encode("digits")
    source = cr.load("digits")
    rows = run.trained.ready(run.trained.encoder.inputs.encode(source))
    with torch.no_grad():
        torch.testing.assert_close(codes, run.net.encode(rows))
    assert codes.shape == (1797, width)


def test_a_layer_of_any_net_is_a_code_and_its_input_to_the_next_layer():
    run = cr.train("digits", net="lenet", **QUICK)
    names = [name for name, module in run.net.named_modules() if isinstance(module, torch.nn.Linear)]
    last = run.net.get_submodule(names[-1])
    before = run.encode("digits", layer=names[-2])
    assert before.shape == (1797, run.net.get_submodule(names[-2]).out_features)
    outputs = run.encode("digits", layer=names[-1])
    assert outputs.shape[1] == last.out_features
    torch.testing.assert_close(outputs.softmax(1), run.predict("digits")[0], atol=1e-5, rtol=1e-4)
    with pytest.raises(InputError, match=r"lenet has no layer 'hiden'\. Did you mean"):
        run.encode("digits", layer="hiden")
    with pytest.raises(InputError, match=r"lenet makes no codes of its own\. Name a layer of it, --layer .* train a net that does: "):
        run.encode("digits")


def test_what_comes_after_a_layer_does_not_change_its_code_and_the_net_is_left_alone():
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 6), torch.nn.ReLU(inplace=True), torch.nn.Linear(6, 10))
    run = cr.train("digits", net=module, loss="cross-entropy", **QUICK)
    codes = run.encode("digits", layer="1")
    assert bool((codes < 0).any())
    torch.testing.assert_close(run.encode("digits", layer="2"), codes.relu())
    assert not any(part._forward_hooks for part in run.net.modules())


def test_texts_are_encoded_by_the_mean_of_their_symbols_vectors(tmp_path):
    (tmp_path / "t.txt").write_text("abracadabra, said the cat. " * 30)
    run = cr.train("t.txt", net="embedding:size=5,hidden=6", rule="bptt:window=8", **QUICK)
    codes = run.encode("t.txt")
    vectors, symbols = run.net.vectors().detach(), run.trained.encoder.inputs.vocabulary
    rows = run.trained.encoder.inputs.encode(predict.read_for(run.trained, "t.txt"))
    ready = run.trained.ready(rows)
    picked = ready[0].argmax(1)[ready[0].sum(1) > 0]
    torch.testing.assert_close(codes[0], vectors[picked].mean(0))
    assert len(symbols) == len(vectors)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_codes_go_to_a_file_in_blocks_and_are_those_of_all_rows_at_once(suffix, tmp_path, monkeypatch, capsys):
    draw = np.random.default_rng(0)
    frame = pl.DataFrame({"a": draw.normal(size=700).round(3), "b": draw.normal(size=700).round(3), "kind": draw.choice(["x", "y"], 700)})
    frame.write_csv("t.csv")
    run = cr.train("t.csv", target="none", net="autoencoder:code=2", out="run", **QUICK)
    monkeypatch.setattr(predict, "BLOCK_BATCHES", 1)
    monkeypatch.setattr(predict, "most_rows", lambda row_bytes: 64)
    seen = []
    monkeypatch.setattr(encoding.Labels, "beside", lambda self, columns, block, own=encoding.Labels.beside: seen.append(block)
                        or own(self, columns, block))
    assert run_command(["encode", "run", "t.csv", "--out", f"codes.{suffix}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"n": 700, "width": 2, "out": f"codes.{suffix}"}
    assert len(seen) == 11
    read = {"csv": pl.read_csv, "parquet": pl.read_parquet, "npz": np.load}[suffix](f"codes.{suffix}")
    np.testing.assert_allclose(np.stack([read["code_1"], read["code_2"]], 1), run.encode("t.csv").numpy(), rtol=1e-5, atol=1e-6)
    assert list(read["row"]) == list(range(1, 701))
    assert run_command(["encode", "run", "t.csv", "--out", f"codes.{suffix}"]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_the_numbers_of_the_nearest_rows_stand_beside_codes(tmp_path):
    run = cr.train("digits", net="autoencoder:code=3", **QUICK)
    n, width = encode_to(run.trained, "digits", tmp_path / "c.csv", neighbours=2)
    assert (n, width) == (1797, 3)
    read, codes = pl.read_csv(tmp_path / "c.csv"), run.encode("digits").double().numpy()
    for row in (0, 700, 1796):
        away = ((codes - codes[row]) ** 2).sum(1)
        away[row] = np.inf
        assert list(np.argsort(away)[:2] + 1) == [read["neighbour_1"][row], read["neighbour_2"][row]]


def test_a_file_of_another_kind_is_refused_before_anything_is_read(tmp_path):
    run = cr.train("digits", net="autoencoder:code=3", **QUICK)
    with pytest.raises(InputError, match=r"should end in \.csv, \.parquet or \.npz"):
        encode_to(run.trained, "nowhere.csv", tmp_path / "codes.txt")
    assert not list(tmp_path.glob("codes*"))
