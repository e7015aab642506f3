"""Strings read off frames, against all paths; edits, against the recursion by Wagner and Fischer written out and against jiwer's."""

import functools
import itertools

import pytest
import torch

from chainrule.evaluate.strings import best_path, edit_distances, padded, prefix_beam

BLANK = 2


def said(path):
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK)


def test_the_best_path_is_that_of_every_frame():
    paths = [(0, 0, 2, 0, 1), (2, 2, 2, 2, 2), (1, 2, 1, 1, 0), (0, 1, 0, 1, 0)]
    shares = torch.nn.functional.one_hot(torch.tensor(paths), 3).double()
    assert [[s for s in row if s >= 0] for row in best_path(shares).tolist()] == [list(said(p)) for p in paths]


@pytest.mark.parametrize("seed", range(8))
def test_a_beam_that_holds_every_prefix_finds_the_likeliest_string_of_all(seed):
    torch.manual_seed(seed)
    shares = torch.randn(5, 3, dtype=torch.float64).softmax(1)
    totals: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(3), repeat=5):
        p = float(torch.stack([shares[t, s] for t, s in enumerate(path)]).prod())
        totals[said(path)] = totals.get(said(path), 0.0) + p
    assert tuple(prefix_beam(shares, 200)) == max(totals, key=totals.get)


def test_a_beam_finds_a_string_that_the_best_path_does_not():
    """Three paths say 0, each less likely than the one that says nothing."""
    shares = torch.tensor([[0.4, 0.0, 0.6], [0.4, 0.0, 0.6]])
    assert best_path(shares[None]).tolist() == [[-1, -1]]
    assert prefix_beam(shares) == [0]


def edits(a, b):
    @functools.cache
    def apart(i, j):
        if not i or not j:
            return i + j
        return min(apart(i - 1, j) + 1, apart(i, j - 1) + 1, apart(i - 1, j - 1) + (a[i - 1] != b[j - 1]))
    return apart(len(a), len(b))


def test_edits_are_those_of_the_recursion():
    generator = torch.Generator().manual_seed(0)
    strings = [[torch.randint(3, (int(n),), generator=generator).tolist() for n in torch.randint(8, (60,), generator=generator)]
               for _ in range(2)]
    found = edit_distances(padded(strings[0]), padded(strings[1]))
    assert found.tolist() == [edits(tuple(a), tuple(b)) for a, b in zip(*strings, strict=True)]
    jiwer = pytest.importorskip("jiwer")
    for a, b, distance in zip(*strings, found.tolist(), strict=True):
        if b:
            words = jiwer.process_words(" ".join(map(str, b)), " ".join(map(str, a)))
            assert distance == words.substitutions + words.insertions + words.deletions


def test_strings_of_different_widths_are_compared():
    assert edit_distances(padded([[1, 2, 3]]), padded([[1]])).tolist() == [2]
    assert edit_distances(padded([[]]), padded([[1, 2]])).tolist() == [2]
