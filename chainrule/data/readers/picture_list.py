"""Tables whose rows name picture files: the pictures are the inputs, and the table says what they are."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from chainrule.core.errors import InputError
from chainrule.data.encode.columns import Table
from chainrule.data.readers.images import SUFFIXES


def file_column(table: Table, folder: Path, not_read: Collection[str] = ()) -> str | None:
    """The first column whose words are all names of pictures, the first of them a file in `folder`; None where there is none."""
    for column in table.columns:
        words = column.categories
        if words and column.name not in not_read and all(word.lower().endswith(SUFFIXES) for word in words):
            first = (~column.missing).nonzero()
            if len(first) and (folder / column.word(int(first[0, 0]))).is_file():
                return column.name
    return None


def files_of(table: Table, name: str, where: Path) -> tuple[list[Path], list[str]]:
    """The picture of each row, and its name as it is written. Raises InputError naming the row whose picture is not there."""
    column = table[name]
    words = [None if missing else column.word(row) for row, missing in enumerate(column.missing.tolist())]
    for row, word in enumerate(words):
        if word is None:
            raise InputError(f"{where}, row {row + 1}: the column '{name}' names no picture; expected one in each row. Fill or remove it.")
        if not (where.parent / word).is_file():
            raise InputError(f"{where}, row {row + 1}: there is no picture {where.parent / word}. Correct the name in '{name}', or put the "
                             "file there.")
    return [where.parent / str(word) for word in words], [str(word) for word in words]
