"""What every test needs: plans measured in one test, or on this machine before, are not remembered by another."""

import pytest


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    from chainrule import job

    monkeypatch.setattr(job, "usual_folder", lambda: None)
