"""R08: a stored run of the format that is written today loads and answers as it did; another format, and weights of another net, are
refused by name, whole or not at all.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.net import Net
from chainrule.core.registry import nets
from chainrule.data.encode import encoder
from chainrule.engine import checkpoint
from chainrule.engine.randomness import Randomness
from chainrule.engine.store import Store
from chainrule.job import record
from chainrule.job.record import read_record, sealed

STORED = Path(__file__).with_name("stored")      # made by tests/helpers/stored_run.py
RELEASED = STORED / "0.1.0"                      # the records of runs that the released version wrote
WEIGHTS = ("best.safetensors", "last.safetensors")


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A copy of the stored runs, which is worked in."""
    shutil.copytree(STORED / "0.2.0", tmp_path / "stored")
    monkeypatch.chdir(tmp_path / "stored")
    return tmp_path / "stored"


def answers(name):
    return torch.tensor(json.loads((STORED / "0.2.0" / "answers.json").read_text())[name])


def test_the_formats_that_are_written_are_those_of_the_stored_runs(stored):
    """Who counts one up stores runs of the new one, and says what becomes of the old."""
    payloads = [checkpoint.read(path)[1] for path in stored.glob("*/*.safetensors")]
    assert {one["format"] for one in payloads} == {checkpoint.FORMAT}
    assert {one["meta"]["format"] for one in payloads if one["kind"] == "encoder"} == {encoder.FORMAT}
    assert {json.loads(path.read_text())["format"] for path in stored.glob("*/run.json")} == {record.FORMAT}
    assert sum(path.stat().st_size for path in STORED.rglob("*")) < 100_000


def test_a_stored_run_predicts_as_it_did(stored):
    run = cr.Run(stored / "table")
    torch.testing.assert_close(run.predict("new.csv")[0], answers("table"), rtol=1e-4, atol=1e-5)
    assert len(run.history) == 6


def test_a_stored_run_that_was_interrupted_goes_on_to_the_answers_of_its_end(stored):
    run = cr.resume("halfway", progress=False)
    assert len(run.history) == 6
    torch.testing.assert_close(run.predict("iris")[0][::15], answers("halfway"), rtol=1e-3, atol=1e-4)
    assert run.test().n > 10


@pytest.mark.parametrize("path", sorted(RELEASED.glob("*.json")), ids=lambda path: path.stem)
def test_a_run_of_the_released_version_is_refused_by_its_version(path, tmp_path):
    (tmp_path / "run").mkdir()
    shutil.copy(path, tmp_path / "run" / "run.json")
    for use in (lambda: cr.Run(tmp_path / "run").predict("iris"), lambda: cr.resume(tmp_path / "run", progress=False)):
        with pytest.raises(InputError, match=rf"run\.json was written by chainrule 0\.1\.0 \(format 1\).*\(format {record.FORMAT}\)"):
            use()


def later(folder, name):
    """The same file with a format number that no version writes yet, and whole."""
    if name == "run.json":
        whole = read_record(folder)
        (folder / name).write_text(sealed({**whole, "format": record.FORMAT + 1, "chainrule": "9.9"}))
        return rf"run\.json was written by chainrule 9\.9 \(format {record.FORMAT + 1}\)"
    tensors, payload = checkpoint.read(folder / name)
    checkpoint.write(folder / name, tensors, {**payload, "format": checkpoint.FORMAT + 1})
    return rf"{name} has format {checkpoint.FORMAT + 1}; this version reads format {checkpoint.FORMAT}"


@pytest.mark.parametrize("name", ["run.json", "encoder.safetensors", *WEIGHTS])
def test_a_later_format_is_refused_by_name_and_never_passed_over(name, stored):
    folder = stored / "halfway"
    expected = later(folder, name)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(InputError, match=expected) as caught:
        cr.resume(folder, progress=False) if name == "last.safetensors" else cr.Run(folder).predict("iris")
    assert not isinstance(caught.value, CorruptFile)
    assert str(folder / name) in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name in before} == before


def test_a_later_encoder_is_refused_by_the_name_of_its_file(stored):
    path = stored / "table" / "encoder.safetensors"
    tensors, payload = checkpoint.read(path)
    checkpoint.write(path, tensors, {**payload, "meta": {**payload["meta"], "format": encoder.FORMAT + 1}})
    with pytest.raises(InputError, match=rf"encoder\.safetensors was saved in format {encoder.FORMAT + 1}") as caught:
        cr.Run(stored / "table").predict("new.csv")
    assert str(path) in str(caught.value)


def other_weights(tensors, how):
    """Weights as of a net with other widths, with a layer less, or with one more."""
    names = [name for name, t in tensors.items() if t.dim() == 2]
    if how == "shapes":
        return {name: torch.zeros(*(size + 1 for size in t.shape)) for name, t in tensors.items()}, list(tensors)
    if how == "missing":
        return {name: t for name, t in tensors.items() if name not in names}, names
    return {**tensors, "one.weight": torch.zeros(2), "more.weight": torch.zeros(2)}, ["one.weight", "more.weight"]


@pytest.mark.parametrize("how", ["shapes", "missing", "left over"])
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_another_net_are_refused_by_all_their_names_and_none_is_taken(how, name, stored):
    folder = stored / "halfway"
    tensors, payload = checkpoint.read(folder / name)
    prefix = "" if name.startswith("best") else "run/net/"
    mine = {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
    changed, named = other_weights(mine, how)
    rest = {key: t for key, t in tensors.items() if not key.startswith(prefix)}
    checkpoint.write(folder / name, {**rest, **{f"{prefix}{key}": t for key, t in changed.items()}}, payload)
    net, store = Net.of(nets.choose("mlp:hidden=3").make((4,), 3)), Store(folder, payload["run"])
    best = name.startswith("best")
    before = {key: t.clone() for key, t in net.tensors.items()}
    for read in (lambda: store.load_best(net) if best else store.restore(net, Randomness(0, net.device)),
                 lambda: cr.Run(folder).predict("iris") if best else cr.resume(folder, progress=False)):
        with pytest.raises(InputError) as caught:
            read()
        assert all(key in str(caught.value) for key in named), str(caught.value)
        assert not isinstance(caught.value, CorruptFile)
    assert all(torch.equal(before[key], t) for key, t in net.tensors.items())


def test_the_state_of_another_rule_is_refused_by_all_its_names(stored):
    folder = stored / "halfway"
    tensors, payload = checkpoint.read(folder / "last.safetensors")
    states = [key for key in tensors if key.startswith("run/state/")]
    assert len(states) > 4
    gone = {key: t for key, t in tensors.items() if key not in states[:2]} | {"run/state/velocity": torch.zeros(3)}
    checkpoint.write(folder / "last.safetensors", gone, payload)
    with pytest.raises(InputError, match=r"last\.safetensors does not fit") as caught:
        cr.resume(folder, progress=False)
    assert all(f"'{key}'" in str(caught.value) for key in (*states[:2], "run/state/velocity"))
