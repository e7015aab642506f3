"""The best places for things in a row, against all choices enumerated."""

import itertools

import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.evaluate.alignment import aligned


@pytest.mark.parametrize(("places", "count", "least", "most"), [(9, 3, 2, 3), (7, 1, 1, 1), (8, 4, 1, 4), (10, 3, 3, 3)])
def test_no_other_choice_of_places_has_a_greater_sum(places, count, least, most):
    scores = torch.randn(20, places, generator=torch.Generator().manual_seed(0))
    found = aligned(scores, count, least, most)
    for row, at in zip(scores, found.tolist(), strict=True):
        allowed = [c for c in itertools.combinations(range(places), count)
                   if all(least <= b - a <= most for a, b in itertools.pairwise(c))]
        assert tuple(at) == max(allowed, key=lambda c: float(row[list(c)].double().sum()))


@pytest.mark.parametrize(("count", "least", "most"), [(4, 3, 4), (0, 1, 1), (2, 3, 2), (2, 0, 1)])
def test_what_does_not_fit_is_said(count, least, most):
    with pytest.raises(InputError, match="do not fit into 9"):
        aligned(torch.zeros(1, 9), count, least, most)
