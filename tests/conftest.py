"""What every test needs: no plan remembered from another; and what would cost all of them time: waiting for the disk, trials, pictures."""

import os

import pytest

from chainrule.engine.plans import trial
from chainrule.job import job
from chainrule.plots.figure import to_png


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    monkeypatch.setattr(job, "usual_folder", lambda: None)


@pytest.fixture(scope="session", autouse=True)
def _unsynced():
    """Saving without waiting for the disk, which only a power cut would show; workers of their own processes wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _brief_trials():
    """A trial times three chunks and no more: no test says which plan is the fastest here, and most train several times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "TRIAL_SECONDS", 0.01)
        yield


@pytest.fixture(scope="session", autouse=True)
def _small_pictures():
    """Pictures are drawn whole, but in few dots."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(to_png, "__kwdefaults__", {"dots_per_inch": 20})
        yield


@pytest.fixture
def full_size(monkeypatch):
    """Pictures as users get them, for the tests of pictures."""
    monkeypatch.setattr(to_png, "__kwdefaults__", {"dots_per_inch": 120})
