"""How a report writes names, numbers, shapes and settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.core.measure import is_share
from chainrule.core.text import shown

SPELLED = {"mse": "mean squared error", "ece": "expected calibration error", "roc_auc": "area under the ROC curve", "f1": "F1",
           "macro_f1": "macro F1", "r2": "R²", "brier": "Brier score", "rmse": "root mean squared error", "mae": "mean absolute error"}


def finite(value: Any) -> float | None:
    """The number, or None where it is none or not finite; a log spells those nan, inf, -inf."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def value(name: str, number: Any) -> str:
    """A measure as people read it: shares in per cent, the rest with four digits."""
    known = finite(number)
    if known is None:
        return "not finite" if number is not None else "–"
    per_cent = as_share(name)
    return shown(known, per_cent) + (" %" if per_cent else "")


def as_share(name: str) -> bool:
    """Whether a measure is shown in per cent."""
    return is_share(name) or name == "error"


def words(name: str) -> str:
    """The name of a measure or setting in plain words."""
    return SPELLED.get(name, name.replace("_", " "))


def start(text: str) -> str:
    """The text with its first letter capital and the others as they are."""
    return text[:1].upper() + text[1:]


def flat(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Nested settings as rows (`a.b`, text); what is unset is left out."""
    rows = []
    for name, item in settings.items():
        if isinstance(item, Mapping):
            rows += flat(item, f"{above}{name}.")
        elif isinstance(item, list | tuple):
            rows.append((above + name, ", ".join(map(_text, item)) or "none"))
        elif item is not None:
            rows.append((above + name, _text(item)))
    return rows


def shape(of: Sequence[int] | None) -> str:
    """The shape of a tensor: `3 × 32 × 32`."""
    return "–" if of is None else " × ".join(map(str, of)) or "1"


def _text(item: Any) -> str:
    if isinstance(item, bool):
        return "yes" if item else "no"
    return f"{item:,}" if isinstance(item, int) else f"{item:g}" if isinstance(item, float) else str(item)
