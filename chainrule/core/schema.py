"""Values as JSON has them, read as the types that dataclasses name: what does not fit is refused by its key, what was expected, what came.

A record of ours is read by the dataclass that describes it, so that what is written there once is checked wherever it is read. Keys that
no field names are passed over; a field with a default may be absent; `from_` is the key `from`. Imports nothing slow.
"""

from __future__ import annotations

import collections.abc
import contextlib
import functools
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, TypeVar

from chainrule.core.errors import CorruptFile
from chainrule.core.options import shown

T = TypeVar("T")
WORDS: dict[Any, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false", types.NoneType: "null"}
NOT_FINITE = ("nan", "inf", "-inf")     # the words that stand for such numbers where JSON has none
NOTHING = "nothing"
SENSELESS = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError, ZeroDivisionError, AssertionError)


class Misfit(ValueError):
    """A value that is not of the type of its place; `key` leads to it, as in `members[2].folder`."""

    def __init__(self, expected: str, got: str, key: str = ""):
        super().__init__(f"{key or 'it'} expects {expected}; got {got}")
        self.expected, self.got, self.key = expected, got, key

    def under(self, name: str) -> Misfit:
        """The same, seen from one level further out."""
        dot = "." if self.key and not self.key.startswith("[") else ""
        return Misfit(self.expected, self.got, f"{name}{dot}{self.key}")


@dataclass(frozen=True)
class Within:
    """What beside its type is asked of a number, or of how many a list has: at least, at most."""

    least: float | None = None
    most: float | None = None

    def holds(self, value: Any) -> bool:
        size = len(value) if isinstance(value, str | list | tuple | dict) else value
        return (self.least is None or size >= self.least) and (self.most is None or size <= self.most)

    def __str__(self) -> str:
        ends = [f"{words} {end:g}" for words, end in (("at least", self.least), ("at most", self.most)) if end is not None]
        return " and ".join(ends)


Count = Annotated[int, Within(0)]
Natural = Annotated[int, Within(1)]
Read = Callable[[Any], Any]


def as_type(kind: Any, value: Any) -> Any:
    """The value of a JSON text as a type: lists as the tuples, objects as the dataclasses that it names. Raises Misfit."""
    return _reader(kind)(value)


def conform(kind: type[T], value: Any, where: object, remedy: str) -> T:
    """A record as the dataclass that describes it. Raises CorruptFile naming the file `where` it stands and the key."""
    try:
        return typing.cast(T, as_type(kind, value))
    except Misfit as error:
        raise CorruptFile(f"{where}: {error}. {remedy}") from None


@contextlib.contextmanager
def intelligible(where: object, remedy: str) -> Iterator[None]:
    """What a file of ours says is put together in here; where that cannot be done, CorruptFile names the file and why."""
    try:
        yield
    except Misfit as error:
        raise CorruptFile(f"{where}: {error}. {remedy}") from None
    except SENSELESS as error:
        words = " ".join(str(error).split())[:120]
        kind = type(error).__name__
        raise CorruptFile(f"{where} says what does not go together ({kind}{': ' + words if words else ''}). {remedy}") from error


@functools.cache
def _reader(kind: Any) -> Read:
    """What reads values of a type; made once for each."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return lambda value: value
    if origin is Annotated:
        return _limited(_reader(arguments[0]), arguments[0], [one for one in arguments[1:] if isinstance(one, Within)])
    if origin in (typing.Union, types.UnionType):
        return _one_of(kind, arguments)
    if origin is typing.Literal:
        return _literal(kind, arguments)
    if is_dataclass(kind):
        return _object(kind)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        return _pack([_reader(one) for one in arguments], _words(kind))
    if origin in (list, tuple, collections.abc.Sequence):
        return _list(_reader(arguments[0]), list if origin is list else tuple, _words(kind))
    if origin in (dict, collections.abc.Mapping):
        return _mapping(_reader(arguments[1]), _words(kind))
    if kind is float:
        return _number
    if kind in (int, str, bool, dict, list, types.NoneType):
        return _plain(kind)
    raise TypeError(f"{kind} is no type that a record can hold")


def _plain(kind: Any) -> Read:
    def read(value: Any) -> Any:
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
        raise Misfit(_words(kind), shown(value))

    return read


def _number(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value)
    if isinstance(value, str) and value in NOT_FINITE:
        return float(value)
    raise Misfit(WORDS[float], shown(value))


def _limited(read: Read, kind: Any, limits: list[Within]) -> Read:
    def within(value: Any) -> Any:
        whole = read(value)
        for limit in limits:
            if not limit.holds(whole):
                raise Misfit(f"{_words(kind)}, {limit}", shown(value))
        return whole

    return within


def _one_of(kind: Any, several: tuple[Any, ...]) -> Read:
    readers = [_reader(one) for one in several]

    def read(value: Any) -> Any:
        deepest: Misfit | None = None
        for reader in readers:
            try:
                return reader(value)
            except Misfit as error:
                deepest = error if error.key else deepest
        raise deepest or Misfit(_words(kind), shown(value))

    return read


def _literal(kind: Any, words: tuple[Any, ...]) -> Read:
    def read(value: Any) -> Any:
        for word in words:
            if type(value) is type(word) and value == word:
                return word
        raise Misfit(_words(kind), shown(value))

    return read


def _list(read: Read, make: type, words: str) -> Read:
    def each(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise Misfit(words, shown(value))
        whole = []
        try:
            for one in value:
                whole.append(read(one))  # noqa: PERF401 (how many went well is the place of the one that did not)
        except Misfit as error:
            raise error.under(f"[{len(whole)}]") from None
        return make(whole)

    return each


def _pack(readers: list[Read], words: str) -> Read:
    def each(value: Any) -> Any:
        if not isinstance(value, list | tuple) or len(value) != len(readers):
            raise Misfit(words, shown(value))
        whole: list[Any] = []
        try:
            for read, one in zip(readers, value, strict=True):
                whole.append(read(one))
        except Misfit as error:
            raise error.under(f"[{len(whole)}]") from None
        return tuple(whole)

    return each


def _mapping(read: Read, words: str) -> Read:
    def each(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Misfit(words, shown(value))
        name = ""
        try:
            whole = {}
            for name, one in value.items():
                whole[name] = read(one)
        except Misfit as error:
            raise error.under(str(name)) from None
        return whole

    return each


def _object(kind: Any) -> Read:
    hints = typing.get_type_hints(kind, include_extras=True)
    known = [(one.name, one.name.rstrip("_"), hints[one.name], one.default is MISSING and one.default_factory is MISSING)
             for one in fields(kind) if one.init]
    readers: list[tuple[str, str, Read, bool]] = []

    def read(value: Any) -> Any:
        if not readers:                                                     # a record may hold records of its own kind
            readers.extend((name, key, _reader(hint), needed) for name, key, hint, needed in known)
        if not isinstance(value, dict):
            raise Misfit(_words(kind), shown(value))
        whole: dict[str, Any] = {}
        for name, key, one, needed in readers:
            if key not in value:
                if needed:
                    raise Misfit(_words(hints[name]), NOTHING, key)
                continue
            try:
                whole[name] = one(value[key])
            except Misfit as error:
                raise error.under(key) from None
        return kind(**whole)

    return read


def _words(kind: Any) -> str:
    """A type for people: `a whole number or null`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in WORDS:
        return WORDS[kind]
    if origin is Annotated:
        return ", ".join([_words(arguments[0]), *(str(one) for one in arguments[1:] if isinstance(one, Within))])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_words, arguments))
    if origin is typing.Literal:
        return f"one of {', '.join(map(repr, arguments))}" if len(arguments) > 1 else repr(arguments[0])
    if origin is tuple and Ellipsis not in arguments:
        return f"a list of {len(arguments)}"
    if origin in (list, tuple, collections.abc.Sequence) or kind is list:
        return "a list"
    if is_dataclass(kind):
        return f"an object with {', '.join(one.name for one in fields(kind) if one.init and one.default is MISSING) or 'keys'}"
    return "an object"


def relative(name: Any) -> bool:
    """Whether a name is that of something in a folder, whatever system it is on."""
    return isinstance(name, str) and bool(name) and name not in (".", "..") and not set(name) & set("/\\:\0")
