"""What reading takes in memory is no more than the sum that is asked for before, nor several times less."""

from pathlib import Path

import pytest
from reading_memory import KINDS, measured

SLACK = 12 * 10**6     # bytes: what the allocator keeps, and other threads
FAR = 4                # times what it takes, a sum would refuse what fits
QUICK = ("digits", "text", "npz", "letters")

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no /proc here")


def bounded(kind, folder, rows):
    _, grown, asked = measured(kind, folder, rows)
    assert grown > SLACK, "the file is so small that this says nothing"
    assert grown <= asked + SLACK, (kind, rows, grown, asked)
    assert asked <= FAR * grown + SLACK, (kind, rows, grown, asked)


@pytest.mark.parametrize("kind", QUICK)
def test_reading_takes_no_more_than_its_sum(kind, tmp_path):
    bounded(kind, tmp_path, KINDS[kind][2][1] // 2)


@pytest.mark.slow
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_of_every_kind_and_at_two_sizes(kind, large, tmp_path):
    bounded(kind, tmp_path, KINDS[kind][2][1 + large])
