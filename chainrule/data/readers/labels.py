"""Columns that no net reads, as predictions are to bear them."""

from __future__ import annotations

from typing import Any


def plain(series: Any) -> Any:
    """A narwhals series as one of polars whose values a file can hold: words, numbers, dates, yes and no; others become words."""
    import narwhals as nw
    import polars as pl

    simple = series.dtype.is_numeric() or series.dtype in (nw.Boolean, nw.Date, nw.Datetime)
    native = series.to_native()
    if isinstance(native, pl.Series) and (simple or native.dtype == pl.String):
        return native
    values = series.to_list()
    return pl.Series(series.name, values if simple else [None if v is None else str(v) for v in values])
