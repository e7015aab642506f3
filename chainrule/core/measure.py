"""What a measure is, by its name: which way is better, and how it is shown; the traits of its registration say so, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.core.registry import measures
from chainrule.core.traits import MeasureTraits

UNKNOWN = MeasureTraits()  # of losses and costs, which are no registered measures: better when lower


def traits_of(name: str) -> MeasureTraits:
    """What is registered of a measure, `macro_f1` as `macro-f1`; that of one class or one target, `recall[Cat]`, is as the whole one."""
    entry = measures.get(name.partition("[")[0].replace("_", "-"))
    return UNKNOWN if entry is None else entry.traits


def higher_is_better(name: str) -> bool:
    """Whether a greater value is the better one."""
    return traits_of(name).better == "higher"


def is_share(name: str) -> bool:
    """Whether it is a share, which is printed in per cent."""
    return traits_of(name).unit == "share"


def headline(measures: Mapping[str, Any]) -> str | None:
    """The one of a test's measures to remember: the scaled or the root mean squared error where there is one, else the first.

    Of several targets, whose units differ, it is r2, which has none.
    """
    several = sum(name.startswith("rmse[") for name in measures) > 1
    return next((name for name in ("mase", *["r2"] * several, "rmse", *measures) if name in measures), None)


def main_measure(measures: Mapping[str, Any]) -> str | None:
    """The name to show where there is room for one: accuracy, else the first that is not the loss, else the loss."""
    if "accuracy" in measures:
        return "accuracy"
    return next((name for name in measures if name != "loss"), "loss" if "loss" in measures else None)
