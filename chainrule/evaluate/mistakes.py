"""The cases that a net was surest of and wrong about."""

from __future__ import annotations

from torch import Tensor

WORST = 24


def worst_rows(probabilities: Tensor, truth: Tensor) -> list[int]:
    """The cases that were answered wrong with most certainty, the surest first: of probabilities (n, classes) and class numbers (n,)."""
    sureness = probabilities.amax(1) * (probabilities.argmax(1) != truth)    # (n,)
    return [int(i) for i in sureness.argsort(descending=True)[:WORST] if sureness[i] > 0]
