"""Options as the fields of frozen dataclasses: the type, the default, the help text and the range of each stand there once.

The command line makes a flag of each field, TOML files and keyword arguments are read against them. Imports nothing slow.
"""

from __future__ import annotations

import math
import numbers
import reprlib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from chainrule.core.errors import InputError, suggest

T = TypeVar("T")
WORDS: dict[Any, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}
MOST_THREADS = 512      # more than any one machine has use for; a pool of a hundred thousand ends the process


@dataclass(frozen=True)
class About:
    """What is known of an option beside its type and default: `example` is a value, `advice` ends the sentence of a refusal.

    Numbers are `least` or more, `above` something, `most` or less; `bounds` are the words for that where the usual ones do not do.
    `words` are the only values of a text.
    """

    help: str
    example: Any = None
    least: float | None = None
    above: float | None = None
    most: float | None = None
    bounds: str = ""
    words: tuple[str, ...] = ()
    advice: str = ""
    flag: str = ""
    positional: bool = False
    metavar: str | None = None


def option(default: Any, help: str, **about: Any) -> Any:
    """A field that is a flag of the command line; `about` as in `About`."""
    return field(default=default, metadata={"about": About(help, **about)})


def required(help: str, **about: Any) -> Any:
    """A field that has no default."""
    return field(metadata={"about": About(help, **about)})


def same(record: type, name: str) -> Any:
    """A field like that of another record: default, help and range stay in one place."""
    one = next(one for one in fields(record) if one.name == name)
    return field(default=one.default, metadata=one.metadata)


def about(one: Field[Any]) -> About:
    known: About = one.metadata["about"]
    return known


def flag(one: Field[Any]) -> str:
    """`--save-every` for `save_every`, `--from` for `from_`, a word that Python keeps for itself; unless the field names its own."""
    return about(one).flag or "--" + one.name.rstrip("_").replace("_", "-")


def kinds(record: type) -> dict[str, tuple[Any, ...]]:
    """Of each field the types that its value may have; of `int | None`, int and NoneType."""
    hints = typing.get_type_hints(record)
    return {one.name: typing.get_args(hint) if isinstance(hint := hints[one.name], types.UnionType) else (hint,)
            for one in fields(record)}


def main_kind(several: tuple[Any, ...]) -> Any:
    """The type that the command line reads: the first that is not None."""
    return next(kind for kind in several if kind is not types.NoneType)


def read(record: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """The record of these values, each of the type its field says: `3` is a number, `"3"` is not. `where` names the file they stand in.

    Raises InputError for a name that is no field, with the nearest ones, and for a value of another type.
    """
    allowed, known = kinds(record), {one.name: one for one in fields(record)}  # type: ignore[arg-type]
    prefix = f"{where}: " if where else ""
    typed = {}
    for name, value in values.items():
        if name not in known:
            raise InputError(f"{prefix}There is no option '{name}'. {suggest(name, known)}")
        try:
            typed[name] = _typed(value, allowed[name])
        except TypeError:
            raise InputError(prefix + _refusal(known[name], allowed[name], value, bool(where))) from None
    return record(**typed)


def check(record: Any) -> None:
    """Raises InputError where a number is out of its range, or a text not one of its words."""
    for one in fields(record):
        value, known = getattr(record, one.name), about(one)
        if value is None:
            continue
        end = f" {known.advice}" if known.advice else ""
        if known.words and value not in known.words:
            listed = " or ".join(filter(None, (", ".join(known.words[:-1]), known.words[-1])))
            optional = ", or left out" if one.default is None else ""
            raise InputError(f"{flag(one)} is {listed}{optional}; got '{value}'.{end}")
        if not ((known.least is None or value >= known.least) and (known.above is None or value > known.above)
                and (known.most is None or value <= known.most)):
            raise InputError(f"{flag(one)} {known.bounds or _bounds(known)}; got {value}.{end}")


def _bounds(known: About) -> str:
    limits = [f"{words} {limit:g}" for words, limit in (("at least", known.least), ("above", known.above), ("at most", known.most))
              if limit is not None]
    return "must be " + " and ".join(limits)


def _typed(value: Any, allowed: tuple[Any, ...]) -> Any:
    """The value as one of the allowed types; a whole number is a number as well. Raises TypeError."""
    for kind in allowed:
        if kind in (int, float) and isinstance(value, bool):
            continue
        if kind is int and isinstance(value, numbers.Integral):
            return int(value)
        if kind is float and isinstance(value, numbers.Real):
            return _as_float(value)
        if kind is Path and isinstance(value, str | Path):
            return Path(value)
        if kind not in (int, float, Path) and isinstance(value, typing.get_origin(kind) or kind):
            return str(value) if kind is str else value
    raise TypeError(value)


def _as_float(value: Any) -> float:
    """Raises TypeError for what is not finite, or a whole number beyond the largest float."""
    try:
        number = float(value)
    except OverflowError:
        raise TypeError(value) from None
    if not math.isfinite(number):
        raise TypeError(value)
    return number


def _refusal(one: Field[Any], allowed: tuple[Any, ...], value: Any, in_file: bool) -> str:
    """`epochs expects a whole number; got the text '3'. Write epochs = 3.`"""
    known = about(one)
    wanted = " or ".join(WORDS.get(kind, "a list") for kind in allowed if kind is not types.NoneType)
    if isinstance(value, float) and not math.isfinite(value):
        wanted = wanted.replace(WORDS[float], "a finite number")
    if types.NoneType in allowed and not in_file:
        wanted += " or None"
    example = f", e.g. {known.example!r}" if known.example is not None else ""
    sentence = f"{one.name} expects {wanted}{example}; got {shown(value)}."
    equals = " = " if in_file else "="
    if isinstance(value, str) and (number := _number(value, main_kind(allowed))) is not None:
        return f"{sentence} Write {one.name}{equals}{number}."
    if value is None and one.default not in (None, MISSING):
        return f"{sentence} Leave it out for {one.default!r}."
    return sentence


def _number(text: str, kind: Any) -> int | float | None:
    """The number that a text holds, where a number of this kind is wanted."""
    if kind not in (int, float):
        return None
    try:
        number: int | float = kind(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def shown(value: Any) -> str:
    """The value in one short line, with its type where that does not show."""
    text = " ".join(reprlib.repr(value).split())
    if isinstance(value, str):
        return f"the text {text}"
    plain = value is None or isinstance(value, bool | int | float | list | tuple | dict | set)
    return text if plain else f"{text} ({type(value).__name__})"
