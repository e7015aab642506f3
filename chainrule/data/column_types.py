"""What each column of words is: numbers in one style, dates in one order, yes/no or categories; decided on the whole column, and said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.core.errors import InputError
from chainrule.core.text import counted
from chainrule.data import dates, numerals
from chainrule.data.encode.columns import MANY, MISFITS
from chainrule.data.formats import NUMBER, SENTENCES, WORD, Format, read, spelt_alike, without_marks
from chainrule.data.numerals import Style, unit_name
from chainrule.data.reading import Reading

SAMPLE = 1000      # distinct words of a column from which it is told that it is of another kind
MOST_AS_WORDS = 10_000  # distinct values of a column of numbers that are still read as words where one of them is no number
EXACT_DIGITS = 15  # whole numbers of no more digits are exact in double precision


@dataclass
class Evidence:
    """One column: stripped `words` (n,) with null where missing, what the user `declared`, and what was seen in them."""

    name: str
    words: Any
    declared: str | None = None
    misfits: list[str] = field(default_factory=list)          # words that would be read as missing
    readings: list[tuple[Style, np.ndarray]] = field(default_factory=list)
    digits: Any = None
    unit: str = ""
    parsed: dates.Parsed | None = None

    @cached_property
    def counts(self) -> Any:
        """The distinct words that are no marks of a missing value, and how many rows have each."""
        return without_marks(self.words).drop_nulls().value_counts(sort=True)

    @property
    def distinct(self) -> Any:
        return self.counts[:, 0]

    @cached_property
    def plain(self) -> bool:
        """Whether all words are numbers as programs write them."""
        import polars as pl

        if self.words.cast(pl.Float64, strict=False).null_count() == self.words.null_count():
            return True
        return bool(self.distinct.cast(pl.Float64, strict=False).null_count() == 0)

    def row(self, word: str) -> int:
        """The first row, from 1, that holds a word."""
        return int((self.words == word).fill_null(False).arg_max()) + 1

    def few(self, fits: np.ndarray) -> bool:
        """Whether so few words do not fit that they are out of place: one row in twenty at most, beside ten different words that do."""
        counts = self.counts[:, 1].to_numpy()
        return bool(fits.sum() >= MANY and MISFITS * counts[~fits].sum() <= counts.sum())


def decide(columns: Mapping[str, Any], reading: Reading, declared: Mapping[str, str], where: str, *, semicolons: bool = False) -> tuple[
        dict[str, Format], list[str]]:
    """A format for each column of stripped words, and in sentences what was read how. Raises InputError where a declared kind does not fit.

    What one column leaves open, the decimal mark or the order of day and month, is decided as the others have it, and as
    `semicolons` between the values suggest.
    """
    seen = [Evidence(name, words, declared.get(name)) for name, words in columns.items()]
    kinds = {one.name: _kind(one) for one in seen}
    decimal = reading.decimal or _decimal_of(seen, kinds) or ("," if semicolons else None)
    order = _order_of(seen, kinds)
    formats: dict[str, Format] = {}
    notes: list[str] = []
    for one in seen:
        formats[one.name], note = _format(one, kinds[one.name], reading, decimal, order, where)
        notes += note
    return formats, notes


def hidden_kind(words: Any) -> str | None:
    """What a column that its frame holds as words would be in a text file, where that is number or date; else None.

    Numbers as programs write them are none: whoever keeps those as words means codes.
    """
    one = Evidence(str(words.name), words)
    if not len(one.distinct) or one.plain:
        return None
    kind = _kind(one)
    return kind if kind in ("number", "date") else None


def _kind(one: Evidence) -> str:
    """number, plain (number), date, truth, word or out; fills in what was seen."""
    if one.declared in ("word", "exact", "text", "out"):
        return one.declared
    if one.declared != "date" and one.plain:
        compact = one.declared is None and _compact_dates(one)
        if compact or one.declared is not None:
            return "date" if compact else "plain"
        return "word" if _codes(one) else "plain"
    if not len(one.distinct):
        return "plain"
    if one.declared is None and bool(one.distinct.str.to_lowercase().is_in(["true", "false"]).all()):
        return "truth"
    if one.declared != "number" and _dates(one):
        return "date"
    if one.declared != "date" and _numbers(one):
        return "number"
    return one.declared or "word"


def _codes(one: Evidence) -> bool:
    """Whether digits are names rather than amounts: some begin with 0, or double precision would take different ones for the same."""
    import polars as pl

    words = without_marks(one.words).drop_nulls()
    zeros = words.filter(words.str.starts_with("0") & (words.str.len_chars() > 1))
    if len(zeros) and bool(zeros.str.contains(r"^0\d+$").any()) and bool(words.str.contains(r"^\d+$").all()):
        return True
    long = words.filter(words.str.len_chars() > EXACT_DIGITS)
    if not len(long) or not bool(long.str.contains(r"^[+-]?\d+$").all()):
        return False
    return bool(long.n_unique() > long.cast(pl.Float64, strict=False).n_unique())


def _compact_dates(one: Evidence) -> bool:
    """Whether whole numbers of eight digits are all days such as 20260131."""
    words = one.words.drop_nulls()
    if not len(words) or words.str.len_chars().min() != 8 or words.str.len_chars().max() != 8 or not words[0].startswith(("19", "20")):
        return False
    one.parsed = dates.parse(one.distinct)
    return not bool(np.isnan(one.parsed.days("")).any())


def _sample(one: Evidence) -> tuple[Any, np.ndarray]:
    """Distinct words (k,), the most frequent and others from throughout the column, and how many rows have each."""
    n, half = len(one.distinct), SAMPLE // 2
    places = np.unique(np.concatenate([np.arange(min(n, half)), np.linspace(0, n - 1, half).astype(np.int64)]))
    return one.distinct.gather(places), one.counts[:, 1].to_numpy()[places]


def _unlike(one: Evidence, fits: Callable[[Any], np.ndarray]) -> bool:
    """Whether a sample says already that a column is of another kind, so that its words need not all be parsed: most rows do not fit."""
    if len(one.distinct) <= SAMPLE:
        return False
    words, rows = _sample(one)
    return bool(2 * rows[~fits(words)].sum() > rows.sum())


def _are_dates(words: Any) -> np.ndarray:
    whole: np.ndarray = ~np.all([np.isnan(days) for days in dates.parse(words).under.values()], axis=0)
    return whole


def _are_numbers(words: Any) -> np.ndarray:
    whole: np.ndarray = numerals.take_apart(words).digits.is_not_null().to_numpy()
    return whole


def _dates(one: Evidence) -> bool:
    if _unlike(one, _are_dates):
        return False
    one.parsed = parsed = dates.parse(one.distinct)
    fits = ~np.all([np.isnan(days) for days in parsed.under.values()], axis=0)
    if not fits.all() and not (fits.any() and one.few(fits)):
        one.parsed = None
        return False
    one.misfits = one.distinct.filter(~fits).to_list()
    return True


def _numbers(one: Evidence) -> bool:
    if _unlike(one, _are_numbers):
        return False
    parts = numerals.take_apart(one.distinct)
    fits = parts.digits.is_not_null().to_numpy()
    strange = one.distinct.filter(~fits)
    if not fits.all() and (bool(strange.str.contains(r"\d").any()) or not one.few(fits)):
        return False
    units = {unit_name(u): u for u in parts.units.filter(fits).to_list()}
    if len(units) > 2 or (len(units) == 2 and ("" not in units or "%" in units)):
        return False
    one.digits = parts.digits.drop_nulls()
    one.readings = numerals.readings(one.digits)
    one.unit = next((u for name, u in units.items() if name), "")
    one.misfits = strange.to_list()
    return bool(one.readings)


def _decimal_of(seen: Iterable[Evidence], kinds: Mapping[str, str]) -> str | None:
    """The decimal mark of the columns that leave no doubt, where they agree and one of them uses a comma; else None."""
    marks = {one.readings[0][0].decimal for one in seen
             if kinds[one.name] == "number" and len(one.readings) == 1 and numerals.marks_of(one.digits, one.readings[0][0])}
    return next(iter(marks)) if len(marks) == 1 else None


def _order_of(seen: Iterable[Evidence], kinds: Mapping[str, str]) -> tuple[dates.Order, str] | None:
    """The order of the dates that leave no doubt, where they agree, and a column that has it."""
    orders = {}
    for one in seen:
        if kinds[one.name] == "date" and one.parsed is not None and one.parsed.ordered.any():
            possible = _possible(one)
            if len(possible) == 1:
                orders[possible[0]] = one.name
    return next(iter(orders.items())) if len(orders) == 1 else None  # type: ignore[return-value]


def _possible(one: Evidence) -> list[str]:
    """The orders under which all words are dates that are so under any."""
    assert one.parsed is not None
    some = ~np.all([np.isnan(days) for days in one.parsed.under.values()], axis=0)
    orders = [order for order, days in one.parsed.under.items() if not np.isnan(days[some]).any()]
    return [order for order in orders if order != "ymd"] or orders  # two digits first are a year only where nothing else will do


def _format(one: Evidence, kind: str, reading: Reading, decimal: str | None, order: tuple[dates.Order, str] | None,
            where: str) -> tuple[Format, list[str]]:
    if kind == "out":
        return Format("out"), [f"'{one.name}' is left out, as --columns says."]
    if kind == "truth":
        return Format("truth"), []
    if kind == "date":
        chosen, notes = _date_format(one, reading, order, where)
    elif kind == "plain":
        chosen, notes = _plain_format(one, decimal)
    elif kind == "number":
        chosen, notes = _number_format(one, decimal, where)
    else:
        return _word_format(one, kind, where)
    return chosen, [*notes, *_absent(one, chosen)] if chosen.kind != "word" else notes


def _plain_format(one: Evidence, decimal: str | None) -> tuple[Format, list[str]]:
    """Numbers as programs write them, unless the table has decimal commas and each point here stands between thousands."""
    if decimal == "," and one.declared is None:
        dotted = one.distinct.filter(one.distinct.str.contains(".", literal=True))
        european = Style(",", ".")
        if len(dotted) and bool(dotted.str.contains(european.pattern).all()):
            word = dotted[0]
            return Format("number", ",", "."), [f"'{one.name}' is read with points between thousands, '{word}' as "
                                                f"{word.replace('.', '')}, as the table has decimal commas; --decimal . reads fractions."]
    return NUMBER, []


def _number_format(one: Evidence, decimal: str | None, where: str) -> tuple[Format, list[str]]:
    if not one.readings:
        _refuse(one, "a number", where)
    style, values = next((r for r in one.readings if r[0].decimal == (decimal or ".")), one.readings[0])
    at = int(one.digits.str.len_chars().arg_max())
    word = one.distinct.filter(numerals.take_apart(one.distinct).digits.is_not_null())[at]
    note = f"'{one.name}' is read as numbers, '{word}' as {values[at]:.10g}"
    note += f" in {one.unit}" if one.unit else ""
    if len(one.readings) > 1:
        other = next(r for r in one.readings if r[0] != style)[0]
        note += f"; --decimal {other.decimal} reads it otherwise"
    plain = style == Style() and not one.unit and not bool(one.distinct.str.contains("[(−]").any())
    return Format("number", style.decimal, style.thousands, one.unit, missing=tuple(one.misfits)), [] if plain else [f"{note}."]


def _date_format(one: Evidence, reading: Reading, order: tuple[dates.Order, str] | None, where: str) -> tuple[Format, list[str]]:
    parsed, missing = one.parsed, tuple(one.misfits)
    if parsed is None:
        _refuse(one, "a date", where)
        raise AssertionError
    if not parsed.ordered.any():
        return Format("date", missing=missing), []
    possible = _possible(one)
    if reading.dates is not None:
        lost = one.distinct.filter(np.isnan(parsed.days(reading.dates)))  # type: ignore[arg-type]
        return Format("date", order=reading.dates, missing=tuple(lost.to_list())), []  # type: ignore[arg-type]
    if not possible:
        first, second = (one.distinct.filter(~np.isnan(parsed.under[a]) & np.isnan(parsed.under[b]))[0]
                         for a, b in (("dmy", "mdy"), ("mdy", "dmy")))
        return WORD, [f"'{one.name}' holds '{first}' in row {one.row(first)} and '{second}' in row {one.row(second)}, so neither the day "
                      "nor the month is always first; it is read as words. --dates dmy or mdy reads one order, and the others as missing."]
    chosen, why = _order(one, possible, order)
    word = next(w for w, ordered in zip(one.distinct, parsed.ordered, strict=True) if ordered)
    spelt = {"dmy": "the day first", "mdy": "the month first", "ymd": "the year first"}[chosen]
    day = _spelt(parsed, one, word, chosen)
    return Format("date", order=chosen, missing=missing), [f"'{one.name}' is read as dates with {spelt}, '{word}' as {day}{why}."]


def _order(one: Evidence, possible: list[str], order: tuple[dates.Order, str] | None) -> tuple[dates.Order, str]:
    """Which order, and why, as the end of a sentence."""
    parsed = one.parsed
    assert parsed is not None
    if len(possible) == 1:
        other = "mdy" if possible[0] == "dmy" else "dmy"
        clear = np.isnan(parsed.under[other]) & ~np.isnan(parsed.under[possible[0]])
        word = one.distinct.filter(clear)[0]
        return possible[0], f", since '{word}' in row {one.row(word)} can be nothing else"  # type: ignore[return-value]
    if order is not None and order[0] in possible:
        return order[0], f", as '{order[1]}' has them"
    words = without_marks(one.words, one.misfits).drop_nulls()
    ascending = [o for o in possible if _sorted(words.replace_strict(one.distinct, parsed.under[o], default=None).drop_nulls().to_numpy())]
    if len(ascending) == 1:
        return ascending[0], ", since the rows are in order of time then"  # type: ignore[return-value]
    for first, other in (("mdy", "dmy"), ("dmy", "mdy")):
        days = parsed.under[first][parsed.ordered]
        numbers = {o: {_day(d) for d in parsed.under[o][parsed.ordered] if not np.isnan(d)} for o in (first, other)}
        if len(days) >= 3 and len(numbers[first]) == 1 and len(numbers[other]) > 1:
            return first, f", since each is then day {next(iter(numbers[first]))} of a month"  # type: ignore[return-value]
    return "dmy", "; nothing in the column tells, and --dates mdy reads the month first"


def _day(days: float) -> int:
    """The day of the month."""
    day = np.array(days).astype("datetime64[D]")
    return int((day - day.astype("datetime64[M]")).astype(int)) + 1


def _sorted(values: np.ndarray) -> bool:
    steps = np.diff(values)
    return bool(len(steps) and steps.any() and ((steps >= 0).all() or (steps <= 0).all()))


def _spelt(parsed: dates.Parsed, one: Evidence, word: str, order: dates.Order) -> str:
    at = one.distinct.to_list().index(word)
    return str(np.array(parsed.under[order][at]).astype("datetime64[D]"))


def _word_format(one: Evidence, kind: str, where: str) -> tuple[Format, list[str]]:
    if kind in ("exact", "text"):
        return SENTENCES if kind == "text" else Format("word", exact=True), []
    notes = []
    if one.declared is None and one.plain and len(one.distinct):
        zero = next((w for w in one.distinct if w.startswith("0") and len(w) > 1), None)
        why = f"'{zero}' begins with 0, as codes do" if zero else "they have so many digits that different ones would become the same"
        notes.append(f"'{one.name}' is read as words, since {why}; --columns {one.name}:number reads numbers.")
    elif one.declared is None and len(one.distinct) and (misfit := _misfit(one)) is not None:
        if len(one.distinct) > MOST_AS_WORDS:
            raise InputError(f"{where}, row {one.row(misfit)}, column '{one.name}': expected a number, as in most rows; got '{misfit}'. "
                             f"Correct it, add it to --missing, or write --columns {one.name}:word.")
        notes.append(f"'{one.name}' is read as words, since '{misfit}' in row {one.row(misfit)} is no number; correct it, or add it to "
                     "--missing.")
    alike = spelt_alike(one.words)[1][:3]
    return WORD, notes + [f"'{one.name}' spells one word in several ways ({', '.join(group[:4])}): read as '{group[0]}'; --columns "
                          f"{one.name}:exact keeps them apart." for group in alike]


def _misfit(one: Evidence) -> str | None:
    """A word among words that are numbers otherwise, ten of them at least and at most one word in twenty; else None."""
    if _unlike(one, _are_numbers):
        return None
    parts = numerals.take_apart(one.distinct)
    strange = one.distinct.filter(parts.digits.is_null() | ((parts.units != "") & one.distinct.str.contains(r"^\d+\pL$")))
    several = len(one.distinct) >= MANY and len(strange) and (len(strange) == 1 or MISFITS * len(strange) <= len(one.distinct))
    return min(strange, key=one.row) if several else None


def _absent(one: Evidence, chosen: Format) -> list[str]:
    """What is said of words that are read as missing values: marks, and words that are neither number nor date."""
    present = without_marks(one.words)
    marks = one.words.filter(present.is_null() & one.words.is_not_null()).unique().sort().to_list()
    notes = []
    if marks:
        n = int(one.words.is_in(marks).sum())
        notes.append(f"'{one.name}': {', '.join(repr(m) for m in marks[:5])} in {counted(n, 'row')} "
                     f"{'are' if len(marks) > 1 else 'is'} "
                     "read as missing.")
    if chosen.missing:
        word = min(chosen.missing, key=one.row)
        n = int(one.words.is_in(list(chosen.missing)).sum())
        notes.append(f"'{one.name}': '{word}' in row {one.row(word)} is no {'date' if chosen.kind == 'date' else 'number'}"
                     f"{f', nor are {n - 1} others' if n > 1 else ''}; read as missing. --columns {one.name}:word reads all as words.")
    return notes


def _refuse(one: Evidence, expected: str, where: str) -> None:
    """Raises InputError naming the first word that a declared kind does not fit."""
    wanted = Format("date" if expected == "a date" else "number")
    _, bad = read(one.words, wanted)
    row = int(bad.arg_max())
    raise InputError(f"{where}, row {row + 1}, column '{one.name}': expected {expected}, as --columns says; got '{one.words[row]}'. "
                     f"Correct it, or write --missing {one.words[row]} if it stands for a missing value.")

