"""Drawn maps: the same for one seed, wrong by the stated share and shift, right in the test part."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.synthetic.roads import FIELD, draw


def test_a_map_is_a_function_of_seed_and_number():
    few, more = draw(3, 24, wrong=0.3, shift=2, seed=5), draw(6, 24, wrong=0.3, shift=2, seed=5)
    for one, other in zip(few, more, strict=True):
        assert one.equal(other[:3])
    assert not few.pictures.equal(draw(3, 24, wrong=0.3, shift=2, seed=6).pictures)


def test_maps_that_are_not_wrong_are_the_clean_ones():
    maps = draw(6, 32, wrong=0.0, shift=0, seed=0)
    assert maps.wrong.equal(maps.clean)
    assert len(maps.clean.unique()) == 3


def test_a_moved_map_is_the_clean_one_elsewhere():
    maps = draw(12, 32, wrong=0.0, shift=3, seed=0)
    for clean, moved in zip(maps.clean, maps.wrong, strict=True):
        shifts = [(down, right) for down in range(-3, 4) for right in range(-3, 4)
                  if clean[3 - down : 29 - down, 3 - right : 29 - right].equal(moved[3:29, 3:29])]
        assert shifts


def test_objects_are_left_out_in_the_stated_share():
    """Nothing is added, and about so much of what there is is absent: standard error of a share of 400 objects is 2.3 points."""
    maps = draw(80, 48, wrong=0.3, shift=0, seed=0)
    built = maps.clean != FIELD
    assert (maps.wrong[~built] == FIELD).all()
    assert float((maps.wrong[built] == FIELD).double().mean()) == pytest.approx(0.3, abs=0.08)


def test_the_set_has_wrong_maps_to_learn_from_and_right_ones_to_be_tested_on():
    source = cr.load("roads:count=16,side=24,shift=1,seed=3")
    maps = draw(16, 24, wrong=0.3, shift=1, seed=3)
    assert source.parts["test"].tolist() == [12, 13, 14, 15]
    assert source.targets[12:].equal(maps.clean[12:])
    assert source.targets[:12].equal(maps.wrong[:12])
    assert source.inputs.dtype == torch.uint8
    again = cr.load(source.origin["what"])
    assert again.fingerprint == source.fingerprint


@pytest.mark.parametrize("options", ["count=2", "side=8", "wrong=1", "shift=-1", "shift=64"])
def test_options_that_allow_no_map_are_refused(options):
    with pytest.raises(InputError, match="roads expects"):
        cr.load(f"roads:{options}")


def test_a_misspelt_option_gets_the_nearest():
    with pytest.raises(InputError, match="Did you mean count"):
        cr.load("roads:cout=5")
