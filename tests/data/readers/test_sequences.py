"""Sequences of numbers: each way there and back is exact; torch's pad_sequence and Python's slices are the oracles."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pad_sequence

from chainrule.core.errors import InputError
from chainrule.data.readers.sequences import Ink, offsets, pad, read_ink, strokes_of, unpad, unwindow, windows, write_ink


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.sampled_from([(), (2,), (2, 3)]), st.floats(-9, 9, width=32))
def test_padding_is_torchs_and_unpadding_undoes_it(lengths, shape, fill):
    made = [torch.randn(n, *shape) for n in lengths]
    padded, mask = pad(made, fill)
    torch.testing.assert_close(padded, pad_sequence(made, batch_first=True, padding_value=fill), rtol=0, atol=0)
    assert mask.sum(1).tolist() == lengths
    back = unpad(padded, mask)
    assert len(back) == len(made)
    assert all(torch.equal(a, b) for a, b in zip(back, made))


def test_what_cannot_be_padded_is_refused():
    with pytest.raises(InputError, match="at least one sequence"):
        pad([])
    with pytest.raises(InputError, match="sequence 2 has shape"):
        pad([torch.zeros(3, 2), torch.zeros(3, 1)])
    with pytest.raises(InputError, match="true from the start"):
        unpad(torch.zeros(1, 3), torch.tensor([[True, False, True]]))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 12), st.integers(1, 3))
def test_windows_are_slices_and_unwindowing_gives_the_series(delays, horizon, more, d):
    series = torch.randn(delays + 2 * horizon - 1 + more, d)
    taps, ahead = windows(series, delays, horizon)
    for i in range(len(taps)):
        assert torch.equal(taps[i], series[i : i + delays])
        assert torch.equal(ahead[i], series[i + delays - 1 + horizon])
    assert len(taps) == len(series) - delays - horizon + 1
    assert torch.equal(unwindow(taps, ahead, horizon), series)


def test_series_too_short_to_window_or_to_restore_are_refused():
    with pytest.raises(InputError, match="at least 5 steps"):
        windows(torch.zeros(4, 1), 3, 2)
    with pytest.raises(InputError, match="at least 1 delay"):
        windows(torch.zeros(4, 1), 0)
    with pytest.raises(InputError, match="at least 3 of them"):
        unwindow(*windows(torch.zeros(6, 1), 2, 3), horizon=3)


point = st.integers(-10**6, 10**6)
inks = st.sampled_from([2, 3]).flatmap(
    lambda d: st.lists(st.lists(st.lists(point, min_size=d, max_size=d), min_size=1, max_size=6), min_size=1, max_size=4))


@settings(deadline=None, max_examples=60)
@given(inks)
def test_offsets_and_strokes_undo_each_other(made):
    strokes = [torch.tensor(s) for s in made]
    steps = offsets(strokes)
    assert steps[:, -1].sum() == len(strokes)
    assert steps[0, :-1].tolist() == made[0][0]
    back = strokes_of(steps)
    assert [s.tolist() for s in back] == made
    assert torch.equal(offsets(back), steps)


@settings(deadline=None, max_examples=60)
@given(inks, st.integers(0, 9))
def test_ink_is_written_and_read_to_the_last_digit(made, places):
    ink = Ink(tuple(torch.tensor(s) for s in made), places)
    again = read_ink(write_ink(ink))
    factor = 10 ** (places - again.places)
    assert [(s * factor).tolist() for s in again.strokes] == made
    assert write_ink(again) == write_ink(ink)


def test_both_forms_of_ink_say_the_same():
    lines = read_ink("0.1,0.25 3,-4\n\n5,6")
    assert (lines.places, [s.tolist() for s in lines.strokes]) == (2, [[[10, 25], [300, -400]], [[500, 600]]])
    for other in ("[[[0.1, 0.25], [3, -4]], [[5.00, 6e0]]]", "1e-1,2.50E-1 3,-4\n5,6", f"0.1,0.25{'0' * 30} 3,-4\n5,6"):
        held = read_ink(other)
        assert held.places == 2
        assert [s.tolist() for s in held.strokes] == [s.tolist() for s in lines.strokes]
    assert read_ink("0e-50,0e999").places == 0
    assert offsets(lines.strokes).tolist() == [[10, 25, 0], [290, -425, 1], [200, 1000, 1]]


@pytest.mark.parametrize(("text", "says"), [
    ("", "no strokes"), ("1,2 3", "points of 1 and 2 numbers"), ("1,2\n3,x", "stroke 2, point 1: expected finite"),
    ("1,nan", "expected finite"),
    ("[[[1, 2]", "is not JSON"), ("[[1, 2]]", "another nesting"), ("[[]]", "at least one point"), ("[[[1, true]]]", "expected finite"),
    ("0.12345678901,1", "too fine"), ("1e999999,0.1", "too large"), ("1e15,1", "too large"), ("1,2,3,4", "points of 4 numbers"),
])
def test_bad_ink_is_refused(text, says):
    with pytest.raises(InputError, match=says):
        read_ink(text)


def test_offsets_refuse_what_they_could_not_undo():
    with pytest.raises(InputError, match="whole numbers"):
        offsets([torch.rand(2, 2)])
    with pytest.raises(InputError, match="at least one point"):
        offsets([])
    with pytest.raises(InputError, match="last lifts the pen"):
        strokes_of(torch.tensor([[1, 2, 0]]))
