"""What every test needs: nothing left over from another; and what would cost all of them time: the disk, trials, pictures."""

import os
import uuid

import pytest

from chainrule.core.threads import torch_threads
from chainrule.engine.plans import trial
from chainrule.job import job
from chainrule.plots.figure import to_png


@pytest.fixture(scope="module", autouse=True)
def _threads_of_a_module():
    """Whatever number of threads the fixtures of a module set, the next one has as many as there were before."""
    with torch_threads():
        yield


@pytest.fixture(autouse=True)
def _threads_of_a_test(_threads_of_a_module):
    with torch_threads():
        yield


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    monkeypatch.setattr(job, "usual_folder", lambda: None)


def _account(tmp_path_factory):
    """A place for what an account keeps, which is made when something is written there."""
    return str(tmp_path_factory.getbasetemp() / "accounts" / uuid.uuid4().hex)


@pytest.fixture(scope="session", autouse=True)
def _no_account_of_whoever_tests(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", _account(tmp_path_factory))
        patch.delenv("XDG_CACHE_HOME", raising=False)
        yield


@pytest.fixture(scope="module", autouse=True)
def _account_of_a_module(tmp_path_factory, _no_account_of_whoever_tests):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", _account(tmp_path_factory))
        yield


@pytest.fixture(autouse=True)
def _account_of_a_test(monkeypatch, tmp_path_factory, _account_of_a_module):
    """No opening of a test part is counted with those of other tests, nor written into the home of whoever runs them."""
    monkeypatch.setenv("XDG_STATE_HOME", _account(tmp_path_factory))


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
