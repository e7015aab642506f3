"""Tables from files, frames and arrays: what each column and target is taken for, and what is refused, by row and column."""

import gzip

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from chainrule.core.errors import CorruptFile, InputError
from chainrule.data.load import load, load_inputs
from chainrule.data.prepare import prepare

CSV = """age,height,smoker,town, word ,price
31,1.5,true,Ulm, a,10.5
NA,1.6,false,Rom, b,11.25
?,nan,TRUE,Rom,,9.5
40,,,null, c,8.125
"""


def write(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize(("name", "separator"), [("t.csv", ","), ("t.csv", ";"), ("t.tsv", "\t"), ("t.csv.gz", ","), ("t.tsv.gz", "\t")])
def test_columns_are_taken_for_what_their_words_say(tmp_path, name, separator):
    source = load(write(tmp_path, CSV.replace(",", separator), name), target="price")
    table = source.inputs
    assert [(c.name, c.kind) for c in table.columns] == [
        ("age", "numeric"), ("height", "numeric"), ("smoker", "boolean"), ("town", "categorical"), ("word", "categorical")]
    nan = float("nan")
    np.testing.assert_array_equal(table["age"].values, [31, nan, nan, 40])
    np.testing.assert_array_equal(table["height"].values, [1.5, 1.6, nan, nan])
    np.testing.assert_array_equal(table["smoker"].values, [1, 0, 1, nan])
    assert table["town"].categories == ("Rom", "Ulm")
    assert table["town"].values.tolist() == [1, 0, 0, -1]
    assert table["word"].values.tolist() == [0, 1, -1, 2]
    assert (source.target_kind, source.targets.tolist()) == ("real", [10.5, 11.25, 9.5, 8.125])


def test_spaces_after_commas_do_not_turn_numbers_into_words(tmp_path):
    source = load(write(tmp_path, "a, b, c, y\n1, 2.5, True, u\n3, ?, False, v\n"))
    assert [(c.name, c.kind) for c in source.inputs.columns] == [("a", "numeric"), ("b", "numeric"), ("c", "boolean")]
    assert source.inputs["b"].missing.tolist() == [False, True]


def same_frame():
    return {"i": [1, None, 3, 4], "f": [0.5, 1.5, None, 2.5], "b": [True, False, None, True], "s": ["u", None, "v", "u"],
            "y": ["p", "q", "p", "q"]}


@pytest.mark.parametrize("kind", ["polars", "pandas", "arrow", "parquet", "csv"])
def test_a_frame_a_parquet_file_and_a_csv_of_the_same_rows_are_the_same_source(tmp_path, kind):
    held = same_frame()
    frame = pl.DataFrame(held)
    what = {"polars": frame, "pandas": pd.DataFrame(held), "arrow": pa.table(held), "parquet": tmp_path / "t.parquet",
            "csv": tmp_path / "t.csv"}[kind]
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_csv(tmp_path / "t.csv")
    source, reference = load(what, target="y"), load(frame, target="y")
    assert source.fingerprint == reference.fingerprint
    assert [c.kind for c in source.inputs.columns] == ["numeric", "numeric", "boolean", "categorical"]
    assert source.classes == ("p", "q")


def test_only_enums_and_ordered_categories_are_ordered():
    values, order = ["lo", "hi", "mid", None], ["lo", "mid", "hi"]
    columns = [
        load(pl.DataFrame({"o": pl.Series(values, dtype=pl.Enum(order)), "y": [1, 2, 1, 2]})).inputs["o"],
        load(pd.DataFrame({"o": pd.Categorical(values, order, ordered=True), "y": [1, 2, 1, 2]})).inputs["o"],
    ]
    for column in columns:
        assert (column.kind, column.categories, column.values.tolist()) == ("ordered", ("lo", "mid", "hi"), [0, 2, 1, -1])
    assert load(pd.DataFrame({"o": pd.Categorical(values, order), "y": [1, 2, 1, 2]})).inputs["o"].kind == "categorical"


def test_dates_order_a_split_by_time(tmp_path):
    days = [f"2026-01-{d:02d}" for d in (9, 3, 7, 1, 5, 8, 2, 6, 4, 10)]
    source = load(write(tmp_path, "day,x,y\n" + "".join(f"{d},{i},{i / 7}\n" for i, d in enumerate(days))), time="day")
    assert [source.times[i].item() - source.times[3].item() for i in range(10)] == [8, 2, 6, 0, 4, 7, 1, 5, 3, 9]
    data = prepare(source, split={"train": 0.6, "valid": 0.2, "test": 0.2})
    assert [sorted(int(days[i][-2:]) for i in rows) for rows in (data.train.rows, data.valid.rows, data.door.rows)] == [
        [1, 2, 3, 4, 5, 6], [7, 8], [9, 10]]
    assert source.inputs.names == ("x",)


TASKS = {
    "words": (["u", "v"] * 10, "class", ("u", "v")),
    "yes and no": ([True, False] * 10, "class", ("false", "true")),
    "two whole numbers": ([-1, 1] * 2, "class", ("-1", "1")),
    "codes from nought": ([0, 1, 2] * 5, "class", ("0", "1", "2")),
    "codes as floats": ([0.0, 1.0, 2.0] * 5, "class", ("0", "1", "2")),
    "ten classes in order of number": (list(range(11)) * 5, "class", tuple(map(str, range(11)))),
    "scattered, many rows each": ([3, 7, 30] * 10, "class", ("3", "7", "30")),
    "scattered, few rows each": ([3, 7, 30] * 5, "real", ()),
    "many whole numbers": (list(range(30)) * 20, "real", ()),
    "fractions": ([0.5, 1.5] * 10, "real", ()),
}


@pytest.mark.parametrize("case", TASKS)
def test_what_a_target_is_taken_for(case):
    values, task, classes = TASKS[case]
    for y in (np.array(values), values, pd.Series(values), pl.Series(values)):
        source = load((np.zeros((len(values), 2)) + np.arange(2), y))
        assert (source.target_kind, source.classes) == (task, classes)
        if task == "class":
            said = [str(v).lower() if isinstance(v, bool) else str(int(v)) if not isinstance(v, str) else v for v in values]
            assert [classes[i] for i in source.targets] == said


def test_one_hot_rows_are_classes_and_several_real_columns_stay():
    one_hot = np.eye(3)[[2, 0, 1, 1]]
    source = load((np.ones((4, 2)) * np.arange(4)[:, None], one_hot))
    assert (source.target_kind, source.targets.tolist(), source.classes) == ("class", [2, 0, 1, 1], ("0", "1", "2"))
    both = load((np.ones((4, 2)), np.arange(8.0).reshape(4, 2)))
    assert (both.target_kind, both.targets.shape) == ("real", (4, 2))


def test_arrays_and_npz_and_npy_keep_their_values(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.integers(0, 2, 20)
    source = load((x, y))
    np.savez(tmp_path / "a.npz", x=x, y=y)
    np.savez_compressed(tmp_path / "b.npz", data=x, target=y)
    for path in ("a.npz", "b.npz"):
        assert load(tmp_path / path).fingerprint == source.fingerprint
    np.save(tmp_path / "c.npy", np.concatenate([x, y[:, None]], 1))
    last = load(tmp_path / "c.npy", target=-1)
    assert torch.equal(last.inputs, source.inputs)
    assert last.targets.tolist() == y.tolist()
    assert load(last.origin["what"], target=last.origin["target"]).fingerprint == last.fingerprint
    assert load(tmp_path / "c.npy").target_kind == "none"
    np.savez(tmp_path / "parts.npz", x_train=x[:15], y_train=y[:15], x_test=x[15:], y_test=y[15:])
    parts = load(tmp_path / "parts.npz")
    assert parts.parts["test"].tolist() == [15, 16, 17, 18, 19]
    assert parts.targets.tolist() == y.tolist()


def test_images_in_arrays_get_their_channels_second():
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (4, 8, 9), np.uint8), rng.integers(0, 256, (4, 8, 9, 3), np.uint8)
    assert torch.equal(load(grey).inputs, torch.from_numpy(grey)[:, None])
    assert torch.equal(load(colour).inputs, torch.from_numpy(colour).permute(0, 3, 1, 2))
    assert load(colour.transpose(0, 3, 1, 2)).inputs.shape == (4, 3, 8, 9)


BAD_TABLES = {
    "empty file": ("", {}, r"t\.csv is empty"),
    "names only": ("a,b,y\n", {}, r"t\.csv has no rows"),
    "no names": ("1,2,3\n4,5,6\n", {}, r"It has column_0, column_1, column_2 \(the first line holds values, no names\)\. Name one with "
                                       r"--target"),
    "a line too long": ("a,y\n1,2\n1,2,3\n", {}, "is not a table of values separated by ','"),
    "target misspelt": ("price,b\n1,2\n", {"target": "pirce"}, r"no column 'pirce'\. Did you mean price\? Name it with --target"),
    "target not said": ("price,b\n1,2\n", {}, r"which column is to be predicted\? It has price, b\. Name one with --target"),
    "target beyond": ("a,b\n1,2\n", {"target": "7"}, "has 2 columns; --target 7 is not one"),
    "target empty": ("a,y\n1,2\n1,\n3,1\n", {}, r"row 2: the target 'y' must be known and finite; got nothing"),
    "target infinite": ("a,y\n1,2.5\n1,3\n3,-inf\n", {}, r"row 3, column 'y': expected a finite number; got -inf"),
    "input infinite": ("a,b,y\n1,2,0\n1,inf,1\n", {}, r"t\.csv, row 2, column 'b': expected a finite number; got inf"),
    "group misspelt": ("site,y\n1,2\n", {"group": "sit"}, r"Did you mean site\? Name it with --group"),
    "group empty": ("site,a,y\n1,2,3\n,2,3\n", {"group": "site"}, "row 2: the group column 'site' is empty"),
    "time in words": ("when,a,y\nsoon,2,3\nlate,2,3\n", {"time": "when"}, "time column 'when' holds words such as 'soon'"),
    "no inputs": ("y\n1\n2\n", {}, "no input columns left beside y"),
    "not utf-8": ("a,y\n\udcff,1\n", {}, r"t\.csv is not text in UTF-8; .* Save it as UTF-8"),
    "bytes of nought": ("a,y\n\0,1\n", {}, r"t\.csv holds bytes of 0, as text in UTF-8 never does\. Name its encoding with --encoding"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_bad_table_is_refused_in_one_sentence(tmp_path, case):
    text, options, message = BAD_TABLES[case]
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message):
        load(path, **options)


def test_what_was_guessed_of_a_table_is_said(tmp_path):
    """The target where none was named, and a word that is out of place among numbers; not where both are clear."""
    numbers = [f"{i / 7},{i % 2}" for i in range(30)]
    told = []
    load(write(tmp_path, "\n".join(["a,y", *numbers])), say=told.append)
    assert told == ["t: 'y' is what is predicted; name another column with --target."]
    told.clear()
    load(write(tmp_path, "\n".join(["a,y", *numbers])), target="y", say=told.append)
    assert not told
    numbers[4] = "oops,1"
    source = load(write(tmp_path, "\n".join(["a,y", *numbers])), target="y", say=told.append)
    assert source.notes == ("'a': 'oops' in row 5 is no number; read as missing. --columns a:word reads all as words.",)
    assert source.inputs["a"].missing.nonzero().tolist() == [[4]]
    assert prepare(source).encoder.inputs.notes[0] == source.notes[0]
    source = load(write(tmp_path, "\n".join(["a,y", *(f"{word},{i % 2}" for i, word in enumerate([*"123456789", "few", "many", "none"]))])),
         target="y", say=told.append)
    assert source.inputs["a"].kind == "categorical"
    assert not told
    assert not source.notes


def test_a_rule_for_classes_refuses_a_target_of_numbers(tmp_path):
    path = write(tmp_path, "\n".join(["a,y", *(f"{i},{i / 7}" for i in range(60))]))
    with pytest.raises(InputError, match=r"expected a target of classes; got 60 different numbers in 60 rows\. Name a column of classes"):
        prepare(load(path, target="y"), target="class")


def npy(shape, descr="<f8"):
    header = str({"descr": descr, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.npy", npy((10**9, 10**6)) + bytes(64), "declares shape"),
    ("a.npy", npy((2, 2)) + bytes(31), r"32 bytes from offset \d+; 31 are there"),
    ("a.npy", npy((2, 2)) + bytes(33), "33 are there"),
    ("a.npy", npy((-2, -2)) + bytes(32), "declares shape"),
    ("a.npy", npy((2, 2), "|O") + bytes(32), "holds Python objects"),
    ("a.npy", b"\x93NUMPX" + bytes(100), "expected an npy header at offset 0"),
    ("a.npz", b"PK\x03\x04" + bytes(40), r"a\.npz is damaged"),
    ("a.parquet", b"PAR1" + bytes(40), r"a\.parquet is damaged"),
])
def test_a_damaged_or_hostile_file_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorruptFile if "objects" not in message else InputError, match=message):
        load(tmp_path / name, target=0)


def test_an_npz_that_holds_objects_runs_nothing(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    np.savez(tmp_path / "a.npz", x=np.array([Bomb(), Bomb()], dtype=object))
    with pytest.raises(InputError, match="array 'x' holds Python objects"):
        load(tmp_path / "a.npz")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("what", "message"), [
    ((np.array([[1.0, -np.inf], [3, 4]]), [0, 1]), "row 1, feature 2: .*got -inf"),
    ((np.ones((3, 2)), [0, 1]), "one target for each of 3 rows"),
    ((np.ones((3, 2)), [0.5, float("nan"), 1]), "row 2: the target 'y' must be known and finite; got nothing"),
    ((np.ones((3, 2)), np.array([[0.5, 1], [1, 2], [np.inf, 1]])), "row 3: target number 1: expected a finite number; got inf"),
    (np.ones(5), r"got shape \(5,\)"),
    (np.ones((0, 5)), "holds no values"),
    (np.array([["a", "b"]]), "which column is to be predicted\\? It has x1, x2"),
    ({"x": [1, 2]}, "which column is to be predicted\\? It has x"),
    (pl.DataFrame({"a": [[1], [2]], "y": [0, 1]}), "row 1, column 'a': expected a number, a word or yes/no; got list"),
    (pl.LazyFrame({"a": [1], "y": [0]}), "expected a data frame in memory"),
])
def test_bad_things_in_memory_are_refused(what, message):
    with pytest.raises(InputError, match=message):
        load(what)


def test_prediction_reads_a_file_with_or_without_its_target(tmp_path):
    rows = "".join(f"{i},{'u' if i % 3 else 'v'},{i % 2}\n" for i in range(40))
    source = load(write(tmp_path, "a,b,y\n" + rows))
    encoder = prepare(source).encoder
    bare = "b,a\n" + "".join(f"{'u' if i % 3 else 'v'},{i}\n" for i in range(40))
    without = load_inputs(write(tmp_path, bare, "new.csv"), like=encoder.inputs)
    assert without.targets is None
    assert torch.equal(encoder.inputs.encode(without), encoder.inputs.encode(source))
    with_it = load_inputs(write(tmp_path, "a,b,y\n3,u,1\n4,v,0\n", "two.csv"), like=encoder.inputs, target=("y",))
    assert encoder.target.encode(with_it).tolist() == [1, 0]
    gaps = load_inputs(write(tmp_path, "a,b,y\n3,u,\n4,v,0\n", "gaps.csv"), like=encoder.inputs, target=("y",))
    assert gaps.targets is None
    assert torch.equal(encoder.inputs.encode(pd.DataFrame({"a": [3], "b": ["u"], "y": [1]})), encoder.inputs.encode(with_it)[:1])
