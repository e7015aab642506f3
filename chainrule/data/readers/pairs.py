"""Pairs of strings, a line of JSON each: {"source": "...", "target": "..."}. JSON Lines: https://jsonlines.org"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from chainrule.core.errors import InputError, suggest
from chainrule.data import fingerprint
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.memory import afford
from chainrule.data.readers.gzipped import content
from chainrule.data.readers.sequences import pad
from chainrule.data.readers.text import read
from chainrule.data.source import Source

SUFFIXES = (".jsonl",)
EXAMPLE = '{"source": "...", "target": "..."}'
ABSENT = -1  # fills up targets
HEAD = 2**20  # bytes, in which the first line is sought
# what reading takes in memory, so many bytes for each byte and each pair: measured on 2026-12-01 by tests/helpers/reading_memory.py
BYTE_TIMES, PAIR_BYTES = 12, 1500


class Pair(NamedTuple):
    """What is read, and what goes with it; None where nothing says."""

    source: str
    target: str | None


def read_pairs(text: str, where: str, targets: bool = True) -> list[Pair]:
    """The pairs of a text of lines; blank lines are passed over. Without `targets` lines may lack theirs.

    Raises InputError naming the line that is no JSON, no object, that lacks a key, or whose string is none or empty.
    """
    lines = enumerate(text.removeprefix("\ufeff").split("\n"), 1)
    pairs = [_pair(line, f"{where}, line {number}", targets) for number, line in lines if line.strip()]
    if not pairs:
        raise InputError(f"{where} holds no pairs; expected lines such as {EXAMPLE}.")
    return pairs


def holds_pairs(path: Path) -> bool:
    """Whether the first line of a file has a string as `source`, and no more than a `target`: other lines are rows of a table."""
    head = content(path)[:HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").split(b"\n", 1)[0]
    try:
        record = json.loads(head)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and isinstance(record.get("source"), str) and record.keys() <= {"source", "target"}


def source(path: Path, *, origin: dict[str, Any], name: str, targets: bool = True) -> Source:
    """The pairs of a file, character by character; without `targets` its sources alone."""
    content = read(path, BYTE_TIMES)
    count = content.count("\n") + 1
    afford(BYTE_TIMES * len(content) + PAIR_BYTES * count, f"reading {path}, which has about {count:,} pairs,")
    pairs = read_pairs(content, str(path), targets)
    return source_of(pairs, origin=origin, name=name, targets=targets)


def source_of(pairs: Sequence[Pair], *, origin: dict[str, Any], name: str, targets: bool = True) -> Source:
    """Pairs as sequences of symbols with strings (n, l) as targets, filled up with -1."""
    sources = [pair.source for pair in pairs]
    codes, alphabet = _coded(sources, fill=None)
    inputs, shown = Symbols(codes, alphabet), {"source": sources}
    if not targets:
        return Source(name, inputs, None, "none", origin, fingerprint.of(codes, None, alphabet), labels=shown)
    y, classes = _coded([pair.target or "" for pair in pairs], fill=ABSENT)
    digest = fingerprint.of(codes, y.long(), (*alphabet, *classes))
    return Source(name, inputs, y.long(), "labels", origin, digest, classes, labels=shown)


def _coded(strings: Sequence[str], fill: int | None) -> tuple[Tensor, tuple[str, ...]]:
    """Codes (n, longest) int32 of characters, filled up by the first number that is none where `fill` is None, and the characters."""
    alphabet = tuple(sorted(set().union(*strings)))
    place = {symbol: number for number, symbol in enumerate(alphabet)}
    rows = [torch.tensor([place[symbol] for symbol in string], dtype=torch.int32) for string in strings]
    return pad(rows, fill=len(alphabet) if fill is None else fill)[0], alphabet


def _pair(line: str, where: str, targets: bool) -> Pair:
    """The pair of a line. Raises InputError."""
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        reason = f"{error.msg} in column {error.colno}" if isinstance(error, json.JSONDecodeError) else "too many brackets"
        raise InputError(f"{where} is not JSON ({reason}); expected {EXAMPLE}. Correct it.") from None
    if not isinstance(record, dict):
        raise InputError(f"{where}: expected {EXAMPLE}; got {line.strip()[:40]}. Correct it.")
    return Pair(_string(record, "source", where), _string(record, "target", where) if targets else None)


def _string(record: dict[str, Any], key: str, where: str) -> str:
    if key not in record:
        keys = ", ".join(map(repr, record)) or "nothing"
        hint = suggest(key, list(record)) if record else "Add it."
        raise InputError(f"{where} has no key '{key}', it has {keys}; expected {EXAMPLE}. {hint}")
    value = record[key]
    if not isinstance(value, str) or not value:
        shown = "an empty one" if value == "" else json.dumps(value)[:40]
        raise InputError(f"{where}: expected a string of at least one character as '{key}'; got {shown}. Write it, or leave the line out.")
    return value
