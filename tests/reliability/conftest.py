"""The server of workers, started once for all tests that need processes of their own."""

from collections.abc import Iterator

import pytest
from worker import Workers


@pytest.fixture(scope="session")
def workers() -> Iterator[Workers]:
    started = Workers()
    yield started
    started.close()
