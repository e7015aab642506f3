"""A trained net with all that its answers need."""

from __future__ import annotations

EVALUATION_ROWS = 250   # a forward pass of more holds more memory than a step, and is hardly faster
