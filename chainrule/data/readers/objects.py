"""What programs have in memory as a frame or an array: dicts of columns, lists of records, sparse matrices, arrays with gaps or words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.data.encode.columns import finite
from chainrule.data.memory import free_memory
from chainrule.data.readers import arrays, tables


class Centred(Protocol):
    """What an encoder of inputs knows of numbers: `scale` (2, d) holds their means first, where they were standardised."""

    @property
    def scale(self) -> Tensor | None: ...

    @property
    def range(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


SHARE = 0.5     # of the free memory that a sparse matrix may take as dense rows


def plain(what: Any, where: str, *, gaps: bool = True) -> Any:
    """A frame or an array of what is neither: a dict of columns (or one record), a list of records or rows, a sparse matrix.

    With `gaps`, rows (n, d) of numbers with missing ones, or of words, become a frame whose columns are called x1, x2, ...: a table has
    its gaps filled in. Anything else comes back as it is. Raises InputError for what is none of these, or too large.
    """
    if is_sparse(what):
        what = _dense(what, where)
    elif isinstance(what, Mapping):
        return _of_columns(what, where)
    elif isinstance(what, list) and what and all(isinstance(one, Mapping) for one in what):
        return _of_records(what)
    elif isinstance(what, list):
        what = _of_rows(what, where)
    return framed(what, where) if gaps else what


def framed(what: Any, where: str) -> Any:
    """Rows (n, d) with missing numbers, or of words, as a frame; else what came."""
    import polars as pl

    values = what.detach().cpu().numpy() if isinstance(what, Tensor) and what.is_floating_point() and what.dim() == 2 else what
    if not isinstance(values, np.ndarray) or values.ndim != 2 or not values.size:
        return what
    words = values.dtype.kind in "OUS"
    if not words and not (values.dtype.kind == "f" and np.isnan(values).any()):
        return what
    _refuse_infinite(values, where)
    columns = [_series(name, values[:, i].tolist() if words else values[:, i].astype(np.float64))
               for i, name in enumerate(numbered(values.shape[1]))]
    return pl.DataFrame(columns)


def numbered(width: int) -> tuple[str, ...]:
    """What the columns of a table that came as an array are called."""
    return tuple(f"x{i + 1}" for i in range(width))


def as_numbered(what: Any) -> Any:
    """Rows (n, d) of an array, for a net that learned from such an array with gaps: a frame of numbered columns; else what came."""
    import polars as pl

    values = what.detach().cpu().numpy() if isinstance(what, Tensor) else what
    if not isinstance(values, np.ndarray) or values.ndim != 2:
        return what
    return pl.DataFrame([_series(name, values[:, i].tolist() if values.dtype.kind in "OUS" else values[:, i])
                         for i, name in enumerate(numbered(values.shape[1]))])


def is_sparse(what: Any) -> bool:
    """Whether `what` is a sparse matrix or array of scipy, told by its class alone."""
    return type(what).__module__.startswith("scipy.sparse") and hasattr(what, "toarray")


def _dense(what: Any, where: str) -> np.ndarray:
    """Raises InputError where the dense rows would not fit into memory."""
    nbytes, free = 8 * int(np.prod([int(size) for size in what.shape])), free_memory()
    if nbytes > SHARE * free:
        raise InputError(f"{where} is sparse, {' x '.join(f'{size:,}' for size in what.shape)}: as the dense rows that nets read it takes "
                         f"{nbytes / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free. Reduce its columns first, e.g. by scikit-learn's "
                         "TruncatedSVD.")
    dense: np.ndarray = what.toarray()
    return dense


def _of_columns(columns: Mapping[Any, Any], where: str) -> Any:
    """A frame of named columns; single values are one row."""
    import polars as pl

    if not columns:
        raise InputError(f"{where} has no columns; expected a dict of names with lists of values.")
    single = all(isinstance(values, str | bytes) or not hasattr(values, "__len__") for values in columns.values())
    series = [_series(str(name), [values] if single else values) for name, values in columns.items()]
    lengths = {one.name: len(one) for one in series}
    if len(set(lengths.values())) > 1:
        short, long = min(lengths, key=lambda name: lengths[name]), max(lengths, key=lambda name: lengths[name])
        raise InputError(f"{where}: expected columns of one length; got {lengths[short]} values in '{short}' and {lengths[long]} in "
                         f"'{long}'.")
    return pl.DataFrame(series)


def _of_records(records: Sequence[Mapping[Any, Any]]) -> Any:
    """A frame of a row for each record; what a record lacks is missing."""
    import polars as pl

    names = dict.fromkeys(str(name) for record in records for name in record)
    keyed = [{str(name): value for name, value in record.items()} for record in records]
    return pl.DataFrame([_series(name, [record.get(name) for record in keyed]) for name in names])


def _of_rows(rows: list[Any], where: str) -> np.ndarray:
    """An array of a list of rows. Raises InputError where they differ in length."""
    try:
        return np.asarray(rows, dtype=object if any(isinstance(v, str) for row in rows if isinstance(row, list | tuple) for v in row)
                          else None)
    except ValueError:
        raise InputError(f"{where}: expected rows of one length, or records; got lists that differ.") from None


def _series(name: str, values: Any) -> Any:
    """A column of values: numbers, yes/no, dates and words as they are; mixed ones as words, gaps missing."""
    import polars as pl

    if tables.is_frame(values) and getattr(values, "ndim", 1) == 1:
        values = values.to_list() if hasattr(values, "to_list") else values.to_pylist()
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    if isinstance(values, np.ndarray) and values.dtype.kind in "biufM":
        return pl.Series(name, values)
    listed = [None if v is None or v != v else v.item() if isinstance(v, np.generic) else v for v in values]
    kinds = {bool if isinstance(v, bool) else float if isinstance(v, int | float) else type(v) for v in listed if v is not None}
    if len(kinds) > 1:
        listed = [None if v is None else str(v) for v in listed]
    elif kinds == {float} and any(isinstance(v, float) for v in listed):
        listed = [None if v is None else float(v) for v in listed]
    return pl.Series(name, listed)


def _refuse_infinite(values: np.ndarray, where: str) -> None:
    """Raises InputError naming the first number that is infinite."""
    if values.dtype.kind == "f" and np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0].tolist()
        raise InputError(f"{where}, row {row + 1}, feature {column + 1}: expected {finite(float(values[row, column]))}. Correct it, or "
                         "make it NaN if it is missing.")


def with_means(what: Any, like: Centred, say: Callable[[str], None] | None = None) -> Any:
    """Rows (n, d) of numbers, the means of training in place of missing ones, where these are known; else what came."""
    if like.scale is None or like.range != "standard" or len(like.shape) != 1 or not isinstance(what, np.ndarray | Tensor):
        return what
    x = arrays.as_held(what, "the rows")
    if not x.is_floating_point() or x.shape[1:] != like.shape or not bool(x.isnan().any()):
        return what
    missing = x.isnan()
    if say is not None:
        say(f"{int(missing.sum()):,} missing numbers in {len(x):,} rows; training had none, so its means stand in.")
    return torch.where(missing, like.scale[0].to(x.dtype), x)
