"""Strips of digits: made of single ones, evenly spread, those of the test part apart from the others."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError

EMBEDDED = "strips:source=digits"


def test_a_strip_is_a_function_of_seed_and_number():
    few, more = cr.load(f"{EMBEDDED},count=8"), cr.load(f"{EMBEDDED},count=8,seed=1")
    assert few.inputs.shape == (8, 1, 8, 40)
    assert few.targets.shape == (8, 5)
    assert not few.inputs.equal(more.inputs)
    assert cr.load(few.origin["what"]).fingerprint == few.fingerprint


def _stands(strip, known):
    """Whether one of the digits (n, 8, 8) begins where the strip does: its own ink everywhere, and in its middle nothing else."""
    covers, same = strip[:, :8] >= known, strip[:, 2:6] == known[:, :, 2:6]
    return bool((covers.flatten(1).all(1) & same.flatten(1).all(1)).any())


def test_a_strip_holds_its_digits_in_their_order():
    """Each digit is found, as it is, at some place right of the one before it, a digit's width away at most."""
    strips, single = cr.load(f"{EMBEDDED},count=12,digits=3"), cr.load("digits")
    for strip, labels in zip(strips.inputs[:, 0], strips.targets.tolist(), strict=True):
        at = -7
        for label in labels:
            known = single.inputs[single.targets == label][:, 0]
            places = [begin for begin in range(max(0, at + 7), min(17, at + 9 if at >= 0 else 17)) if _stands(strip[:, begin:], known)]
            assert places
            at = places[0]


def test_the_test_part_is_made_of_digits_apart():
    strips, single = cr.load(f"{EMBEDDED},count=40,digits=1"), cr.load("digits")
    test = torch.zeros(40, dtype=torch.bool)
    test[strips.parts["test"]] = True
    own = torch.arange(len(single)) % 5 == 0
    for at in range(40):
        same = (single.inputs == strips.inputs[at]).flatten(1).all(1)
        assert bool((same & (own == test[at])).any())


@pytest.mark.parametrize("options", ["count=3", "digits=0", "source=letters"])
def test_options_that_allow_no_strip_are_refused(options):
    with pytest.raises(InputError, match="strips"):
        cr.load(f"strips:{options}")
