"""Numbers as people read them."""

import math

import pytest

from chainrule.core.text import shown


@pytest.mark.parametrize(("value", "words"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf"), (0.0, "0"), (-0.5, "-0.5000"),
                                              (1e-9, "1.000e-09")])
def test_every_number_can_be_shown(value, words):
    assert shown(value) == words


def test_shares_without_a_value_are_shown_in_per_cent_too():
    assert [shown(value, per_cent=True) for value in (math.nan, 0.5, math.inf)] == ["nan", "50.00", "inf"]
