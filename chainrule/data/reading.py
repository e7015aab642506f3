"""How the user says a table is to be read; what is left open is decided from the table, by column, and said."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.core.errors import InputError, suggest
from chainrule.core.options import option, read
from chainrule.data.column_names import place, places
from chainrule.data.tokens import MOST_PAIRS, MOST_WORDS, Unit

MOST_BAD = 0.05         # of the pictures of a folder that may be left out because they cannot be decoded
KINDS = ("number", "word", "exact", "date", "text", "out")
ORDERS = ("dmy", "mdy", "ymd")
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " ", "colon": ":"}
DECIMALS = {"comma": ",", "point": "."}
DECLARED = re.compile(rf"(.+?):({'|'.join(KINDS)})(?:,|$)")  # a name may hold commas and colons


@dataclass(frozen=True)
class Reading:
    """Options of `load` for tables: each None is decided from the file. Raises InputError for a value that is none of its kind."""

    columns: str | None = option(None, "What columns are, e.g. name:number,zip:word,id:out. Kinds: number, word, exact (words by their "
                                       "very spelling), date, text (sentences), out (no input).", example="zip:word,id:out")
    text: str | None = option(None, "A column that holds text, or several with commas between them; left out, those that hold sentences.",
                              example="body")
    missing: str | None = option(None, "Further marks of a missing value, separated by commas. NA, n/a, null, ?, #N/A and empty always "
                                       "are.", example="-999,unknown")
    decimal: str | None = option(None, "What stands before the fraction of numbers: . or , (or point, comma). Left out, each column "
                                       "decides.", example=",")
    separator: str | None = option(None, "What separates the values of a text file: one character, or comma, semicolon, tab, pipe, colon, "
                                         "space (any blanks).", example=";")
    encoding: str | None = option(None, "Encoding of a text file, e.g. utf-8, cp1252, utf-16, shift-jis. Left out: UTF-8, else Windows' "
                                        "Western (cp1252).", example="cp1252")
    dates: str | None = option(None, "Order of day, month and year in dates of numbers: dmy, mdy or ymd. Left out, each column decides.",
                               example="dmy")
    header: str | None = option(None, "Whether the first line of a text file holds the names of the columns: yes or no. Left out, its "
                                      "values decide.", example="no")
    resize: str | None = option(None, "The size that pictures are brought to: height by width, e.g. 64x96, or one number for both. Left "
                                      "out, those with a side above 128 are shrunk.", example="64x96")
    tokens: str | None = option(None, f"What a text is made of: characters, words, or pairs (pieces of words); words:N and pairs:N for a "
                                      f"vocabulary of N, not {MOST_WORDS:,} or {MOST_PAIRS:,}. Left out: characters.",
                              example="words:2000")
    skip_bad: bool = option(False, f"Leave out pictures that cannot be decoded, at most {MOST_BAD:.0%} of them, instead of refusing them.")
    horizon: int | None = option(None, "Read the table as a series and foretell so many steps ahead.", least=1,
                                 advice="Leave it out for a table whose rows do not follow one another.")
    lags: int | None = option(None, "How many steps of a series are read before each forecast. Left out, two seasons, or 24.", least=1,
                              advice="Leave it out to have it chosen.")
    fill: str | None = option(None, "How missing steps and values of a series are filled: forward (the last known) or linear (between "
                                    "neighbours). Left out, they are refused.", words=("forward", "linear"), example="linear")
    drop_unlabelled: bool = option(False, "Leave out rows whose target is missing, instead of refusing them.")

    def __post_init__(self) -> None:
        for name, most in (("decimal", DECIMALS), ("separator", SEPARATORS)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _mark(name, value, most))
        if self.dates is not None and self.dates not in ORDERS:
            raise InputError(f"--dates expects the order of day, month and year; got '{self.dates}'. {suggest(self.dates, ORDERS)}")
        if self.header is not None:
            object.__setattr__(self, "header", self.header.strip().lower())
        if self.header is not None and self.header not in ("yes", "no"):
            raise InputError(f"--header is yes or no; got '{self.header}'. Leave it out to have the first line decide.")
        if self.decimal is not None and self.decimal == self.separator:
            raise InputError(f"--decimal and --separator are both '{self.decimal}'; expected two different marks.")
        _ = self.size, self.unit
        if self.encoding is not None:
            try:
                "".encode(self.encoding)                  # not every codec is one of text
            except (LookupError, ValueError):
                raise InputError(f"--encoding '{self.encoding}' is none that Python knows. Try utf-8, cp1252, latin-1, utf-16, shift-jis "
                                 "or gb18030.") from None

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that pictures are brought to. Raises InputError for what is no size."""
        if self.resize is None:
            return None
        sides = re.fullmatch(r"\s*(\d{1,5})(?:\s*x\s*(\d{1,5}))?\s*", self.resize.lower())
        if sides is None or not int(sides[1]) or (sides[2] and not int(sides[2])):
            raise InputError(f"--resize is height by width in pixels, e.g. 64x96, or one number for both; got '{self.resize}'.")
        return int(sides[1]), int(sides[2] or sides[1])

    @property
    def unit(self) -> tuple[Unit, int | None]:
        """What a text is made of, and how many of these a vocabulary may have, None for all. Raises InputError for what is neither."""
        kind, _, most = (self.tokens or "characters").partition(":")
        if kind == "characters" and not most:
            return "characters", None
        if kind not in ("words", "pairs") or (most and not (most.isdigit() and int(most))):
            raise InputError("--tokens is characters, words or pairs, or words:N or pairs:N with the size of a vocabulary; got "
                             f"'{self.tokens}'.")
        return ("words", int(most or MOST_WORDS)) if kind == "words" else ("pairs", int(most or MOST_PAIRS))

    @property
    def marks(self) -> tuple[str, ...]:
        """The marks of a missing value that the user gave."""
        return tuple(mark.strip() for mark in self.missing.split(",") if mark.strip()) if self.missing else ()

    def kinds(self, names: Sequence[str], where: str) -> dict[str, str]:
        """The kind that the user gave for columns among `names`. Raises InputError for a name or a kind that does not exist."""
        declared: dict[str, str] = {}
        for given, kind in _pairs(self.columns or ""):
            name = names[place(names, given, where, "--columns")]
            if declared.setdefault(name, kind) != kind:
                raise InputError(f"--columns says that {name} of {where} is a {declared[name]} and a {kind}. Leave one of them out.")
        texts = [names[at] for at in places(names, self.text, where, "--text")] if self.text else []
        for name in texts:
            if declared.get(name, "text") != "text":
                raise InputError(f"--text {name} and --columns {name}:{declared[name]} say different things of a column of {where}. Leave "
                                 "one of them out.")
        return {**declared, **dict.fromkeys(texts, "text")}

    def to_json(self) -> dict[str, Any]:
        """What was given, and nothing else."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if getattr(self, f.name) != f.default}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Reading:
        """Raises InputError where a key is no option of this version."""
        known = [f.name for f in dataclasses.fields(cls)]
        for key in record:
            if key not in known:
                raise InputError(f"There is no option '{key}' for reading a table. {suggest(key, known)}")
        return read(cls, record)

    @classmethod
    def of_new_rows(cls, record: Mapping[str, Any]) -> Reading:
        """For further rows of a table that was read by `record`: what its columns are is known by now, and they have names or not."""
        return cls.from_json({key: value for key, value in record.items() if key not in ("columns", "text", "header")})


USUAL = Reading()


def _pairs(columns: str) -> list[tuple[str, str]]:
    """Names and kinds as `--columns` lists them. Raises InputError where that is no such list."""
    pairs, at = [], 0
    while at < len(columns):
        match = DECLARED.match(columns, at)
        if match is None:
            rest = columns[at:].split(",")[0]
            kind = rest.rpartition(":")[2].strip()
            hint = suggest(kind, KINDS) if ":" in rest else "Write name:kind."
            raise InputError(f"--columns holds '{rest}'; expected a name and a kind, as in name:number,zip:word,id:out. {hint}")
        pairs.append((match[1].strip(), match[2]))
        at = match.end()
    return pairs


def _mark(option: str, value: str, names: Mapping[str, str]) -> str:
    """One character, given as it is or by its name."""
    mark = names.get(value.strip().lower(), value.replace("\\t", "\t"))
    allowed = tuple(names.values()) if option == "decimal" else None
    if len(mark) != 1 or (allowed and mark not in allowed) or mark in '"\n\r' or (allowed is None and (mark.isalnum() or ord(mark) > 127)):
        expected = " or ".join(names.values()) if allowed else f"one character, or one of {', '.join(names)}"
        raise InputError(f"--{option} is {expected}; got '{value}'.")
    return mark
