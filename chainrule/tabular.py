"""Predictions as a table on disk: CSV, Parquet or NPZ, one row a sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.files import write_atomically
from chainrule.data.tables import is_number

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run rather than show


def write_predictions(path: Path, values: Tensor, names: Sequence[str], task: str) -> None:
    """Write `values` (n, k): for classes the likeliest one and the probability of each, otherwise a column for each name.

    The suffix decides: .csv, .parquet or .npz. Raises InputError for another one, or where it cannot be written.
    """
    import io

    import numpy as np

    table: dict[str, object] = {}
    if task == "classification":
        table["prediction"] = np.asarray([shielded(names[i]) for i in values.argmax(1).tolist()])
        table |= {f"p({name})": values[:, i].numpy() for i, name in enumerate(names)}
    else:
        table = {name: values[:, i].numpy() for i, name in enumerate(names)}
    buffer = io.BytesIO()
    if path.suffix == ".npz":
        np.savez(buffer, **table)  # type: ignore[arg-type]
    elif path.suffix in (".csv", ".parquet"):
        import polars

        frame = polars.DataFrame({shielded(name): column for name, column in table.items()})
        frame.write_csv(buffer) if path.suffix == ".csv" else frame.write_parquet(buffer)
    else:
        raise InputError(f"--out {path} should end in .csv, .parquet or .npz.")
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise InputError(f"--out {path} cannot be written: {error.strerror}. Name another file.") from None


def shielded(name: str) -> str:
    """A name that a spreadsheet shows instead of running it."""
    return f"'{name}" if name.startswith(FORMULA) and not is_number(name) else name

