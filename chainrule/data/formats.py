"""How the words of one column are read: as numbers, dates, yes/no or categories; decided once, and kept with the encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from chainrule.data import dates
from chainrule.data.numerals import PLAIN, Style, take_apart, unit_name

Kind = Literal["number", "truth", "word", "date", "text", "out"]
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "nan", "NaN", "NAN", "NaT", "null", "NULL", "Null", "?",
           "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!")
MISSING_AMONG_NUMBERS = ("-", "--", "---", "–", "—", ".", "..", "...", "…", "*", "none", "missing", "unknown", "nil", "n.a.", "na",
                         "nd", "n.d.",
                         "not available", "not applicable", "n/d", "nan", "null", "(null)", "undefined")  # in any case
TRUE, FALSE = ("true", "yes", "t", "y", "1", "1.0"), ("false", "no", "f", "n", "0", "0.0")
CASED = "yntf"  # the single letters that mean the same in either case; others may be codes


@dataclass(frozen=True)
class Format:
    """`decimal`, `thousands` and `unit` of numbers, `order` of day, month and year; words spelt in several cases are one unless `exact`.

    `missing` are words of this very column that stand for a missing value, beside the usual ones.
    """

    kind: Kind
    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    order: dates.Order = ""
    exact: bool = False
    missing: tuple[str, ...] = ()

    @property
    def style(self) -> Style:
        return Style(self.decimal, self.thousands)

    @property
    def expected(self) -> str:
        """What a value of this column is, for people."""
        if self.kind == "date":
            spelt = {"dmy": "31/01/2026", "mdy": "01/31/2026", "ymd": "26/01/31"}
            return f"a date such as {spelt.get(self.order, '2026-01-31')}"
        if self.kind == "truth":
            return "true or false, or yes or no"
        marks = f"'{self.decimal}' before the fraction" if self.style != PLAIN else ""
        return "a number" + (f" with {marks}" if marks else "") + (f" or in {self.unit}" if self.unit else "")


WORD, NUMBER, SENTENCES = Format("word"), Format("number"), Format("text")


def to_json(formats: Mapping[str, Format]) -> dict[str, Any]:
    """Formats by name of column, as JSON has them."""
    return {name: asdict(one) for name, one in formats.items()}


def stripped(series: Any, marks: Iterable[str] = ()) -> Any:
    """A polars Series of words without the blanks around them, null where a word says that the value is missing."""
    words = series.str.strip_chars()
    return words.set(words.is_in([*MISSING, *marks]), None)


def without_marks(words: Any, more: Iterable[str] = ()) -> Any:
    """Stripped words, null where a word stands for a missing value among numbers or dates."""
    absent = words.str.to_lowercase().is_in(list(MISSING_AMONG_NUMBERS)) | words.is_in(list(more))
    return words.set(absent, None) if absent.any() else words


def read(words: Any, format: Format) -> tuple[Any, Any]:
    """Stripped words as a Series of float64, of Boolean or of words; and which of them do not fit, (n,) Boolean."""
    import polars as pl

    if format.kind in ("word", "text"):
        return (words if format.exact or format.kind == "text" else spelt_alike(words)[0]), pl.repeat(False, len(words), eager=True)
    if format.kind == "number" and format.style == PLAIN:  # most columns: no regular expression, no copy
        values = words.cast(pl.Float64, strict=False)
        if values.null_count() == words.null_count():
            return values, pl.repeat(False, len(words), eager=True)
    words = without_marks(words, format.missing)
    if format.kind == "truth":
        lower = words.str.to_lowercase()
        values = lower.is_in(list(TRUE))
        values = values.set(~(values | lower.is_in(list(FALSE))), None)
    elif format.kind == "date":
        values = mapped(words, lambda distinct: dates.parse(distinct).days(format.order))
    else:
        values = words.cast(pl.Float64, strict=False) if format.style == PLAIN else format.style.read(words)
        rest = values.is_null() & words.is_not_null()
        if rest.any():
            parts = take_apart(words.set(~rest, None))
            own = pl.Series([unit_name(u) in ("", unit_name(format.unit)) for u in parts.units.to_list()], dtype=pl.Boolean)
            values = values.zip_with(~rest, parts.read(format.style).set(~own, None))
    return values, values.is_null() & words.is_not_null()


def mapped(words: Any, convert: Callable[[Any], np.ndarray]) -> Any:
    """Each distinct word converted once: a Series of float64, null for null and where `convert` gives NaN."""
    import polars as pl

    distinct = words.drop_nulls().unique()
    values = pl.Series(convert(distinct), dtype=pl.Float64, nan_to_null=True)
    return words.replace_strict(distinct, values, default=None, return_dtype=pl.Float64) if len(distinct) else words.cast(pl.Float64)


def folded(word: str) -> str:
    """What words have in common that are spelt in different cases, or with more blanks between their parts."""
    return " ".join(word.casefold().split()) if len(word) > 1 or word.casefold() in CASED else word


def spelt_alike(words: Any) -> tuple[Any, list[list[str]]]:
    """Words of one meaning by their most frequent spelling, and the spellings of each meaning that had several, the chosen one first."""
    counts = words.drop_nulls().value_counts(sort=True)
    groups: dict[str, list[str]] = {}
    for word, _ in sorted(counts.iter_rows(), key=lambda counted: (-counted[1], counted[0])):
        groups.setdefault(folded(word), []).append(word)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        return words, []
    return words.replace({other: group[0] for group in several for other in group[1:]}), several
