"""Kinds of files that may hold a table: lines of JSON, Feather and Parquet, workbooks, archives; right ones and damaged ones."""

from __future__ import annotations

import gzip
import io
from typing import Any

import numpy as np
import polars as pl
from messy_case import CLASS, NAN, SIZE, Case, N, archive, zipped
from workbook import workbook


def kind_cases() -> list[Case]:
    frame = pl.DataFrame({"a": SIZE, "b": range(N), "y": CLASS})
    feather, gz = io.BytesIO(), io.BytesIO()
    frame.write_ipc(feather)
    frame.write_parquet(gz)
    right: dict[str, Any] = {"kinds": {"a": "numeric", "b": "numeric"}, "values": {"a": {0: SIZE[0], N - 1: SIZE[-1]}}}
    nested = frame.with_columns(pl.struct("a", "b").alias("both")).select("both", "y").write_ndjson()
    pairs = pl.DataFrame({"source": ["ein Haus"] * N, "target": ["a house"] * N}).write_ndjson()
    return [
        Case("lines.jsonl", frame.write_ndjson().encode(), **right),
        Case("lines-with-currency.jsonl", frame.with_columns(pl.format("$ {}", "a").alias("a")).write_ndjson().encode(),
             **{**right, "note": "in $"}),
        Case("nested.jsonl", nested.encode(), error="Flatten it into columns of its own"),
        Case("translation.jsonl", pairs.encode(), error="which are translated", target="target"),
        Case("not-json.jsonl", b'{"a": 1}\nhello\n', error="does not hold an object of JSON in each line"),
        Case("table.feather", feather.getvalue(), **right), Case("TABLE.FEATHER", feather.getvalue(), **right),
        Case("damaged.feather", b"ARROW1" + bytes(30), error="is damaged or not a Feather file"),
        Case("table.parquet.gz", gzip.compress(gz.getvalue()), **right),
        Case("TABLE.PARQUET", gz.getvalue(), **right),
        *archive_cases(frame, right), *sheet_cases(frame, right),
    ]


def sheet_cases(frame: pl.DataFrame, right: dict[str, Any]) -> list[Case]:
    """Workbooks of Excel: numbers, days, gaps, errors of formulas, numbers written as words."""
    plain = workbook(frame.columns, frame.rows())
    days = [np.datetime64("2024-02-20") + i for i in range(N)]
    cells = [(d, None if i % 9 == 4 else "#N/A" if i % 9 == 7 else v, i % 3 == 0, c)
             for i, (d, v, c) in enumerate(zip(days, SIZE, CLASS, strict=True))]
    typed: dict[str, Any] = {"kinds": {"day": "date", "a": "numeric", "flag": "boolean"},
                             "values": {"day": {9: float(days[9].astype(int))}, "a": {0: SIZE[0], 4: NAN, 7: NAN},
                                        "flag": {3: 1.0, 4: 0.0}}}
    return [
        Case("sheet.xlsx", plain, **right), Case("SHEET.XLSX", plain, **right), Case("sheet.xlsx.gz", gzip.compress(plain), **right),
        Case("sheet-of-kinds.xlsx", workbook(["day", "a", "flag", "y"], cells), **typed),
        Case("sheet-with-currency.xlsx", workbook(["a", "b", "y"], [(f"$ {v:,.2f}", b, c) for v, b, c in frame.rows()]),
             **{**right, "note": "in $"}),
        Case("sheets.xlsx", workbook(frame.columns, frame.rows(), sheets=3), **{**right, "note": "the first of 3 sheets is read"}),
        Case("sheet-of-names.xlsx", workbook(["a", "b", "y"], []), error="has no rows"),
        Case("no-sheet.xlsx", zipped("x"), error="is damaged, locked or not an .xlsx file"),
    ]


def archive_cases(frame: pl.DataFrame, right: dict[str, Any]) -> list[Case]:
    """Packed tables whose kind only their archive tells, and archives that hold no one table."""
    text, feather = frame.write_csv(), io.BytesIO()
    frame.write_ipc(feather)
    return [
        Case("archive.zip", archive({"t.csv": text}), **right), Case("ARCHIVE.ZIP", archive({"folder/T.CSV": text}), **right),
        Case("archive-of-feather.zip", archive({"t.feather": feather.getvalue()}), **right),
        Case("archive-of-lines.zip", archive({"t.jsonl": frame.write_ndjson()}), **right),
        Case("named-otherwise-inside.csv.zip", archive({"data.txt": text}), **right),
        Case("PACKED.CSV.GZ", gzip.compress(text.encode()), **right),
        Case("two-tables.csv.zip", zipped("a", "b"), error="holds 2 files (table0.csv, table1.csv); expected one table"),
        Case("two-tables.zip", zipped("a", "b"), error="holds 2 files (table0.csv, table1.csv); expected one table"),
        Case("empty.zip", archive({}), error="holds 0 files; expected one table"),
        Case("no-archive.zip", b"PK\x03\x04" + bytes(50), error="is damaged, locked, or no ZIP archive"),
        Case("archive-of-nothing-known.zip", archive({"t.docx": "x"}), error="is of no kind that chainrule reads"),
    ]
