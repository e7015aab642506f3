"""The sealed rows are known again in whatever file they come, and measuring on them is counted as an opening."""

import numpy as np
import polars as pl
import torch

import chainrule as cr
from chainrule.data.row_hashes import row_hashes


def test_the_same_file_is_an_opening_of_the_test_part_and_new_rows_are_none(tmp_path):
    draw = np.random.default_rng(0)
    frame = pl.DataFrame({"a": draw.normal(size=60), "b": draw.normal(size=60), "y": ["u", "v"] * 30})
    frame.write_csv(tmp_path / "t.csv")
    run = cr.train(tmp_path / "t.csv", target="y", net="linear", loss="cross-entropy", epochs=1, plan="eager", out=tmp_path / "r" / "a",
                   progress=False)
    rows, splits = run.job.data.door.rows.tolist(), run.record["data"]["splits"]
    frame[rows[:3]].write_csv(tmp_path / "three.csv")
    frame.with_columns(pl.col("a") + 10).write_csv(tmp_path / "new.csv")
    (tmp_path / "t.csv").rename(tmp_path / "moved.csv")
    again = cr.Run(run.path)
    whole = again.test_on(tmp_path / "moved.csv")
    assert whole.opened == 1
    assert (f"60 of 60 rows are the run's own, or equal to them: {splits['train']} of its training, {splits['valid']} of its validation, "
            f"{splits['test']} of its test part; this counts as an opening") in whole.notes[-1]
    assert again.test_on(tmp_path / "three.csv").opened == 2
    assert again.test_on(tmp_path / "new.csv").opened == 0
    assert not any("the run's own" in note for note in again.test_on(tmp_path / "new.csv").notes)
    train = frame[run.job.data.train.rows.tolist()]
    train.write_csv(tmp_path / "train.csv")
    assert again.test_on(tmp_path / "train.csv").opened == 0
    assert len((tmp_path / "r" / "openings.jsonl").read_text().splitlines()) == 2
    (tmp_path / "moved.csv").rename(tmp_path / "t.csv")
    assert cr.Run(run.path).test().opened == 3


def test_equal_rows_alone_have_equal_numbers():
    draw = torch.Generator().manual_seed(0)
    for x in (torch.randn(500, 3, generator=draw), torch.randint(0, 2, (500, 7), generator=draw, dtype=torch.uint8),
              torch.randint(0, 3, (500, 1, 2, 2), generator=draw)):
        hashes = row_hashes(x).tolist()
        words = [tuple(row.flatten().tolist()) for row in x]
        assert len(set(zip(words, hashes))) == len(set(words)) == len(set(hashes))
    assert row_hashes(torch.empty(0, 4)).tolist() == []
    assert row_hashes(torch.tensor([[0.0, 1.0]])).equal(row_hashes(torch.tensor([[-0.0, 1.0]])))
