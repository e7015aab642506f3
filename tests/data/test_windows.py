"""Texts, tables and arrays as sequences: every step is there once and in order, scaled by training rows alone, and read again alike."""

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.encode.series import Series
from chainrule.data.prepare import prepare
from chainrule.data.readers.text import source as text_source
from chainrule.data.windows import in_windows
from chainrule.workflows.predict import rows_of


def table(folder, name="s.csv", rows=130, extra=""):
    path = folder / name
    order = np.random.default_rng(0).permutation(rows)
    lines = [f"2026-01-01 {i // 60:02d}:{i % 60:02d},{10 * i},{'' if i == 7 else 0.001 * i}" for i in order]
    path.write_text("\n".join([f"when,large,small{extra}", *lines]) + "\n")
    return path


def test_a_table_becomes_windows_in_order_of_time_with_its_gaps(tmp_path):
    source = in_windows(cr.load(table(tmp_path), target="none", time="when"), 50)
    assert isinstance(source.inputs, Series)
    assert source.inputs.form.names == ("large", "small")
    assert source.inputs.shape == (3, 50, 2)
    steps = source.inputs.values.flatten(0, 1)
    assert steps[:130, 0].tolist() == [10.0 * i for i in range(130)]
    assert steps[7, 1].isnan()
    assert steps[130:].isnan().all()
    assert source.times.tolist() == [0, 1, 2]


def test_each_column_is_scaled_by_what_training_rows_have(tmp_path):
    source = in_windows(cr.load(table(tmp_path), target="none", time="when"), 10)
    data = prepare(source)
    x = data.train.x
    assert x.flatten(0, 1).nanmean(0).abs().max() < 1e-4
    raw = source.inputs.values[data.train.rows].flatten(0, 1)
    centre, factor = data.encoder.inputs.scale
    torch.testing.assert_close(centre, raw.nanmean(0))
    torch.testing.assert_close(1 / factor, torch.tensor(np.nanstd(raw.numpy(), axis=0)))
    other = source.inputs.values.clone()
    other[data.door.rows] *= 1000
    again = prepare(type(source)(**{**vars(source), "inputs": Series(other, source.inputs.form)}))
    torch.testing.assert_close(again.train.x, x, equal_nan=True)


def test_groups_are_sequences_of_their_own_lengths(tmp_path):
    path = tmp_path / "g.csv"
    path.write_text("who,v\n" + "".join(f"{who},{i}\n" for i in range(5) for who in ("a", "b", "c") if who != "c" or i < 3))
    source = in_windows(cr.load(path, target="none", group="who"), 64)
    assert source.inputs.values[..., 0].nan_to_num(nan=-1).tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, -1, -1]]
    assert source.groups is source.times is None


def test_a_text_is_cut_into_windows_that_follow_one_another():
    text = "abcdefghij" * 10
    source = in_windows(text_source(text, "a text"), 16)
    assert "".join(source.inputs[i] for i in range(len(source))) == text[:96]
    assert source.targets is None
    assert source.times.tolist() == list(range(6))


def test_new_rows_of_a_run_are_read_as_those_of_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = cr.train(table(tmp_path), target="none", time="when", net="hmm:states=2", epochs=2, plan="eager", progress=False)
    x = rows_of(run.job.trained, table(tmp_path)).x
    source = in_windows(cr.load(table(tmp_path), target="none", time="when"), 64)
    torch.testing.assert_close(x, run.job.data.encoder.inputs.encode(source), equal_nan=True)
    (tmp_path / "less.csv").write_text("when,large\n2026-01-01 00:01,3\n2026-01-01 00:02,4\n")
    with pytest.raises(InputError, match="has no column 'small'"):
        rows_of(run.job.trained, tmp_path / "less.csv")


def test_words_and_dates_are_no_series(tmp_path):
    path = tmp_path / "w.csv"
    path.write_text("when,what,v\n2026-01-01,red,1\n2026-01-02,blue,2\n2026-01-03,red,3\n")
    with pytest.raises(InputError, match="'when' holds dates"):
        in_windows(cr.load(path, target="none"), 4)
    with pytest.raises(InputError, match="'what' holds words"):
        in_windows(cr.load(path, target="none", time="when"), 4)
