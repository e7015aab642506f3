"""What every test needs: no plan remembered from another; and what would cost all of them time: waiting for the disk, trials, pictures."""

import os

import pytest

from chainrule.job import job


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
    from chainrule.engine.plans import trial

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "TRIAL_SECONDS", 0.01)
        yield


@pytest.fixture(scope="session", autouse=True)
def _small_pictures():
    """Pictures are drawn whole, but in few dots and without making room for labels. Yields what draws them as users get them."""
    from chainrule.plots import evaluation

    to_png = evaluation.to_png

    def small(figure, *, dots_per_inch=120):
        figure.set_layout_engine("none")
        return to_png(figure, dots_per_inch=20)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "to_png", small)
        yield to_png


@pytest.fixture
def full_size(monkeypatch, _small_pictures):
    """Pictures as users get them, for the tests of pictures."""
    from chainrule.plots import evaluation

    monkeypatch.setattr(evaluation, "to_png", _small_pictures)
