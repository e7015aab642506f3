"""Every messy file is read rightly, or refused in one sentence that says what to do; and new rows are read as those of training were."""

import json
import math
import re

import numpy as np
import polars as pl
import pytest
import torch
from messy_files import CASES, N

from chainrule.core.errors import InputError
from chainrule.data.encode.encoder import Encoder
from chainrule.data.load import load, load_inputs
from chainrule.data.prepare import prepare
from chainrule.data.reading import Reading

READ = [case for case in CASES if not case.error]
REFUSED = [case for case in CASES if case.error]


def read(tmp_path, case, **more):
    path = tmp_path / case.name
    path.write_bytes(case.content)
    return load(path, target=case.target, reading=Reading(**{**case.options, **more}), say=lambda _: None)


def test_there_are_many_and_no_two_share_a_name():
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", READ, ids=lambda case: case.name)
def test_a_messy_file_is_read_rightly(tmp_path, case):
    source = read(tmp_path, case)
    assert (len(source), source.target_kind) == (case.rows, case.task)
    assert {c.name: c.kind for c in source.inputs.columns} == case.kinds
    for name, values in case.values.items():
        column = source.inputs[name]
        for row, value in values.items():
            if isinstance(value, float) and math.isnan(value):
                assert bool(column.missing[row])
            elif isinstance(value, str):
                assert column.word(row) == value
            else:
                assert float(column.values[row]) == pytest.approx(value, rel=1e-12)
    data = prepare(source)
    assert bool(data.train.x.isfinite().all())
    if case.note:
        assert any(case.note in note for note in data.encoder.inputs.notes), data.encoder.inputs.notes
    else:
        assert source.notes == ()


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_cannot_be_read_is_refused_in_a_sentence(tmp_path, case):
    with pytest.raises(InputError, match=re.escape(case.error)) as error:
        prepare(read(tmp_path, case))
    assert len(str(error.value)) < 500
    if case.remedy:
        assert len(read(tmp_path, case, **case.remedy)) > N / 2


@pytest.mark.parametrize("case", [case for case in READ if case.rows == N], ids=lambda case: case.name)
def test_new_rows_are_read_as_those_of_training_were(tmp_path, case):
    """The file itself, its first rows alone, and through an encoder that was stored: the same numbers for the same rows."""
    source = read(tmp_path, case)
    encoder = prepare(source).encoder
    tensors, meta = encoder.to_state()
    back = Encoder.from_state(tensors, json.loads(json.dumps(meta))).inputs
    assert back.formats == encoder.inputs.formats
    want = encoder.inputs.encode(source)
    said = []
    again = load_inputs(tmp_path / case.name, like=back)
    assert torch.equal(back.encode(again, say=said.append), want)
    assert not [s for s in said if "did not read" in s]
    if case.name.lower().endswith((".csv", ".tsv")) and "quoted" not in case.name and "utf-16" not in case.name:
        text = case.content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").splitlines()
        few = tmp_path / f"few-{case.name}"
        few.write_bytes(b"\n".join(text[:8]) + b"\n")
        short = load_inputs(few, like=back)
        assert 0 < len(short) <= 8
        assert torch.equal(encoder.inputs.encode(short, say=lambda _: None), want[: len(short)])


def test_numbers_of_training_are_not_read_otherwise_in_new_rows(tmp_path):
    """Alone, `1,234` and `5,678` would be thousands; training had decimal commas. And what does not fit is refused by its row."""
    train = "a;y\n" + "".join(f"{i},{i:02}5;{i % 2}\n" for i in range(30)) + "7,5;1\n"
    (tmp_path / "t.csv").write_text(train)
    source = load(tmp_path / "t.csv")
    (tmp_path / "n.csv").write_text("a;y\n1,234;0\n5,678;1\n")
    encoder = prepare(source).encoder
    assert load_inputs(tmp_path / "n.csv", like=encoder.inputs).inputs["a"].values.tolist() == [1.234, 5.678]
    frame = pl.DataFrame({"a": ["1,234", "5,678"]})
    assert torch.equal(encoder.inputs.encode(frame), encoder.inputs.encode(load_inputs(tmp_path / "n.csv", like=encoder.inputs)))
    (tmp_path / "w.csv").write_text("a;y\n1,234;0\n1,234.5;1\n")
    with pytest.raises(InputError, match=r"row 2, column 'a': expected a number with ',' before the fraction as in training; got "
                                         r"'1,234\.5'"):
        load_inputs(tmp_path / "w.csv", like=encoder.inputs)


def test_unseen_words_are_counted_and_told_and_another_case_is_no_other_word(tmp_path):
    frame = pl.DataFrame({"town": ["Ulm", "Rom", "Bonn"] * 20, "x": np.arange(60) / 7, "y": ["u", "v"] * 30})
    encoder, said = prepare(load(frame)).encoder, []
    new = pl.DataFrame({"town": ["ULM", "Oslo", None, "Bern", "Rom"], "x": [1.0] * 5})
    out = encoder.inputs.encode(new, say=said.append)
    assert said == ["the data: in 2 of 5 rows 'town' has a word that training never saw, first 'Oslo' in row 2; none of the known ones "
                    "stands "
                    "for it."]
    assert out[:, :3].sum(1).tolist() == [1, 0, 0, 0, 1]
    assert torch.equal(out[0, :3], encoder.inputs.encode(pl.DataFrame({"town": ["Ulm"], "x": [1.0]}))[0, :3])


def test_yes_and_no_in_new_rows_are_the_true_and_false_of_training(tmp_path):
    frame = pl.DataFrame({"f": [True, False] * 20, "y": ["u", "v"] * 20})
    encoder = prepare(load(frame)).encoder.inputs
    (tmp_path / "n.csv").write_text("f\nYes\nno\nTRUE\n0\n\"\"\n")
    assert load_inputs(tmp_path / "n.csv", like=encoder).inputs["f"].values.nan_to_num(-1).tolist() == [1, 0, 1, 0, -1]
    (tmp_path / "n.csv").write_text("f\nyes\nperhaps\n")
    with pytest.raises(InputError, match="row 2, column 'f': expected true or false, or yes or no as in training; got 'perhaps'"):
        load_inputs(tmp_path / "n.csv", like=encoder)
    assert Reading(header="No").header == "no"


def test_reading_comes_back_from_json_and_refuses_what_is_none():
    given = Reading(columns="a:number,b, c:word", missing="-999,x", decimal="comma", separator=";", dates="mdy", drop_unlabelled=True)
    assert Reading.from_json(json.loads(json.dumps(given.to_json()))) == given
    assert given.decimal == ","
    assert given.marks == ("-999", "x")
    assert given.kinds(["a", "b, c"], "t") == {"a": "number", "b, c": "word"}
    for wrong in ({"decimal": "x"}, {"separator": "ab"}, {"dates": "dym"}, {"encoding": "klingon"}, {"header": "maybe"}):
        with pytest.raises(InputError, match=f"--{next(iter(wrong))}"):
            Reading(**wrong)
    with pytest.raises(InputError, match="There is no option 'decimals'"):
        Reading.from_json({"decimals": ","})


def test_a_reading_is_for_tables():
    with pytest.raises(InputError, match=r"digits is no table; --decimal is for tables"):
        load("digits", reading=Reading(decimal=","))
