"""One page with the scoreboard of the canon: every row's figures beside the published ones, and the pictures drawn on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from chainrule.core.errors import InputError
from chainrule.core.files import write_atomically
from chainrule.report.facts import Facts, Picture, Table
from chainrule.report.page import write

BEGIN, END = "<!-- canon -->", "<!-- end of canon -->"


def write_scoreboard(out: Path, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]],
                     details: Mapping[str, Sequence[Sequence[str]]], pictures: Sequence[Picture], notes: Sequence[str],
                     versions: Mapping[str, str]) -> Path:
    """One self-contained HTML file: the table of all rows, then the figures of each. Raises InputError where it cannot be written."""
    tables = [Table("Every row", heads, rows, " ".join(notes))]
    tables += [Table(name, ("figure", "published", "ours", "95 % interval", "source"), lines) for name, lines in details.items()]
    return write(out, Facts(title=title, tables=tables, pictures=pictures, versions=versions))


def record(path: Path, heads: Sequence[str], rows: Mapping[str, Sequence[str]], machine: str) -> int:
    """Put these rows into the table of a Markdown file, between two comments, and return how many lines the table has.

    Rows that are there and not among these stay as they are; the order is that of the names: letter, then number. Raises InputError where
    the comments are not in the file.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise InputError(f"--record expects one line {BEGIN} and below it one line {END} in {path}, to put the table between them.")
    before, _, rest = text.partition(BEGIN)
    between, _, after = rest.partition(END)
    lines = {name: cells for name, cells in map(_cells, between.splitlines()) if name and name not in (heads[0], "---")}
    lines |= {name: list(cells) for name, cells in rows.items()}
    order = sorted(lines, key=lambda name: (name[:1], int("0" + "".join(filter(str.isdigit, name)))))
    table = [_line(heads), _line(["---"] * len(heads)), *(_line(lines[name]) for name in order)]
    write_atomically(path, f"{before}{BEGIN}\n\n".encode() + "\n".join(table).encode() + f"\n\n{machine}\n\n{END}{after}".encode())
    return len(order)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _cells(line: str) -> tuple[str, list[str]]:
    """The cells of a line of a Markdown table, by the first of them; an empty name for any other line."""
    cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else [""]
    return cells[0], cells
