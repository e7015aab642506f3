"""A workbook of Excel with one sheet, part by part as ECMA-376 has them, without the package that reads it."""

import io
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

SHEETS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
EPOCH = np.datetime64("1899-12-30")  # day 0 of Excel


def workbook(names: Sequence[str], rows: Iterable[Sequence[Any]], padding: int = 0, sheets: int = 1) -> bytes:
    """The bytes of an .xlsx file: numbers, yes/no, words, days (numpy.datetime64), errors such as #N/A, and None for an empty cell.

    `padding` blanks stand in the sheet, which take next to nothing when packed. Of several `sheets` the others are empty.
    """
    body = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in [names, *rows])
    links = [("styles", "styles.xml"), *(("worksheet", f"worksheets/sheet{i}.xml") for i in range(1, sheets + 1))]
    listed = "".join(f'<sheet name="s{i}" sheetId="{i}" r:id="r{i}"/>' for i in range(1, sheets + 1))
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": _links([("officeDocument", "xl/workbook.xml")]),
        "xl/workbook.xml": f'<workbook xmlns="{SHEETS}" xmlns:r="{OFFICE}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _links(links),
        "xl/styles.xml": f'<styleSheet xmlns="{SHEETS}"><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{SHEETS}">{" " * padding}<sheetData>{body}</sheetData></worksheet>'}
    parts |= {f"xl/worksheets/sheet{i}.xml": f'<worksheet xmlns="{SHEETS}"><sheetData/></worksheet>' for i in range(2, sheets + 1)}
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return into.getvalue()


def _links(targets: Sequence[tuple[str, str]]) -> str:
    each = [f'<Relationship Id="r{i}" Type="{OFFICE}/{kind}" Target="{target}"/>' for i, (kind, target) in enumerate(targets)]
    return f'<Relationships xmlns="{PACKAGE}/relationships">{"".join(each)}</Relationships>'


def _cell(value: Any) -> str:
    if value is None:
        return "<c/>"
    if isinstance(value, np.datetime64):
        return f'<c s="1"><v>{(value - EPOCH) // np.timedelta64(1, "D")}</v></c>'
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if not isinstance(value, str):
        return f"<c><v>{value}</v></c>"
    return f'<c t="e"><v>{value}</v></c>' if value.startswith("#") else f'<c t="inlineStr"><is><t>{value}</t></is></c>'
