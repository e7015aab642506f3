"""Pairs of strings in lines of JSON: read exactly, and what is wrong named with its line."""

import gzip
import json

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.core.symbols import TRACE
from chainrule.data.encode.vocabulary import UNKNOWN
from chainrule.data.load import load_inputs
from chainrule.data.prepare import prepare
from chainrule.data.readers.pairs import read_pairs
from chainrule.data.splits import Splits
from chainrule.tasks.translation import LAST, Translation

PAIRS = [("ab", "x"), ("c", "yyx"), ("äß\n", "x y"), ("abc", "z")]


def written(path, pairs=PAIRS):
    path.write_text("".join(json.dumps({"source": a, "target": b}) + "\n\n" for a, b in pairs), encoding="utf-8")
    return path


def test_every_pair_comes_back(tmp_path):
    source = cr.load(written(tmp_path / "pairs.jsonl"))
    assert [source.inputs[row] for row in range(4)] == [a for a, _ in PAIRS]
    assert ["".join(source.classes[k] for k in row if k >= 0) for row in source.targets.tolist()] == [b for _, b in PAIRS]
    assert source.target_kind == "labels"
    assert source.labels["source"] == [a for a, _ in PAIRS]
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress((tmp_path / "pairs.jsonl").read_bytes()))
    packed = cr.load(tmp_path / "packed.jsonl.gz")
    assert packed.fingerprint == source.fingerprint
    assert packed.fingerprint != cr.load(written(tmp_path / "other.jsonl", [*PAIRS[:3], ("abc", "x")])).fingerprint


GOOD = '{"source": "a", "target": "b"}'


@pytest.mark.parametrize(("line", "message"), [
    ('{"source": "a", "target": "b"', r"line 2 is not JSON .*column 30"),
    ("a b", r"line 2 is not JSON"),
    ('["a", "b"]', r"line 2: expected \{"),
    ('{"source": "a", "tagret": "b"}', r"line 2 has no key 'target', it has 'source', 'tagret'.* Did you mean tagret\?"),
    ('{"target": "b"}', r"line 2 has no key 'source'"),
    ("{}", r"line 2 has no key 'source', it has nothing"),
    ('{"source": "", "target": "b"}', r"line 2: expected a string of at least one character as 'source'; got an empty one"),
    ('{"source": "a", "target": ""}', r"line 2: .* as 'target'; got an empty one"),
    ('{"source": "a", "target": 3}', r"line 2: .* as 'target'; got 3"),
    ("[" * 100_000, r"line 2 is not JSON"),
])
def test_what_is_wrong_is_named_with_its_line(tmp_path, line, message):
    path = tmp_path / "t.jsonl"
    path.write_text(f"{GOOD}\n{line}\n{GOOD}\n")
    with pytest.raises(InputError, match=message) as caught:
        cr.load(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400


def test_other_lines_of_json_are_a_table(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({"source": "web", "clicks": i, "target": "yn"[i % 2]}) + "\n" for i in range(20)))
    assert cr.load(path).target_kind == "class"
    path.write_text("".join(json.dumps({"source": "web" + "x" * (i % 3), "target": "yn"[i % 2]}) + "\n" for i in range(20)))
    assert cr.load(path).target_kind == "labels"
    with pytest.raises(InputError, match="Leave out --target"):
        cr.load(path, target="target")


def test_a_file_without_pairs_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no pairs"):
        read_pairs("\n \n", "t.jsonl")


def test_symbols_that_training_never_saw_are_unknown_counted_and_told(tmp_path, capsys):
    source = Translation.read(cr.load(written(tmp_path / "pairs.jsonl")), 1)
    rows = [i for i in range(4) if i != 2]
    data = prepare(source, split=Splits(*map(torch.tensor, (rows, [2], [2]))))
    inputs, target = data.encoder.inputs, data.encoder.target
    known = inputs.vocabulary
    assert set(known.symbols) == {"a", "b", "c", LAST}
    assert target.classes == ("x", "y", "z", UNKNOWN)
    assert known.decode(data.valid.x[0]) == 3 * UNKNOWN + LAST
    assert [target.classes[k] for k in data.valid.y[0].tolist()] == ["x", UNKNOWN, "y"]
    assert capsys.readouterr().err == ""
    path = written(tmp_path / "new.jsonl", [("ab", "x"), ("ax", "x"), ("yb", "x")])
    new = Translation.read(load_inputs(path, like=inputs), 1, targets=False)
    codes = inputs.encode(new)
    notes = capsys.readouterr().err
    assert "in 2 of 3 sequences is a symbol that training never saw, first 'x' in sequence 2" in notes
    assert known.decode(codes[1]) == f"a{UNKNOWN}{LAST}"
    assert float(inputs.ready(codes)[1, 1].sum()) == TRACE
    assert inputs.ready(codes)[1, 2].sum() == 1                      # so that a net sees where it ends


def test_new_rows_need_no_target(tmp_path):
    source = Translation.read(cr.load(written(tmp_path / "pairs.jsonl")), 1)
    inputs = prepare(source, split={"train": 1.0}).encoder.inputs
    (tmp_path / "new.jsonl").write_text('{"source": "cab"}\n')
    new = load_inputs(tmp_path / "new.jsonl", like=inputs)
    assert new.targets is None
    assert new.inputs[0] == "cab"
