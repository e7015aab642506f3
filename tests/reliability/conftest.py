"""The server of workers, started once for all tests that need processes of their own, and the switch that spares the disk."""

from collections.abc import Iterator

import pytest
from worker import Workers

from chainrule.core import files


@pytest.fixture(scope="session")
def workers() -> Iterator[Workers]:
    started = Workers()
    yield started
    started.close()


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saving without waiting for the disk, for tests of what is saved rather than of how."""
    monkeypatch.setattr(files.os, "fsync", lambda _: None)
