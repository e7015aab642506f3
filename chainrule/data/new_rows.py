"""How further rows of a table are read: as an encoder says that the rows of training were."""

from __future__ import annotations

from chainrule.data.encode.input_encoder import InputEncoder
from chainrule.data.formats import Format
from chainrule.data.readers.tables import Known
from chainrule.data.reading import Reading


def reading_of(like: InputEncoder) -> Reading:
    """The options that further rows of a table are read with."""
    return Reading.of_new_rows(like.reading)


def known_of(like: InputEncoder) -> Known:
    """What an encoder of a table, or of a series, tells of how further rows of its kind are to be read."""
    if like.kind == "lagged":
        return Known(like.formats)
    if like.kind != "table" and not like.column:
        return Known()
    kinds: dict[str, str] = {"numeric": "number", "date": "date", "categorical": "word", "ordered": "word"}
    own = {name: kind for name, kind in like.column_kinds.items() if name not in like.formats}
    formats = {**like.formats, **{name: Format("truth") for name, kind in own.items() if kind == "boolean"}}
    known = {name: kinds[kind] for name, kind in own.items() if kind in kinds}
    return Known(formats, known, like.apart, tuple(like.column_kinds), like.apart)
