"""Words and numbers for people: tables in columns, shares, durations, sentences."""

from __future__ import annotations

import math
import re
import shlex
import time
from pathlib import Path


def shown(value: float, per_cent: bool = False) -> str:
    """A number with as many digits as a reader can use: four significant ones, shares in per cent with two decimals.

    >>> shown(0.0123456), shown(0.95, per_cent=True), shown(12345.678)
    ('0.01235', '95.00', '12,346')

    What is no number, or infinite, is written as such: `nan`, `inf`.
    """
    if not math.isfinite(value):
        return str(float(value))
    if per_cent:
        return f"{100 * value:.2f}"
    if value == 0:
        return "0"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}" if digits <= 7 else f"{value:.3e}"


def resuming(place: Path | str) -> str:
    """The command that goes on with what is in a folder, as it may be pasted into a shell.

    >>> resuming("runs/my first")
    "chainrule resume 'runs/my first'"
    """
    return f"chainrule resume {shlex.quote(str(place))}"


def table(rows: list[list[str]], left: tuple[int, ...] = (0,), indent: str = "  ") -> list[str]:
    """Rows of cells as aligned lines; columns in `left` are flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines


def counted(count: int, noun: str) -> str:
    """A number with its noun, which takes an s where it is not one.

    >>> counted(1, "row"), counted(2000, "row"), counted(0, "error")
    ('1 row', '2,000 rows', '0 errors')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def label(name: str) -> str:
    """A name as it is read within a line: in quotation marks where it is blank, begins or ends so, or has signs that do not print.

    >>> print(label("oak"), label(" "), label("\\n"))
    oak ' ' '\\n'
    """
    return name if name and name == name.strip() and name.isprintable() else repr(name)


def natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts names as people do: runs of digits by their number.

    >>> sorted(["p10", "p2", "P1", "b"], key=natural)
    ['b', 'P1', 'p2', 'p10']
    """
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(0, int(p), p) if p[0].isascii() and p[0].isdigit() else (1, 0, p.casefold()) for p in parts] + [(-1, 0, text)]


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def duration(seconds: float) -> str:
    """`0.4 s`, `41 s`, `3 min 20 s`, `2 h 5 min`.

    >>> duration(0.42), duration(200), duration(7500)
    ('0.4 s', '3 min 20 s', '2 h 5 min')
    """
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(seconds / 60)
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def size(count: int) -> str:
    """Bytes in the unit that leaves up to three figures before the point, powers of a thousand.

    >>> size(117), size(35_472), size(3_400_000), size(2_000_000_000_000)
    ('117 B', '35.5 kB', '3.4 MB', '2.0 TB')
    """
    if count < 1000:
        return f"{count} B"
    power = min((len(str(count)) - 1) // 3, 4)
    return f"{count / 1000**power:.1f} {' kMGT'[power]}B"


def sentence(text: str) -> str:
    """The text with a full stop at its end where it has none."""
    text = text.strip()
    return text if not text or text[-1] in ".!?" else text + "."


def visible(text: str) -> str:
    """The text with its blanks as signs, and each line end both as a sign and as itself.

    >>> print(visible("to be,\\tor\\nnot"))
    to␣be,⇥or⏎
    not
    """
    return text.translate({ord(" "): "␣", ord("\t"): "⇥", ord("\r"): "␍", ord("\n"): "⏎\n"})


def first_line(error: BaseException) -> str:
    """What an error says, up to the end of its first line; its kind where it says nothing."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
