"""What a measure is: its name, which way is better, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HIGHER_IS_BETTER = ("accuracy", "r2")    # every other measure is better when lower

SHARES = ("accuracy", "top_", "macro_", "precision", "recall", "f1")  # printed in per cent


def main_measure(measures: Mapping[str, Any]) -> str | None:
    """The name to show where there is room for one: accuracy, else the first that is not the loss, else the loss."""
    if "accuracy" in measures:
        return "accuracy"
    return next((name for name in measures if name != "loss"), "loss" if "loss" in measures else None)
