"""Commands that are killed, or stopped by a signal, at moments of chance: what is said, or where nothing can be said the same command, goes
on, and ends in the bits of a command that nobody disturbed.
"""

import pytest
from interrupting import Tally, Trials, commands


@pytest.fixture(scope="module")
def trials(workers, tmp_path_factory):
    return Trials(workers, tmp_path_factory.mktemp("interrupted"))


def disturb(trials, name, kills, at_once):
    tally, number = Tally(), 0
    while tally.number < kills and number < 10 * kills:
        number += 1
        trials.disturbed(name, number, min(at_once, kills - tally.number), tally)
    assert tally.faults == []
    assert tally.runs == tally.same == number
    return tally


@pytest.mark.parametrize("name", ["linear", "boost-samme", "sweep", "check"])
def test_a_few(trials, name):
    disturb(trials, name, 2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", commands())
def test_five_hundred(trials, name):
    disturb(trials, name, -(-500 // len(trials.commands)), 4)
