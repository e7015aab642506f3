"""R03: stop at every batch of an epoch and go on: no row repeated, none lost, the same order, the same weights.

There are no worker processes that could run ahead: the feed is on the device and its order a function of seed and epoch.
"""

import pytest
from worker import BATCHES, ROWS, Stop, differences, outcome, training

EPOCHS = 3


def rows_of(folder, chunk, stop_at=None):
    """The rows read, batch after batch, by one process's part of a run."""
    stop, read = Stop(), []

    def watch(rows, net):
        read.append(rows)
        if len(read) == stop_at:
            stop.request("test")

    folder.mkdir(exist_ok=True)
    list(training(folder, epochs=EPOCHS, chunk=chunk, save_every=1e9, stop=stop, watch=watch).run())
    return read


@pytest.mark.parametrize("chunk", [1, 4])
def test_a_stop_anywhere_in_the_second_epoch(tmp_path, chunk):
    whole = rows_of(tmp_path / "whole", chunk)
    assert [sorted(sum(whole[e * BATCHES : (e + 1) * BATCHES], [])) for e in range(EPOCHS)] == [list(range(ROWS))] * EPOCHS
    for batch in range(1, BATCHES + 1):
        folder = tmp_path / f"stopped{batch}"
        before = rows_of(folder, chunk, stop_at=BATCHES + batch)
        assert BATCHES + batch <= len(before) < BATCHES + batch + chunk
        after = rows_of(folder, chunk)
        assert before + after == whole
        assert differences(outcome(folder), outcome(tmp_path / "whole")) == []


def test_a_stop_after_every_single_batch(tmp_path):
    whole, folder, read = rows_of(tmp_path / "whole", 1), tmp_path / "often", []
    while len(read) < len(whole):
        read += rows_of(folder, 1, stop_at=1)
    assert read == whole
    assert rows_of(folder, 1) == []
    assert differences(outcome(folder), outcome(tmp_path / "whole")) == []
