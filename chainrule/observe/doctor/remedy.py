"""Remedies: options of `train` that are read, before they are named, by the same registries that will read them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chainrule.core.errors import InputError
from chainrule.core.registry import Registry, augments, inits, losses, nets, optimizers, rules, schedules

READ_BY: dict[str, Registry[Any]] = {"net": nets, "rule": rules, "optimizer": optimizers, "schedule": schedules, "init": inits,
                                     "loss": losses, "augment": augments}
ANEW = ("net", "init", "loss", "rule", "split", "class-weights")   # what begins again from the first step; the rest may go on


@dataclass(frozen=True)
class Remedy:
    """Options of `train` by their names without hyphens in front, and `words` for what options cannot say."""

    options: Mapping[str, str] = field(default_factory=dict)
    words: str = ""

    def __str__(self) -> str:
        flags = " ".join(f"--{name} {shlex.quote(value)}" for name, value in self.options.items())
        return f"{flags} ({self.words})" if flags and self.words else flags or self.words

    @property
    def anew(self) -> bool:
        """Whether training has to begin again, since the weights so far are those of another net or of a bad start."""
        return any(name in ANEW for name in self.options)


def readable(name: str, value: str) -> bool:
    """Whether `--name value` is an option that reads."""
    registry = READ_BY.get(name)
    if registry is None:
        return True
    try:
        for one in value.split("+"):
            registry.choose(one)
    except InputError:
        return False
    return True


def remedy(words: str = "", **options: str | None) -> Remedy:
    """The remedy of those options that read; `class_weights` is written `class-weights`."""
    named = {name.rstrip("_").replace("_", "-"): value for name, value in options.items() if value is not None}
    return Remedy({name: value for name, value in named.items() if readable(name, value)}, words)


def altered(kind: str, spec: str, **values: Any) -> str | None:
    """The same name of a `kind` in READ_BY with other values of its options; None where it is no name, or has none of these options.

    An option of a part, as of `adversarial:generator=adam`, is `generator.rate`.
    """
    try:
        chosen = READ_BY[kind].choose(spec)
    except InputError:
        return None
    known = {name: value for name, value in values.items() if name in chosen.values()}
    if not known:
        return None
    text = str(chosen.at(known))
    return text if readable(kind, text) else None


def option_of(kind: str, spec: str, name: str) -> Any:
    """The value of an option of a `kind` in READ_BY, of a part's as `generator.rate`; None where there is none, or the name is none."""
    try:
        return READ_BY[kind].choose(spec).values().get(name)
    except InputError:
        return None


def at_rate(optimizer: str, rate: float) -> str | None:
    """The optimizer at another rate, of one significant digit."""
    return altered("optimizer", optimizer, rate=rounded(rate))


def rounded(value: float, digits: int = 1) -> float:
    """To so many significant digits.

    >>> rounded(0.0173)
    0.02
    """
    return value if value == 0 or not math.isfinite(value) else float(f"{value:.{digits - 1}e}")
