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


def places(names: Sequence[str], given: str | int, where: str, option: str) -> list[int]:
    """Which columns are named: one, as `place` has it, or several with commas between them; a name may hold commas itself.

    Raises InputError for one that does not exist, offering the nearest, and for one that is named twice.
    """
    if given in names or not isinstance(given, str) or "," not in given:
        return [place(names, given, where, option)]
    parts, chosen = given.split(","), []
    while parts:
        longest = next((k for k in range(len(parts), 1, -1) if ",".join(parts[:k]).strip() in names), 1)
        chosen.append(place(names, ",".join(parts[:longest]).strip(), where, option))
        parts = parts[longest:]
    twice = next((names[at] for at in chosen if chosen.count(at) > 1), None)
    if twice is not None:
        raise InputError(f"{option} {given} names '{twice}' twice; expected different columns. Drop one of them.")
    return chosen


def listed(given: str | int | Sequence[str] | None) -> str | int | None:
    """Columns as a command names them: those of a list with commas between them."""
    return given if given is None or isinstance(given, str | int) else ",".join(map(str, given))
