"""What a diagnosis returns where its symptom holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chainrule.observe.doctor.remedy import Remedy

if TYPE_CHECKING:
    from chainrule.observe.doctor.case import Case

Symptom = Callable[["Case"], "Iterator[Finding]"]


@dataclass(frozen=True)
class Finding:
    """`layer` is a module's name or a part of the training; `evidence` a clause with numbers, which `numbers` has as data.

    `variant` names the place in the causal order where that is not the diagnosis's usual one, as `start` where it held before the first
    update; `note` says whether it is one, where that is not for the diagnosis to say.
    """

    layer: str
    evidence: str
    remedy: Remedy
    numbers: Mapping[str, float] = field(default_factory=dict)
    variant: str = ""
    note: bool | None = None
