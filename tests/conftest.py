"""What every test needs: plans measured in one test, or on this machine before, are not remembered by another."""

import pytest

from chainrule.job import job


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    monkeypatch.setattr(job, "usual_folder", lambda: None)
