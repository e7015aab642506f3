"""Columns by name, or by number."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.core.errors import InputError, suggest


def place(names: Sequence[str], name: str | int, where: str, option: str) -> int:
    """Which of these columns is called `name`, or numbered so. Raises InputError offering the nearest."""
    if name in names:
        return names.index(str(name))
    if isinstance(name, int) or name.lstrip("-").isdigit():
        at = int(name)
        if not -len(names) <= at < len(names):
            raise InputError(f"{where} has {len(names)} columns; {option} {at} is not one of them. Count from 0, or give a name.")
        return at
    raise InputError(f"{where} has no column '{name}'. {suggest(name, names)} Name it with {option}.")
