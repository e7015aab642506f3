"""Strokes redraw the skeleton they were traced on, pixel by pixel; skeletons are thin, lie inside the ink and fall into as many pieces."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.synthetic.strokes import enlarged, inked, steps_of, strokes_of, thinned

EIGHT = np.ones((3, 3))                                     # pixels that touch at a corner hang together
COUNT = 120


def skeletons():
    ink = inked(enlarged(cr.load("digits").inputs[:COUNT, 0]))
    return ink, thinned(ink)


def redrawn(steps, shape):
    """What a pen that goes along steps (t, 3) leaves: a dot where it is put down, and every pixel that it is moved to."""
    picture, x, y = np.zeros(shape, bool), 0, 0
    for right, down, _ in steps.astype(int):
        if right or down:
            x, y = x + right, y + down
            picture[y, x] = True
    return picture


def test_the_strokes_redraw_the_skeleton():
    source = cr.load(f"strokes:count={COUNT}")
    _, bones = skeletons()
    for steps, skeleton in zip(source.inputs.numpy(), bones, strict=True):
        assert np.array_equal(redrawn(steps, skeleton.shape), skeleton)
    assert torch.equal(source.targets, cr.load("digits").targets[:COUNT])


def test_with_its_pen_down_it_goes_to_a_neighbour_and_every_two_are_passed_once():
    _, bones = skeletons()
    for skeleton in bones:
        pairs = []
        for stroke in strokes_of(skeleton):
            pairs += [frozenset(pair) for pair in pairwise(stroke)]
        assert all(max(abs(a - c), abs(b - d)) == 1 for (a, b), (c, d) in map(tuple, pairs))
        assert len(pairs) == len(set(pairs))


def test_skeletons_lie_inside_and_keep_the_pieces_and_holes_of_the_ink():
    ink, bones = skeletons()
    assert not (bones & ~ink).any()
    assert bones.sum() < ink.sum() / 2
    for thick, thin in zip(ink, bones, strict=True):
        assert ndimage.label(thick, EIGHT)[1] == ndimage.label(thin, EIGHT)[1]
        assert ndimage.label(~np.pad(thick, 1))[1] == ndimage.label(~np.pad(thin, 1))[1]


def test_a_cross_is_drawn_in_two_straight_strokes():
    """By hand: the pen goes on straight where four ways meet."""
    cross = np.zeros((7, 7), bool)
    cross[3, 1:6] = cross[1:6, 3] = True
    strokes = strokes_of(cross)
    assert sorted(map(len, strokes)) == [5, 5]
    assert {frozenset(stroke) for stroke in strokes} == {frozenset((3, c) for c in range(1, 6)), frozenset((r, 3) for r in range(1, 6))}
    steps = steps_of(strokes)
    assert steps[:, 2].tolist() == [0, 1, 1, 1, 1, 0, 1, 1, 1, 1]
    assert steps[:, :2].sum(0).tolist() == [strokes[-1][-1][1], strokes[-1][-1][0]]


def test_a_dot_is_put_down_once_and_a_thick_bar_becomes_a_line():
    dot = np.zeros((5, 5), bool)
    dot[2, 3] = True
    assert steps_of(strokes_of(dot)).tolist() == [[3, 2, 0]]
    bar = np.zeros((1, 9, 20), bool)
    bar[0, 3:6, 2:18] = True
    thin = thinned(bar)[0]
    assert (thin.sum(0) <= 1).all()
    assert thin[4].sum() == thin.sum() >= 12


def test_shorter_ones_begin_with_steps_that_go_nowhere():
    source = cr.load("strokes:count=60")
    x = source.inputs
    still = (x == 0).all(2)
    assert bool((still.int().diff(dim=1) <= 0).all())          # once the pen moves it does not stand
    assert source.inputs.shape[2] == 3
    assert cr.load(source.origin["what"]).fingerprint == source.fingerprint


def test_too_few_are_refused():
    with pytest.raises(InputError, match="at least 10"):
        cr.load("strokes:count=3")
