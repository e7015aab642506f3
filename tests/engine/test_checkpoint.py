"""Checkpoints: what goes in comes out, bit for bit; what does not belong is refused by name.

Damage to files is the business of tests/reliability/test_corruption.py.
"""

import hashlib
import json
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.core.errors import CorruptFile, InputError
from chainrule.engine.checkpoint import FORMAT, pack, read, unpack, write

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
          torch.bool]


def bits(t):
    return (t.dtype, tuple(t.shape), t.contiguous().reshape(-1).view(torch.uint8).tolist())


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_come_back_bit_for_bit(tmp_path, dtype):
    torch.manual_seed(0)
    raw = torch.randint(0, 256, (4 * 6 * 8,), dtype=torch.uint8)
    several = raw.view(dtype).reshape(-1, 4) if dtype is not torch.bool else (raw % 2).bool().reshape(-1, 4)
    tensors = {"all": several, "turned": several.T, "one": several[0, 0], "none": several[:0], "part": several[1:, 2:], "again": several}
    write(tmp_path / "a.safetensors", tensors, {"x": 1})
    back, payload = read(tmp_path / "a.safetensors")
    assert {k: bits(t) for k, t in back.items()} == {k: bits(t) for k, t in tensors.items()}
    assert payload == {"format": FORMAT, "x": 1}


def test_nan_infinity_and_negative_zero_keep_their_bits(tmp_path):
    odd = torch.tensor([0x7FC00001, 0x7F800000, -0x80000000, 1], dtype=torch.int64).to(torch.int32).view(torch.float32)
    write(tmp_path / "a.safetensors", {"odd": odd}, {"score": [float("nan"), float("-inf")]})
    back, payload = read(tmp_path / "a.safetensors")
    assert bits(back["odd"]) == bits(odd)
    assert payload["score"][0] != payload["score"][0]
    assert payload["score"][1] == float("-inf")


def test_the_hash_is_the_sha256_of_all_that_is_said(tmp_path):
    """Second derivation: by hand from the documented order, and the file is an ordinary safetensors file."""
    t = torch.arange(6, dtype=torch.int16).reshape(2, 3)
    write(tmp_path / "a.safetensors", {"b": t, "a": t + 1}, {"k": "v"})
    content = (tmp_path / "a.safetensors").read_bytes()
    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    said = json.dumps({"format": FORMAT, "k": "v"}).encode()
    for name, tensor in (("a", t + 1), ("b", t)):
        said += json.dumps([name, "torch.int16", [2, 3]]).encode() + tensor.numpy().tobytes()
    assert metadata["sha256"] == hashlib.sha256(said).hexdigest()


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=8)
TREES = st.recursive(st.integers(0, 3).map(torch.arange), lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, TREES, max_size=4))
def test_trees_pack_and_unpack(tree):
    flat = pack(tree, "run")
    assert json.dumps(shape(unpack(flat, tree, "run"))) == json.dumps(shape(tree))


def shape(tree):
    return {k: shape(v) for k, v in tree.items()} if isinstance(tree, dict) else tree.tolist()


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=12), st.integers(0, 4).map(torch.arange), min_size=1, max_size=5), st.text(max_size=20))
def test_any_name_and_any_text_survive(tmp_path_factory, tensors, text):
    path = tmp_path_factory.mktemp("any") / "a.safetensors"
    tensors = {name: t for name, t in tensors.items() if name != "__metadata__" and name.isprintable()}
    write(path, tensors, {"text": text if text.isprintable() else ""})
    back, payload = read(path)
    assert {k: t.tolist() for k, t in back.items()} == {k: t.tolist() for k, t in tensors.items()}
    assert payload["text"] == (text if text.isprintable() else "")


def test_whatever_does_not_fit_is_named_at_once():
    like = {"a": {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}}
    with pytest.raises(InputError, match=r"b\.x does not fit: there is no 'run/a/weight'; there is no 'run/a/bias'\. .*another net"):
        unpack({}, like, "run", "b.x")
    flat = {"run/a/weight": torch.zeros(3, 2), "run/a/bias": torch.zeros(2), "run/b": torch.zeros(1), "runs": torch.zeros(1)}
    with pytest.raises(InputError, match=r"fit: 'run/a/weight' has shape \(3, 2\) and not \(2, 3\); 'run/b' has no place\. It"):
        unpack(flat, like, "run")
    with pytest.raises(InputError, match=r"there is no 'run/7'; and 12 more\. It"):
        unpack({}, {str(i): torch.zeros(1) for i in range(20)}, "run")


def test_the_file_before_stays_under_the_other_name(tmp_path):
    new, old = tmp_path / "last.safetensors", tmp_path / "previous.safetensors"
    for i in range(4):
        write(new, {"i": torch.tensor(i)}, {}, keep=old)
        assert int(read(new)[0]["i"]) == i
        assert int(read(old)[0]["i"]) == i - 1 if i else not old.exists()
    assert sorted(os.listdir(tmp_path)) == ["last.safetensors", "previous.safetensors"]


def test_a_missing_file_an_unreadable_one_and_another_format_say_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"no checkpoint at .*a\.safetensors"):
        read(tmp_path / "a.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(InputError, match=r"folder\.safetensors cannot be read: Is a directory"):
        read(tmp_path / "folder.safetensors")
    write(tmp_path / "b.safetensors", {"a": torch.zeros(1)}, {"format": FORMAT + 1})
    with pytest.raises(InputError, match=rf"b\.safetensors has format {FORMAT + 1}.*Use the version") as refused:
        read(tmp_path / "b.safetensors")
    assert not isinstance(refused.value, CorruptFile)


def test_a_safetensors_file_of_another_program_is_refused(tmp_path):
    from safetensors.torch import save_file

    for metadata in (None, {"payload": "{}"}, {"payload": "{}", "sha256": "0" * 64}):
        save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata=metadata)
        with pytest.raises(CorruptFile, match=r"a\.safetensors"):
            read(tmp_path / "a.safetensors")
