"""Members are worth a stack whatever a busy machine measures, for the tests that ask for it."""

import pytest

from chainrule.engine.members import grouping as of_members
from chainrule.engine.members.grouping import Grouping


@pytest.fixture
def worth_a_trial(monkeypatch):
    """However short a run is, stacks are tried."""
    monkeypatch.setattr(of_members, "WORTH_STACKING_SECONDS", 0.0)


@pytest.fixture
def together(monkeypatch):
    """Stacks of all, whatever a busy machine measures; returns how often a grouping was asked for."""
    asked = []

    def grouped(members, kin):
        asked.append(kin)
        return Grouping(len(kin.numbers), f"{len(kin.numbers)} together", [])

    monkeypatch.setattr(of_members, "grouped", grouped)
    return asked
