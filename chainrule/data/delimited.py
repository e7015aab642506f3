"""Files of separated values: encoding, separator, quotation marks, comments, names; every line checked, every value a word."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.text import counted
from chainrule.data.encode.columns import is_number
from chainrule.data.reading import Reading

# of text files, and what may separate values there
SUFFIXES = {".csv": ",;\t|", ".tsv": "\t", ".tab": "\t", ".psv": "|", ".data": ",;\t| ", ".dat": ",;\t| "}
MOST_COLUMNS = 100_000
MOST_LINE = 2**24      # bytes of the first line: names of a hundred thousand columns are less
MOST_HEAD = 2**25      # bytes from which separator and names are told
SAMPLE_LINES = 1000    # from which separator and names are told
CHUNK = 2**24          # bytes looked at together
QUOTE, NEWLINE, HASH = 34, 10, 35
BEFORE_QUOTES = b'\n\r" \t'
SPREADSHEET_ERRORS = (b"#N/A", b"#NA", b"#DIV/0!", b"#REF!", b"#VALUE!", b"#NAME?", b"#NUM!", b"#NULL!")  # are values, no comments
USUAL_WESTERN = re.compile("[A-Za-zÀ-ÖØ-öø-üŠšŽžŒœŸß°²³µ½¼¾±§©®€£¥¢«»‘’“”‚„–—…·ªº¿¡×÷™•]")


@dataclass(frozen=True)
class Lines:
    """Where the lines of some text begin and end, (n,), the newline left out, and how many separators each has outside quotation marks."""

    data: bytes
    starts: np.ndarray
    ends: np.ndarray
    separators: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def text(self, i: int) -> bytes:
        return self.data[self.starts[i] : self.ends[i]]

    def number(self, i: int) -> int:
        """The number of a line in the file, from 1; a value may hold newlines."""
        return self.data.count(b"\n", 0, self.starts[i]) + 1

    def join(self, content: np.ndarray) -> bytes:
        """The lines kept, (n,) bool, one after the other."""
        if content.all():
            return self.data
        edges = np.flatnonzero(np.diff(np.concatenate([[0], content.view(np.int8), [0]])))
        return b"\n".join(self.data[self.starts[a] : self.ends[b - 1]] for a, b in zip(edges[::2], edges[1::2], strict=True))


def lines_of(data: bytes, separator: str, quoted: bool) -> Lines:
    view, inside = np.frombuffer(data, np.uint8), False
    ends, counts, before = [], [], 0
    for at in range(0, len(view), CHUNK):
        part = view[at : at + CHUNK]
        newline, mark = part == NEWLINE, part == ord(separator)
        quotes = part == QUOTE
        if quoted and (inside or quotes.any()):
            within = (np.cumsum(quotes, dtype=np.uint8) + inside) & 1 == 1
            newline, mark, inside = newline & ~within, mark & ~within, bool(within[-1])
        here, marks = np.flatnonzero(newline), np.flatnonzero(mark)
        ends.append(here + at)
        counts.append(np.searchsorted(marks, here) + before)
        before += len(marks)
    end, count = np.concatenate(ends or [np.empty(0, np.int64)]), np.concatenate(counts or [np.empty(0, np.int64)])
    if len(view) and (not len(end) or end[-1] != len(view) - 1):
        end, count = np.append(end, len(view)), np.append(count, before)
    starts = np.concatenate([[0], end[:-1] + 1]) if len(end) else end
    return Lines(data, starts, end, np.diff(count, prepend=0))


def decoded(raw: bytes, where: str, encoding: str | None) -> tuple[bytes, list[str]]:
    """The text as UTF-8 without a mark of byte order, lines ended by a newline; and a note where the encoding was guessed."""
    notes: list[str] = []
    if encoding is None and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
        notes.append("The file is read as UTF-16, as its first two bytes say.")
    if encoding is None:
        foreign = not_utf8(raw)
        if foreign is not None:
            encoding = _western(raw, where, foreign)
            notes.append("The file is not UTF-8 and is read as Windows' Western encoding, cp1252; name another with --encoding.")
    if encoding is not None:
        try:
            raw = raw.decode(encoding).encode("utf-8")
        except UnicodeError as error:
            raise CorruptFile(f"{where} is not text in {encoding}: {error}. Name another encoding with --encoding, or save it as "
                              "UTF-8.") from None
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in raw:
        raise CorruptFile(f"{where} holds bytes of 0, as text in UTF-8 never does. Name its encoding with --encoding, or save it as UTF-8.")
    if b"\r" in raw and b"\n" not in raw:
        raw = raw.replace(b"\r", b"\n")
    return raw, notes


def not_utf8(raw: bytes) -> int | None:
    """The offset of the first byte that is not UTF-8, found piece by piece; None where there is none."""
    if raw.isascii():
        return None
    decoder, view = codecs.getincrementaldecoder("utf-8")(), memoryview(raw)
    for at in range(0, len(raw), CHUNK):
        waiting = len(decoder.getstate()[0])
        try:
            decoder.decode(view[at : at + CHUNK], final=at + CHUNK >= len(raw))
        except UnicodeDecodeError as error:
            return at - waiting + error.start
    return None


def _western(raw: bytes, where: str, at: int) -> str:
    """cp1252, where what is not ASCII then is letters and signs of Western languages. Raises CorruptFile elsewhere."""
    text = bytes(b for b in raw[:1_000_000] if b > 127)
    try:
        usual = USUAL_WESTERN.findall(text.decode("cp1252"))
    except UnicodeDecodeError:
        usual = []
    if len(usual) < len(text) or b"\0" in raw:
        raise CorruptFile(f"{where} is not text in UTF-8; expected a table of values separated by commas, or by tabs in a .tsv; got byte "
                          f"{raw[at]:#04x} in line {raw[:at].count(10) + 1}. Save it as UTF-8, or name its encoding with "
                          "--encoding.")
    return "cp1252"


@dataclass(frozen=True)
class Dialect:
    """How one file is written. `width` counts the values of a line, `trailing` says that each ends with a separator too many.

    `commented` says that lines which begin with # are comments, `begin` where in the text the rows begin, below so many `comments`.
    """

    where: str
    separator: str
    quoted: bool
    names: tuple[str, ...]
    trailing: bool = False
    commented: bool = True
    begin: int = 0
    comments: int = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def width(self) -> int:
        return len(self.names) + self.trailing

    def checked(self, data: bytes, line: int = 1) -> tuple[Lines, np.ndarray]:
        """Whole lines, the first of which is numbered `line`, and which of them hold a row, (n,) bool: no comment, not blank.

        Raises CorruptFile naming a line that has another number of values.
        """
        lines = lines_of(data, self.separator, self.quoted)
        content = _content(lines, self.separator, self.commented)
        width = self.width
        wrong = np.flatnonzero(content & (lines.separators != width - 1))
        if self.quoted:
            _refuse_stray(data, self, line)
        if len(wrong):
            i = int(wrong[0])
            values = int(lines.separators[i]) + 1
            raise CorruptFile(f"{self.where} is not a table of values separated by {self.separator!r}: line {line + lines.number(i) - 1} "
                              f"has {counted(values, 'value')} where {width} are expected. Correct that line, or name what separates "
                              "values with --separator.")
        return lines, content

    def rows(self, data: bytes, line: int = 1) -> tuple[Any, int]:
        """A polars frame of words, null where empty, of checked lines; and how many were comments. Raises CorruptFile."""
        import polars as pl

        lines, content = self.checked(data, line)
        comments = int((_first_bytes(lines) == HASH)[~content].sum())
        names = [*map(str, range(self.width))]
        if not content.any():
            return pl.DataFrame({name: pl.Series([], dtype=pl.String) for name in self.names}), comments
        try:
            frame = pl.read_csv(io.BytesIO(lines.join(content)), has_header=False, separator=self.separator,
                                quote_char='"' if self.quoted else None,
                                infer_schema=False, new_columns=names)
        except pl.exceptions.PolarsError as error:
            raise CorruptFile(f"{self.where} is not a table of values separated by {self.separator!r}: {str(error).splitlines()[0]}. Each "
                              "line needs as many values as the first has names.") from None
        if self.trailing:
            frame = frame.drop(names[-1])
        frame.columns = list(self.names)
        return frame, comments


def _refuse_stray(data: bytes, dialect: Dialect, line: int) -> None:
    """Raises CorruptFile naming the line of a quotation mark that opens in the middle of a value."""
    view = np.frombuffer(data, np.uint8)
    opening = np.flatnonzero(view == QUOTE)[::2]
    opening = opening[opening > 0]
    stray = ~np.isin(view[opening - 1], np.frombuffer(BEFORE_QUOTES + dialect.separator.encode(), np.uint8))
    if stray.any():
        number = line + data.count(b"\n", 0, int(opening[stray][0]))
        raise CorruptFile(f"{dialect.where} is not a table of values separated by {dialect.separator!r}: line {number} has a quotation "
                          "mark in the middle of a value. Write it twice and enclose that value in quotation marks.")


def blanks_as_one(data: bytes) -> bytes:
    """Blanks in a row as one, none at the ends of lines."""
    return re.sub(rb"[ \t]+", b" ", re.sub(rb"(?m)^[ \t]+|[ \t]+(?=\r?$)", b"", data))


def _first_bytes(lines: Lines) -> np.ndarray:
    """The byte that each line begins with, (n,) uint8: of an empty one its newline."""
    first: np.ndarray = np.frombuffer(lines.data, np.uint8)[np.minimum(lines.starts, len(lines.data) - 1)]
    return first


def _content(lines: Lines, separator: str, commented: bool) -> np.ndarray:
    """Which lines are neither comments nor blank, nor nothing but separators."""
    first, blank = _first_bytes(lines), (separator + " \r\t").encode()
    doubtful = np.isin(first, np.frombuffer(blank + b"\n", np.uint8)) | ((first == HASH) & commented)
    content: np.ndarray = ~doubtful
    for i in np.flatnonzero(doubtful):
        text = lines.text(int(i))
        comment = commented and text.startswith(b"#") and not text.startswith(SPREADSHEET_ERRORS)
        content[i] = not comment and bool(text.strip(blank))
    return content


def sniff(data: bytes, where: str, suffix: str, reading: Reading, known: tuple[str, ...] = ()) -> Dialect:
    """The dialect of a text that begins so; `known` are names of columns that its first line may hold. Raises InputError, CorruptFile."""
    head = _head(data, where)
    if not head.strip():
        raise InputError(f"{where} is empty; expected a line of column names and rows below it.")
    offered = reading.separator or SUFFIXES.get(suffix, ",;\t|")
    separator = offered if len(offered) == 1 else _separator(head, offered)
    quoted = _quoted(head, separator)
    text = blanks_as_one(head) if separator == " " else head
    lines = lines_of(text, separator, quoted)
    if int(lines.separators[0]) >= MOST_COLUMNS:
        raise InputError(f"{where} has more than {MOST_COLUMNS:,} columns in its first line; expected rows as lines. Transpose it.")
    hashed = _first_bytes(lines) == HASH
    commented = bool(hashed.any()) and hashed.mean() < 0.5
    content = np.flatnonzero(_content(lines, separator, commented))
    if not len(content):
        raise InputError(f"{where} is empty; expected a line of column names and rows below it.")
    draft = Dialect(where, separator, quoted, (), False, commented)
    values = [_values(lines.text(i), draft) for i in content[:SAMPLE_LINES]]
    first, at = values[0], int(content[0])
    draft = replace(draft, comments=int(hashed[:at].sum()) if commented else 0)
    below = values[1:]
    widths = Counter(len(v) for v in below)
    width = widths.most_common(1)[0][0] if widths else len(first)
    before = at - 1 if at and hashed[at - 1] else None                # names in a comment, as in #id,age,y
    if commented and before is not None and not has_names(first, below, known):
        named = _values(lines.text(before)[1:], draft)
        if len(named) == len(first) and len(named) > 1:
            return _named(replace(draft, comments=draft.comments - 1), named, [first, *below], width, lines, at, known)
    if reading.header == "no" or (reading.header is None and not has_names(first, below, known)):
        return _unnamed(draft, first, lines, at)
    return _named(draft, first, below, width, lines, at + 1, known)


def _named(draft: Dialect, first: list[str], below: list[list[str]], width: int, lines: Lines, at: int, known: tuple[str, ...]) -> Dialect:
    """With names from `first`, rows from line `at` on."""
    notes, trailing, names = [], False, list(first)
    if below and width == len(names) + 1:
        if all(not row[-1] for row in below if len(row) == width):
            trailing = True
            notes.append(f"Each line ends with a {draft.separator!r} too many, which is passed over.")
        else:
            names = ["", *names]                                      # as R writes the names of rows
    while len(names) > 1 and not names[-1] and below and all(len(row) == len(names) and not row[-1] for row in below):
        if trailing:
            break
        names, trailing = names[:-1], True
    if below and len(names) + trailing != width and 2 * sum(len(row) == width for row in below) > len(below):
        raise CorruptFile(f"{draft.where} is not a table of values separated by {draft.separator!r}: line {lines.number(max(at - 1, 0))} "
                          f"has {counted(len(first), 'value')} where the lines below have {width}. Remove it, or begin it with "
                          "# if it is no line of names.")
    unique, renamed = _distinct(names)
    if renamed:
        notes.append(f"{', '.join(renamed[:5])}: names that stand there twice or not at all were numbered.")
    begin = int(lines.starts[at]) if at < len(lines) else len(lines.data)
    return replace(draft, names=tuple(unique), trailing=trailing, begin=begin, notes=tuple(notes))


def _unnamed(draft: Dialect, first: list[str], lines: Lines, at: int) -> Dialect:
    ending = [lines.text(i).rstrip(b"\r").endswith(draft.separator.encode()) for i in range(at, len(lines)) if lines.separators[i]]
    trailing = len(first) > 1 and not first[-1] and all(ending)
    names = tuple(f"column_{i}" for i in range(len(first) - trailing))
    note = f"The first line holds values, no names: the columns are called {names[0]} to {names[-1]}; --header yes takes it for names."
    return replace(draft, names=names, trailing=trailing, begin=int(lines.starts[at]), notes=(note,))


def _head(data: bytes, where: str) -> bytes:
    """The first lines, enough to tell the dialect from. Raises InputError where the first is longer than any line of names."""
    if data.find(b"\n", 0, MOST_LINE) < 0 and len(data) > MOST_LINE:
        raise InputError(f"{where} has a first line of more than {MOST_LINE:,} bytes; expected a line of column names and rows below it.")
    at = -1
    for _ in range(2 * SAMPLE_LINES):
        end = data.find(b"\n", at + 1, MOST_HEAD)
        if end < 0:
            if len(data) <= MOST_HEAD:
                return data
            break
        at = end
    while data.count(b'"', 0, at) % 2 and at >= 0:                    # not within quotation marks
        at = data.find(b"\n", at + 1, MOST_HEAD)
    return data[: at + 1] if at >= 0 else data[:MOST_HEAD]


def _separator(head: bytes, offered: str) -> str:
    """What separates values: in every line as often as in the first, else the most frequent in the first line of content."""
    def regular(mark: str) -> float:
        text = blanks_as_one(head) if mark == " " else head
        lines = lines_of(text, mark, True)
        counts = lines.separators[_content(lines, mark, True)][:SAMPLE_LINES]
        return float((counts == counts[0]).mean()) if len(counts) and counts[0] else 0.0

    shares = {mark: regular(mark) for mark in ("\t", ";", "|", ",", " ") if mark in offered}
    sure = [mark for mark, share in shares.items() if share == 1]
    if sure:
        return sure[0]
    first = next((line for line in head.splitlines() if line.strip() and not line.startswith(b"#")), b"")
    return max((m for m in offered if m != " "), key=lambda mark: (first.count(mark.encode()), head.count(mark.encode())))


def _quoted(head: bytes, separator: str) -> bool:
    """Whether quotation marks enclose values here: they stand in pairs, and no value has one in its middle only."""
    if head.count(b'"') % 2:
        return False
    marks = np.flatnonzero(np.frombuffer(head, np.uint8) == QUOTE)[::2]
    return {head[i - 1] for i in marks if i} <= set(BEFORE_QUOTES + separator.encode())


def _values(line: bytes, dialect: Dialect) -> list[str]:
    text = line.decode("utf-8", "replace").rstrip("\r")
    if not dialect.quoted:
        return [v.strip() for v in text.split(dialect.separator)]
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    return [v.strip() for v in next(csv.reader(io.StringIO(text, newline=""), delimiter=dialect.separator), [""])]


def _distinct(names: list[str]) -> tuple[list[str], list[str]]:
    """Names that differ: a repeated one is numbered, one that is missing is named by its place, the first one of a file apart."""
    unique: dict[str, None] = {}
    renamed: list[str] = []
    next_number: dict[str, int] = {}
    for i, name in enumerate(names):
        new = name if name or i == 0 else f"column_{i}"
        number = next_number.get(name, 2)
        while new in unique:
            new, number = f"{name}_{number}", number + 1
        next_number[name] = number
        if new != name:
            renamed.append(new)
        unique[new] = None
    return list(unique), renamed


def has_names(first: list[str], below: list[list[str]], known: tuple[str, ...] = ()) -> bool:
    """Whether a first line holds names: not if numbers stand there above numbers, unless they rise evenly, from 0 or as years do.

    A line of words holds names unless each of them is found again below, as the classes of a file without names are.
    """
    if known and set(known) <= set(first):
        return True
    columns = list(zip(*[row for row in below if len(row) == len(first)], strict=True))
    if not columns:
        return not all(is_number(v) for v in first) if first else True
    numbers = [float(v) for v, column in zip(first, columns, strict=True) if is_number(v) and _numeric(column)]
    words = [(v, column) for v, column in zip(first, columns, strict=True) if v and not is_number(v)]
    again = [v in column for v, column in words]
    if not numbers:
        return len(below) < 10 or not words or not all(again)
    steps = {b - a for a, b in pairwise(numbers)}
    whole = all(math.isfinite(n) and n == int(n) for n in numbers)
    even = whole and (len(steps) == 1 and min(steps) > 0 if len(numbers) > 1 else 1900 <= numbers[0] <= 2100)
    return even and not any(again) and (bool(words) or (len(numbers) == len(first) and (numbers[0] == 0 or numbers[0] >= 1000)))


def _numeric(column: tuple[str, ...]) -> bool:
    present = [v for v in column if v]
    return bool(present) and sum(is_number(v.replace(",", ".")) for v in present) >= 0.5 * len(present)
