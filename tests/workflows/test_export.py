import copy
import importlib.util
import json
import zipfile

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from chainrule.core.errors import ChainruleError, InputError
from chainrule.workflows import export as exporting
from chainrule.workflows.export import export, pickled


@pytest.fixture(scope="module")
def net():
    """Convolution, batch norm with statistics that matter, dropout that must be off."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5),
                           nn.Linear(36, 10))
    for _ in range(20):
        module(torch.randn(50, 1, 8, 8) * 3 + 1)
    return module.train()


@pytest.fixture(scope="module")
def rows():
    return torch.randn(300, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 3 + 1


def answers(net, rows):
    with torch.no_grad():
        return copy.deepcopy(net).eval()(rows)


def test_onnx_answers_the_same_for_any_number_of_rows(net, rows, tmp_path, capfd):
    """Second reader: onnxruntime on the file itself, with batch sizes the example had not."""
    import onnxruntime

    before = copy.deepcopy(net.state_dict())
    difference = export(net, rows[:1], tmp_path / "net.onnx", "onnx", rows)
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    for n in (1, 3, 300):
        out, = session.run(None, {session.get_inputs()[0].name: rows[:n].numpy()})
        gap = float(np.abs(out - answers(net, rows[:n]).numpy()).max())
        assert gap <= 1e-5
    assert abs(gap - difference) < 1e-6
    assert net.training
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert capfd.readouterr() == ("", "")


def test_pt2_answers_the_same_and_holds_no_pickle(net, rows, tmp_path):
    path = tmp_path / "net.pt2"
    assert export(net, rows[:8], path, "pt2", rows) <= 1e-5
    module = torch.export.load(path).module()
    for n in (1, 3, 300):
        torch.testing.assert_close(module(rows[:n]), answers(net, rows[:n]), atol=1e-5, rtol=0)
    assert pickled(path.read_bytes()) == []
    with zipfile.ZipFile(path) as files:  # second look: no member is what torch.save or pickle write
        for name in files.namelist():
            start = files.read(name)[:4]
            assert not start.startswith(b"PK\x03\x04"), name
            assert not start.startswith(b"\x80") or "/weights/weight_" in name, name


def test_what_torch_writes_unasked_is_recognised_as_a_pickle(net, rows, tmp_path):
    program = torch.export.export(copy.deepcopy(net).eval(), (rows[:2],))
    torch.export.save(program, tmp_path / "plain.pt2")
    assert [name.split("/")[-1] for name in pickled((tmp_path / "plain.pt2").read_bytes())] == ["model.pt"]


def test_a_tensor_marked_as_a_pickle_is_recognised(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt2", "w") as file:
        contents = {"config": {"w": {"use_pickle": True}, "v": {"use_pickle": False}}}
        file.writestr("a/data/weights/model_weights_config.json", json.dumps(contents))
    assert pickled((tmp_path / "x.pt2").read_bytes()) == ["w"]


def test_safetensors_keeps_every_tensor_bit_for_bit(net, rows, tmp_path):
    path = tmp_path / "net.safetensors"
    assert export(net, rows, path, "safetensors", rows) == 0.0
    loaded = load_file(path)
    assert loaded.keys() == net.state_dict().keys()
    assert all(torch.equal(loaded[name], t) for name, t in net.state_dict().items())
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["input_shape"]) == [1, 8, 8]


def test_tied_weights_and_several_answers_are_written(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
            self.down.weight = self.up.weight

        def forward(self, x):
            code = self.up(x).tanh()
            return self.down(code), code

    rows = torch.randn(9, 6)
    for to in ("safetensors", "onnx"):
        assert export(Tied(), rows, tmp_path / f"tied.{to}", to, rows) <= 1e-5


@pytest.mark.parametrize("spoil", [lambda out: out * (1 + 1e-3), lambda out: out[:, :5], lambda out: out * float("nan")])
def test_a_file_that_answers_otherwise_is_not_written(net, rows, tmp_path, monkeypatch, spoil):
    def crooked(module, example):
        return b"content", lambda x: [spoil(module(x))]

    monkeypatch.setitem(exporting.WRITERS, "onnx", crooked)
    with pytest.raises(ChainruleError, match="would answer differently"):
        export(net, rows, tmp_path / "net.onnx", "onnx", rows)
    assert list(tmp_path.iterdir()) == []


def test_the_worst_row_counts_wherever_it_is(net, rows, tmp_path, monkeypatch):
    at = rows[290]

    def crooked(module, example):
        return b"content", lambda x: [module(x) + 5e-6 * (x == at).flatten(1).all(1, keepdim=True)]

    monkeypatch.setitem(exporting.WRITERS, "onnx", crooked)
    assert export(net, rows, tmp_path / "net.onnx", "onnx", rows) == pytest.approx(5e-6, rel=0.2)
    monkeypatch.setitem(exporting.WRITERS, "onnx", lambda *_: (b"content", lambda x: [torch.where((x == at).all(), torch.nan, module(x))]))
    module = copy.deepcopy(net).eval()
    monkeypatch.setattr(exporting, "ROWS", 1)
    with pytest.raises(ChainruleError, match="by inf"):
        export(net, rows, tmp_path / "other.onnx", "onnx", rows)


def test_refusals_are_sentences(net, rows, tmp_path, monkeypatch, capfd):
    class Branches(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    for to in ("onnx", "pt2"):
        with pytest.raises(InputError, match=f"Branches cannot be written as {to}, since .* Use --to safetensors") as found:
            export(Branches(), rows, tmp_path / "x", to, rows)
        assert "\n" not in str(found.value)
    with pytest.raises(InputError, match="got 'gguf'"):
        export(net, rows, tmp_path / "x", "gguf", rows)
    with pytest.raises(InputError, match="got none"):
        export(net, rows, tmp_path / "x", "safetensors", rows[:0])
    with pytest.raises(InputError, match="cannot be written: No such file"):
        export(net, rows, tmp_path / "absent" / "x", "safetensors", rows)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onnxruntime" else find(name, *rest))
    with pytest.raises(InputError, match=r"needs onnxruntime\. Install .* pip install 'chainrule\[onnx\]'"):
        export(net, rows, tmp_path / "x", "onnx", rows)
    assert capfd.readouterr() == ("", "")


class Unwritten(nn.Module):
    """Two operations for which ONNX has no word."""

    def forward(self, x):
        return torch.linalg.svdvals(x[:, :, None] * x[:, None, :]) + torch.special.i1(x)


def test_what_onnx_has_no_word_for_is_one_sentence_with_the_module_and_the_reason(tmp_path, capfd):
    rows = torch.randn(10, 3)
    with pytest.raises(InputError, match=r"^Unwritten cannot be written as onnx, since .+: .+\. Use --to safetensors for the weights\.$"):
        export(Unwritten(), rows, tmp_path / "net.onnx", "onnx", rows)
    assert not (tmp_path / "net.onnx").exists()
    assert capfd.readouterr() == ("", "")


def test_a_file_that_onnxruntime_does_not_run_is_one_sentence(net, rows, tmp_path, monkeypatch):
    import onnxruntime

    def refuse(*_, **__):
        raise RuntimeError("[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(InputError, match="Sequential cannot be written as onnx, since onnxruntime does not run what was written"):
        export(net, rows[:2], tmp_path / "net.onnx", "onnx", rows)
