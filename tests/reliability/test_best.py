"""R10: the best score, the best weights and the patience counter survive restarts at random places."""

import json
import random

import pytest
from worker import differences, outcome, training

from chainrule.core.events import Saved
from chainrule.core.tree import clone

EPOCHS, PATIENCE = 30, 6
SCORES = [0.9, 0.7, 0.8, 0.75, 0.6, 0.65, 0.66, 0.5, 0.55, 0.52, 0.51, 0.5, 0.53, 0.54]  # ends by patience; 0.5 again is no better


def part_of_a_run(folder, saves=None):
    """What is remembered after each save, by step: the best and how long training has waited since. Abandoned after `saves` of them."""
    folder.mkdir(exist_ok=True)
    running = training(folder, epochs=EPOCHS, patience=PATIENCE, validate=lambda _: {"loss": SCORES[running.position.epoch - 1]})
    remembered = {}
    for event in running.run():
        if isinstance(event, Saved):
            position = running.position
            # json: a checkpoint gives back lists and numbers as they were, not objects that are shared with the live run
            remembered[event.step] = {"waited": position.waited, "best": json.dumps(position.best), **clone(running.best)}
            if len(remembered) == saves:
                break
    return remembered


def restarts(tmp_path, wanted):
    whole = part_of_a_run(tmp_path / "whole")
    expected, chance, done, runs = outcome(tmp_path / "whole"), random.Random(1), 0, 0
    assert expected["position/finished"] == "patience"
    assert expected["best"]["measures"] == {"loss": 0.5}
    assert expected["best"]["epoch"] == 1 + SCORES.index(0.5)
    while done < wanted:
        folder, ended = tmp_path / f"run{runs}", False
        while not ended:
            some = part_of_a_run(folder, chance.randint(1, 20) if done < wanted else None)
            assert some
            for step, state in some.items():
                assert differences(state, whole[step]) == []
            ended = max(some) == max(whole) and outcome(folder)["position/finished"] == "patience"
            done += not ended
        assert differences(outcome(folder), expected) == []
        runs += 1
    return done


def test_restarts_at_random_places(tmp_path):
    assert restarts(tmp_path, 12) >= 12


@pytest.mark.slow
def test_fifty_restarts_at_random_places(tmp_path):
    assert restarts(tmp_path, 50) >= 50
