"""What is asked of a rule's parts: `[PART=]NAME:options`, several joined by +, those without a part being of all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from chainrule.core.errors import InputError, suggest
from chainrule.core.registry import Chosen, Registry

T = TypeVar("T")
JOINED = re.compile(r"\+(?=\s*[A-Za-z])")        # and not that of 1e+3


@dataclass(frozen=True)
class ByPart(Generic[T]):
    """Names with options, each of one part of a rule or, its part being empty, of all. `str()` reads back equal."""

    chosen: tuple[tuple[str, Chosen[T]], ...]

    @classmethod
    def of_all(cls, chosen: Chosen[T]) -> ByPart[T]:
        return cls((("", chosen),))

    @classmethod
    def read(cls, registry: Registry[T], text: str) -> ByPart[T]:
        """Read `discriminator=max-norm:3+generator=non-negative`, or `max-norm:3` alone. Raises InputError naming the nearest."""
        chosen = []
        for one in JOINED.split(text):
            before, equals, after = one.partition("=")
            part = before.strip() if equals and ":" not in before else ""
            chosen.append((part, registry.choose(after if part else one)))
        return cls(tuple(chosen))

    def of(self, part: str) -> list[Chosen[T]]:
        """What is asked of one part: what is asked of all, then what is asked of it by name."""
        return [one for whose, one in self.chosen if not whose] + [one for whose, one in self.chosen if whose == part and part]

    def check(self, flag: str, rule: str, parts: Sequence[str]) -> None:
        """Raises InputError where a part is named that the rule does not have."""
        for part, one in self.chosen:
            if part and not parts:
                raise InputError(f"{rule} has no parts that could be named; got {flag} {self}. Write {flag} {one}.")
            if part and part not in parts:
                raise InputError(f"{rule} has no part called '{part}'; got {flag} {self}. {suggest(part, parts)}")

    def __str__(self) -> str:
        return "+".join(f"{part}={one}" if part else str(one) for part, one in self.chosen)
