"""R17: files that would run code if anything unpickled or evaluated them; given to everything that reads files, none does."""

import gzip
import io
import json
import os
import pickle
import shutil
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save
from worker import RUN, fresh_net, training

from chainrule import Run
from chainrule.core.errors import ChainruleError, CorruptFile, InputError
from chainrule.engine import checkpoint
from chainrule.engine.store import BEST, LAST, PREVIOUS, Store


class Gadget:
    """Whoever unpickles it makes the directory `mark`."""

    def __init__(self, mark, how=os.mkdir):
        self.mark, self.how = str(mark), how

    def __reduce__(self):
        return self.how, (self.mark,)


class Evaluated(Gadget):
    def __reduce__(self):
        return eval, (f"__import__('os').mkdir({self.mark!r})",)


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def torch_saved(value, **how):
    buffer = io.BytesIO()
    torch.save(value, buffer, **how)
    return buffer.getvalue()


def numpy_saved(value, **arrays):
    buffer = io.BytesIO()
    if arrays:
        np.savez(buffer, **arrays)
    else:
        np.save(buffer, value, allow_pickle=True)
    return buffer.getvalue()


def npy_header(text):
    text = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(64)


def safetensors_header(header, body=b""):
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(text)) + text + body


def payloads(mark):
    """By name: the ways in which a file carries a call of `mkdir(mark)`, or claims what it does not hold."""
    gadget, code = Gadget(mark), f"__import__('os').mkdir({str(mark)!r})"
    weights = {"weight": torch.zeros(2, 2)}
    return {
        "pickle": pickle.dumps(gadget),
        "pickle of protocol 0": pickle.dumps(gadget, protocol=0),
        "pickle that evaluates": pickle.dumps(Evaluated(mark)),
        "pickle in gzip": gzip.compress(pickle.dumps(gadget)),
        "torch": torch_saved(gadget),
        "torch, old format": torch_saved(gadget, _use_new_zipfile_serialization=False),
        "torch state with a gadget": torch_saved({**weights, "extra": gadget}),
        "npy of objects": numpy_saved(np.array([gadget, gadget], dtype=object)),
        "npz of objects": numpy_saved(None, x=np.array([gadget, gadget], dtype=object), y=np.array([0, 1])),
        "npy whose header is code": npy_header(f"{{'descr': {code}, 'fortran_order': False, 'shape': (2,)}}"),
        "npy whose header is a call": npy_header(code),
        "zip of a pickle": zipped(archive__data_pkl=pickle.dumps(gadget)),
        "zip in a zip": zipped(inner_zip=zipped(archive__data_pkl=pickle.dumps(gadget))),
        "npz with a pickle in it": zipped(**{"x.npy": pickle.dumps(gadget), "y.npy": numpy_saved(np.arange(2))}),
        "safetensors with code as metadata": save(weights, metadata={"payload": code, "sha256": "0" * 64}),
        "safetensors with a pickle as payload": save(weights, metadata={"payload": pickle.dumps(gadget, 0).decode("latin1"),
                                                                        "sha256": code}),
        "safetensors of a petabyte": safetensors_header({"w": {"dtype": "F32", "shape": [2**25, 2**25], "data_offsets": [0, 2**52]}}),
        "safetensors whose shape overflows": safetensors_header({"w": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}),
        "safetensors that overlap": safetensors_header({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
                                                        "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]}}, bytes(6)),
        "safetensors with a huge header": struct.pack("<Q", 2**62) + b"{}",
        "safetensors nested without end": safetensors_header(b'{"__metadata__":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "json with a reduce": json.dumps({"__reduce__": ["os.mkdir", [str(mark)]], "py/object": "os.mkdir", "format": 1}).encode(),
        "json nested without end": b"[" * 100_000 + b"]" * 100_000,
        "yaml": f"!!python/object/apply:os.mkdir ['{mark}']\n".encode(),
        "code": code.encode(),
        "nothing": b"",
    }


NAMES = list(payloads("x"))
SUFFIXES = ("safetensors", "npz", "npy", "csv", "tsv", "txt", "parquet", "fasta", "csv.gz", "npy.gz", "pt", "pkl", "zip", "json")
DECLARED = ("npz", "npy", "csv", "safetensors")  # one each of the ways in which a reader is chosen; the others run when slow


def test_the_gadgets_work(tmp_path):
    """So that the tests below can fail: unpickled, each of these does make its directory."""
    for i, name in enumerate(("pickle", "pickle of protocol 0", "pickle that evaluates")):
        pickle.loads(payloads(tmp_path / f"{i}")[name])
        assert (tmp_path / f"{i}").is_dir()
    torch.load(io.BytesIO(payloads(tmp_path / "torch")["torch"]), weights_only=False)
    np.load(io.BytesIO(payloads(tmp_path / "npy")["npy of objects"]), allow_pickle=True)
    assert (tmp_path / "torch").is_dir()
    assert (tmp_path / "npy").is_dir()


@pytest.mark.parametrize("name", NAMES)
def test_as_a_checkpoint(tmp_path, name):
    path = tmp_path / "last.safetensors"
    path.write_bytes(payloads(tmp_path / "mark")[name])
    with pytest.raises(CorruptFile, match=r"last\.safetensors"):
        checkpoint.read(path)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", NAMES)
def test_as_data(tmp_path, name):
    from chainrule.data.load import load

    content = payloads(tmp_path / "mark")[name]
    for suffix in DECLARED:
        path = tmp_path / f"file.{suffix}"
        path.write_bytes(content)
        refuse_or_read(load, path)
        assert not (tmp_path / "mark").exists(), f"{name} as .{suffix} ran its code"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_as_data_of_every_kind(tmp_path, suffix):
    from chainrule.data.load import load

    for name, content in payloads(tmp_path / "mark").items():
        path = tmp_path / f"file.{suffix}"
        path.write_bytes(content)
        refuse_or_read(load, path)
        assert not (tmp_path / "mark").exists(), f"{name} as .{suffix} ran its code"


def refuse_or_read(load, path):
    """Text may be read as a table of one odd cell; whatever is refused must be refused in our words."""
    try:
        load(str(path))
    except ChainruleError as error:
        assert str(path.name) in str(error)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder with a record, an encoder and three checkpoints."""
    import chainrule

    folder = tmp_path_factory.mktemp("trained") / "run"
    chainrule.train("digits", net="mlp:hidden=4", plan="eager", threads=1, steps=50, out=folder, progress=False, save_every=0)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_as_a_file_of_a_run(tmp_path, trained, name):
    content = payloads(tmp_path / "mark")[name]
    for file in ("run.json", BEST, "encoder.safetensors", "summary.json"):
        folder = tmp_path / file
        shutil.copytree(trained, folder)
        (folder / file).write_bytes(content)
        try:
            run = Run(folder)
            run.summary()
            if file == BEST:
                for other in (LAST, PREVIOUS):
                    (folder / other).write_bytes(content)
                Store(folder, run.record["run"]).load_best(fresh_net())
        except ChainruleError as error:
            assert file in str(error)
        else:
            assert file not in ("run.json", BEST), f"{file} was taken for whole"
        assert not (tmp_path / "mark").exists(), f"{name} as {file} ran its code"


def test_a_whole_checkpoint_with_names_like_paths_writes_nowhere(tmp_path):
    """Names of layers never become paths: a checkpoint of `../../x` is another net's, and that is all."""
    folder = tmp_path / "a" / "run"
    folder.mkdir(parents=True)
    tensors = {f"run/net/{name}": torch.zeros(1) for name in ("../../x", "/etc/x", "\0", "con", "a" * 300)}
    checkpoint.write(folder / LAST, tensors, {"kind": "last", "run": RUN, "position": {"best": {}}, "random": {}})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="belongs to another net"):
        next(training(folder).run())
    assert sorted(tmp_path.rglob("*")) == before
