"""How much each class counts in training, where some are rare: weights of the training rows by their class.

Balanced: King & Zeng (2001), Logistic regression in rare events data, https://doi.org/10.1093/oxfordjournals.pan.a004868
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from chainrule.core.errors import InputError, suggest
from chainrule.data.source import Data
from chainrule.data.weights import one_on_average

EXAMPLE = "Write balanced, or a weight for each class that counts differently, e.g. yes=5,no=1."


def weighted(data: Data, spec: str) -> Data:
    """`data` whose training rows weigh what `spec` says of their class, times the weights they had, 1 on average.

    Validation and test rows stay as they are. Raises InputError for a class or a weight that does not exist.
    """
    part = data.train
    if data.target_kind not in ("class", "sign") or part.y is None:
        kind = "numeric" if data.target_kind == "real" else "no"
        raise InputError(f"--class-weights weighs classes; {data.name} has {kind} targets. "
                         "Leave it out.")
    codes = ((part.y + 1) / 2).round().long().reshape(-1) if part.y.is_floating_point() else part.y      # (n,); signs are -1 and 1
    share = class_weights(spec, data.classes, codes)[codes]                                              # (n,)
    weight = one_on_average(share if part.weight is None else share * part.weight, data.name)
    return replace(data, train=replace(part, weight=weight))


def class_weights(spec: str, classes: Sequence[str], codes: Tensor) -> Tensor:
    """The weight of each class, (classes,) float64: given, 1 where not, or for `balanced` n / (classes * count). Raises InputError."""
    if spec.strip() == "balanced":
        counts = torch.bincount(codes, minlength=len(classes)).double()
        return len(codes) / (len(classes) * counts.clamp(min=1))
    weights = torch.ones(len(classes), dtype=torch.float64)
    named: set[str] = set()
    for part in spec.split(","):
        name, equals, text = (piece.strip() for piece in part.rpartition("="))
        if not equals:
            raise InputError(f"--class-weights cannot read '{part.strip()}'. {EXAMPLE}")
        if name not in classes:
            raise InputError(f"--class-weights names the class '{name}', which the data lacks. {suggest(name, classes)}")
        if name in named:
            raise InputError(f"--class-weights names the class '{name}' twice. Name each once.")
        named.add(name)
        weights[classes.index(name)] = _number(name, text)
    if float(weights[codes].sum()) == 0:
        raise InputError(f"--class-weights leaves no training row that counts. {EXAMPLE}")
    return weights


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise InputError(f"--class-weights expects a number of at least 0 for '{name}'; got '{text}'. {EXAMPLE}")
    return value
