"""What tests say of times holds, whatever the machine does; a step's own operations are seen in test_signature.py."""

import pytest
from tiny import as_told


@pytest.fixture(autouse=True)
def _as_told(monkeypatch):
    as_told(monkeypatch)
