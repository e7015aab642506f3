"""Numbers as people write them: decimal comma, thousands apart, currency signs, percent, units; one style for a whole column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

BLANK = "[ \u00a0\u2009\u202f]"
CURRENCY = (r"US\$|[RAC]\$|[$€£¥₹₽₩₺฿]|USD|EUR|GBP|CHF|JPY|INR|CAD|AUD|CNY|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR|Rs\.?|kr\.?|Fr\.?")
KNOWN = (  # units that may be attached to a number without a blank
    "kg", "g", "mg", "µg", "lb", "lbs", "oz", "t", "km", "m", "cm", "mm", "µm", "nm", "mi", "ft", "in", "yd", "km²", "m²", "cm²",
    "m2", "m3", "m³", "km2", "ha", "h", "hr", "hrs", "min", "s", "sec", "ms", "l", "ml", "cl", "dl", "L", "mL", "°C", "°F", "°",
    "kW", "kWh", "MWh", "W", "Hz", "kHz", "MHz", "GHz", "GB", "MB", "KB", "kB", "TB", "px", "mph", "kmh", "km/h", "m/s", "cc", "bhp",
    "hp", "rpm", "kmpl", "bar", "psi", "Pa", "hPa", "kPa", "mmHg", "mg/dL", "mmol/L", "bpm", "yrs", "yr", "years", "year", "months",
    "month", "days", "day", "weeks", "week", "pts", "pcs", "bps", "dB")
ATTACHED = sorted((u for u in KNOWN if len(u) > 1), key=len, reverse=True), [u for u in KNOWN if len(u) == 1]
UNIT = rf"[%‰]|{CURRENCY}|(?i:{'|'.join(ATTACHED[0])})|{'|'.join(ATTACHED[1])}|{BLANK}+[\pL°µ%][\pL°µ²³/·^%\d.-]{{0,11}}"
NUMBER = r"(?:[.,]?\d[\d.,'’\u00a0\u2009\u202f ]*?)(?:[eE][+-]?\d+)?"
WRITTEN = rf"^(\()?([+\-−]?){BLANK}*((?:{CURRENCY})?){BLANK}*([+\-−]?)({NUMBER}){BLANK}*((?:{UNIT})?){BLANK}*(\))?$"


@dataclass(frozen=True)
class Style:
    """What stands before the fraction and between the thousands."""

    decimal: str = "."
    thousands: str = ""

    @property
    def pattern(self) -> str:
        """Of numbers without sign and unit."""
        between = {"": "", " ": BLANK, "'": "['’]"}.get(self.thousands, rf"\{self.thousands}" if self.thousands else "")
        lakh = r"[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}|" if self.thousands == "," else ""  # 12,34,567 as in India
        grouped = rf"{lakh}[1-9]\d{{0,2}}(?:{between}\d{{3}})+|" if self.thousands else ""
        return rf"^(?:(?:{grouped}\d+)(?:\{self.decimal}\d*)?|\{self.decimal}\d+)(?:[eE][+-]?\d+)?$"

    def read(self, texts: Any) -> Any:
        """A polars Series of such numbers as float64, null where one is not written so."""
        import polars as pl

        fits = texts.str.contains(self.pattern)
        if self.thousands:
            texts = texts.str.replace_all({" ": BLANK, "'": "['’]"}.get(self.thousands, rf"\{self.thousands}"), "")
        if self.decimal == ",":
            texts = texts.str.replace(",", ".", literal=True)
        return texts.cast(pl.Float64, strict=False).set(~fits, None)


PLAIN = Style()
STYLES = (PLAIN, Style(",", ""), Style(".", ","), Style(",", "."), Style(".", " "), Style(",", " "), Style(".", "'"), Style(",", "'"))


@dataclass(frozen=True)
class Written:
    """Words taken apart, each a polars Series (n,): the digits (null where a word is no number), whether negative, the unit or ''."""

    digits: Any
    negative: Any
    units: Any

    def read(self, style: Style) -> Any:
        values = style.read(self.digits)
        return values.zip_with(~self.negative, -values)


def take_apart(words: Any) -> Written:
    """A polars Series of words, nulls among them, as numbers with sign and unit."""
    parts = words.str.extract_groups(WRITTEN).struct.unnest()
    opened, sign, before, inner, digits, after, closed = (parts[name] for name in parts.columns)
    sound = (opened.is_null() == closed.is_null()) & ((before == "") | (after.str.strip_chars() == "")) & ((sign == "") | (inner == ""))
    negative = (sign + inner).str.contains("[-−]").fill_null(False) | opened.is_not_null()
    units = (before + after).str.strip_chars()
    return Written(digits.set(~sound.fill_null(False), None), negative, units.fill_null(""))


def unit_name(unit: str) -> str:
    """Kg, kg and kgs are one unit, as are year and years."""
    name = unit.casefold().rstrip(".")
    return name[:-1] if len(name) > 2 and name.endswith("s") and name[:-1].isalpha() else name


def readings(digits: Any) -> list[tuple[Style, np.ndarray]]:
    """The styles that all of these words are written in, the plainest first, and what each makes of them; those that agree once."""
    different: list[tuple[Style, np.ndarray]] = []
    for style in STYLES:
        if not bool(digits.str.contains(style.pattern).all()):
            continue
        values = style.read(digits).to_numpy()
        if not any(np.array_equal(values, other) for _, other in different):
            different.append((style, values))
    return different


def marks_of(digits: Any, style: Style) -> bool:
    """Whether these words hold any mark that tells what the decimal mark is."""
    return bool(digits.str.contains(rf"\{style.decimal}" + (rf"|\{style.thousands}" if style.thousands in (".", ",") else "")).any())
