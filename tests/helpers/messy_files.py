"""Messy tables as people have them, each with the right reading beside it; run as a script it writes them into a folder.

`python tests/helpers/messy_files.py FOLDER` writes every file, and `index.csv` of what is wrong with each. A case says what the columns
are (kind of each input, some values by row), what the target is, and which words a note or an error must hold.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from messy_case import AMOUNT, CLASS, DRAW, NAN, SIZE, Case, N, lines, zipped
from messy_formats import kind_cases


def cents(value: int, thousands: str, decimal: str) -> str:
    """A number of hundredths with its thousands apart."""
    return f"{value // 100:,}".replace(",", thousands) + f"{decimal}{value % 100:02}"


def numbers(name: str, words: list[str], values: list[float], *, separator: str = ",", quote: bool = False, note: str = "",
            kind: str = "numeric", **more: Any) -> Case:
    """A file whose column `a` is written so, beside a plain one and a target."""
    cells = [f'"{w}"' if quote else w for w in words]
    text = lines(["a", "b", "y"], cells, range(N), CLASS, separator=separator)
    return Case(name, text.encode(), {"a": kind, "b": "numeric"}, {"a": {i: values[i] for i in (0, 7, N - 1)}}, note=note, **more)


def marked(mark: str) -> Case:
    words = [f"{v}" if i % 9 else mark for i, v in enumerate(SIZE)]
    values = [v if i % 9 else NAN for i, v in enumerate(SIZE)]
    said = "" if mark in ("#N/A", "n/a", "NA", "?", "", "#DIV/0!") else "read as missing"
    return numbers(f"missing-{''.join(c if c.isalnum() else '_' for c in mark) or 'empty'}-{ord(mark[:1] or '0')}.csv", words, values,
                   note=said)


def number_cases() -> list[Case]:
    exact = [v / 100 for v in AMOUNT]
    decimal = [f"{v:.2f}".replace(".", ",") for v in SIZE]
    mixed = [f"{v:.2f}" if i % 2 else f"{v:.1f}" for i, v in enumerate(SIZE)]
    rounded = [float(v) for v in mixed]
    whole = [v // 100 for v in AMOUNT]
    return [
        numbers("decimal-comma.csv", decimal, SIZE, separator=";", note="'a' is read as numbers"),
        numbers("decimal-comma-tabs.tsv", decimal, SIZE, separator="\t", note="'a' is read as numbers"),
        numbers("decimal-comma-quoted.csv", decimal, SIZE, quote=True, note="'a' is read as numbers"),
        numbers("thousands-comma.csv", [cents(v, ",", ".") for v in AMOUNT], exact, quote=True, note="'a' is read as numbers"),
        numbers("thousands-point.csv", [cents(v, ".", ",") for v in AMOUNT], exact, separator=";", note="'a' is read as numbers"),
        numbers("thousands-blank.csv", [cents(v, " ", ",") for v in AMOUNT], exact, separator=";", note="'a' is read as numbers"),
        numbers("thousands-thin-blank.csv", [cents(v, "\u202f", ",") for v in AMOUNT], exact, separator=";", note="'a' is read as numbers"),
        numbers("thousands-apostrophe.csv", [cents(v, "'", ".") for v in AMOUNT], exact, note="'a' is read as numbers"),
        numbers("thousands-whole.csv", [f"{v:,}" for v in whole], [float(v) for v in whole], quote=True,
             note="--decimal , reads it otherwise"),
        numbers("thousands-whole-as-fraction.csv", [f"{v:,}" for v in whole], [float(f"{v:,}".replace(",", ".")) for v in whole],
                quote=True, options={"decimal": ","}, note="'a' is read as numbers"),
        numbers("lakh.csv", [f"{v // 10:02},{v % 10}5,120" for v in range(100, 140)],
                [float(f"{v // 10:02}{v % 10}5120") for v in range(100, 140)],
                quote=True, note="'a' is read as numbers"),
        numbers("dollars.csv", [f"${cents(v, ',', '.')}" for v in AMOUNT], exact, quote=True, note="in $"),
        numbers("euros-behind.csv", [f"{cents(v, '.', ',')} €" for v in AMOUNT], exact, separator=";", note="in €"),
        numbers("code-of-currency.csv", [f"USD {v}" for v in mixed], rounded, note="in USD"),
        numbers("accounting.csv", [f"({v})" if i % 2 else v for i, v in enumerate(mixed)],
                [-v if i % 2 else v for i, v in enumerate(rounded)],
                note="'a' is read as numbers"),
        numbers("minus-sign.csv", [f"−{v}" if i % 2 else v for i, v in enumerate(mixed)],
                [-v if i % 2 else v for i, v in enumerate(rounded)],
                note="'a' is read as numbers"),
        numbers("percent.csv", [f"{v} %" for v in mixed], rounded, note="in %"),
        numbers("percent-attached.csv", [f"{v}%" for v in mixed], rounded, note="in %"),
        numbers("kilograms.csv", [f"{v} kg" for v in mixed], rounded, note="in kg"),
        numbers("kilograms-attached.csv", [f"{v}{('kg', 'Kg')[i % 2]}" for i, v in enumerate(mixed)], rounded, note="in "),
        numbers("months.csv", [f"{i} month{'s' * (i != 1)}" for i in range(N)], [float(i) for i in range(N)], note="in month"),
        numbers("speed.csv", [f"{v} km/h" for v in mixed], rounded, note="in km/h"),
        numbers("exponents.csv", [f"{v:.3e}" for v in SIZE], [float(f"{v:.3e}") for v in SIZE]),
        numbers("unit-in-some-rows.csv", [f"{v} kg" if i % 3 else v for i, v in enumerate(mixed)], rounded, note="in kg"),
        numbers("blanks-around.csv", [f"  {v} " for v in mixed], rounded),
        numbers("one-typing-error.csv", [v if i != 11 else "oops" for i, v in enumerate(mixed)], rounded,
             note="'oops' in row 12 is no number"),
        numbers("sentinel.csv", ["-999" if i % 9 == 0 else v for i, v in enumerate(mixed)],
                [NAN if i % 9 == 0 else v for i, v in enumerate(rounded)],
                options={"missing": "-999"}),
        *map(marked, ("#N/A", "None", "-", ".", "missing", "n/a", "NA", "?", "", "--", "unknown", "N.A.", "nil", "#DIV/0!",
                      "not available")),
    ]


def dated(name: str, words: list[str], days: list[str], note: str = "", **more: Any) -> Case:
    """A file with dates in column `day`; `days` are the right ones in ISO."""
    text = lines(["day", "b", "y"], [f'"{w}"' for w in words], range(N), CLASS)
    right = {i: float(np.datetime64(days[i], "s").astype(float) / 86_400) if days[i] else NAN for i in (0, 5, N - 1)}
    return Case(name, text.encode(), {"day": "date", "b": "numeric"}, {"day": right}, note=note, **more)


def date_cases() -> list[Case]:
    days = [np.datetime64("2019-11-25") + 3 * i for i in range(N)]
    iso = [str(d) for d in days]
    parts = [(d[:4], d[5:7], d[8:]) for d in iso]
    shuffled = DRAW.permutation([f"2020-{1 + i % 12:02}-{1 + (7 * i) % 12:02}" for i in range(N)]).tolist()
    low = [(d[:4], d[5:7], d[8:]) for d in shuffled]
    monthly = [f"{2019 + i // 12}-{1 + i % 12:02}-01" for i in range(N)]
    names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    clock = [f"{i % 24:02}:{(7 * i) % 60:02}" for i in range(N)]
    stamped = [f"{d}T{c}:00" for d, c in zip(iso, clock, strict=True)]
    both = lines(["start", "end", "y"], [f"{m}/{d}/{y}" for y, m, d in parts], [f"{m}/{d}/{y}" for y, m, d in low], CLASS)
    clash = [f"{d}/{m}/{y}" if i % 2 else f"{m}/{d}/{y}" for i, (y, m, d) in enumerate(parts)]
    return [
        dated("dates-iso.csv", iso, iso),
        dated("dates-day-first.csv", [f"{d}/{m}/{y}" for y, m, d in parts], iso, "dates with the day first"),
        dated("dates-month-first.csv", [f"{m}/{d}/{y}" for y, m, d in parts], iso, "dates with the month first"),
        dated("dates-points.csv", [f"{int(d)}.{int(m)}.{y}" for y, m, d in parts], iso, "dates with the day first"),
        dated("dates-two-digits.csv", [f"{m}/{d}/{y[2:]}" for y, m, d in parts], iso, "dates with the month first"),
        dated("dates-year-first-told.csv", [f"{y[2:]}/{m}/{d}" for y, m, d in parts], iso, options={"dates": "ymd"}),
        dated("dates-slashes-year-first.csv", [f"{y}/{m}/{d}" for y, m, d in parts], iso),
        dated("dates-names.csv", [f"{int(d)} {names[int(m) - 1]} {y}" for y, m, d in parts], iso),
        dated("dates-american-names.csv", [f"{names[int(m) - 1]} {int(d)}, {y}" for y, m, d in parts], iso),
        dated("dates-with-names-short.csv", [f"{d}-{names[int(m) - 1]}-{y[2:]}" for y, m, d in parts], iso),
        dated("dates-compact.csv", [d.replace("-", "") for d in iso], iso),
        dated("dates-two-formats.csv", [f"{d}/{m}/{y}" if i % 2 else f"{y}-{m}-{d}" for i, (y, m, d) in enumerate(parts)], iso,
             "the day first"),
        dated("dates-one-unknown.csv", ["unknown" if i % 11 == 5 else d for i, d in enumerate(iso)],
              ["" if i % 11 == 5 else d for i, d in enumerate(iso)],
              "'unknown' in 4 rows is read as missing"),
        dated("dates-zero.csv", ["0000-00-00" if i == 5 else d for i, d in enumerate(iso)],
              ["" if i == 5 else d for i, d in enumerate(iso)],
              "'0000-00-00' in row 6 is no date"),
        dated("dates-with-time.csv", stamped, stamped),
        dated("dates-with-time-american.csv", [f"{m}/{d}/{y} {1 + (i % 12)}:30 PM" for i, (y, m, d) in enumerate(parts)],
              [f"{d}T{12 + (1 + i % 12) % 12}:30:00" for i, d in enumerate(iso)], "the month first"),
        dated("time-of-day.csv", clock, [f"1970-01-01T{c}:00" for c in clock]),
        dated("dates-open.csv", [f"{d}/{m}/{y}" for y, m, d in low], shuffled, "--dates mdy reads the month first"),
        dated("dates-open-told.csv", [f"{m}/{d}/{y}" for y, m, d in low], shuffled, options={"dates": "mdy"}),
        dated("dates-in-order.csv", [f"{m}/{d}/{y}" for y, m, d in sorted(low)], sorted(shuffled), "in order of time"),
        dated("dates-monthly.csv", [f"{m}/{d}/{y}" for y, m, d in [(d[:4], d[5:7], d[8:]) for d in monthly]], monthly,
              "each is then day 1 of a month"),
        Case("dates-as-their-neighbours.csv", both.encode(), {"start": "date", "end": "date"},
             {"end": {3: float(np.datetime64(shuffled[3]).astype(int))}}, note="as 'start' has them"),
        Case("dates-of-two-orders.csv", lines(["day", "b", "y"], clash, range(N), CLASS).encode(), {"day": "categorical", "b": "numeric"},
             note="--dates dmy or mdy reads one order"),
    ]


def layout_cases() -> list[Case]:
    plain = lines(["a", "b", "y"], SIZE, range(N), CLASS)
    body = plain.split("\n", 1)[1]
    rows = body.splitlines()
    right: dict[str, Any] = {"kinds": {"a": "numeric", "b": "numeric"}, "values": {"a": {0: SIZE[0], N - 1: SIZE[-1]}}}
    unnamed: dict[str, Any] = {"kinds": {"column_0": "numeric", "column_1": "numeric"},
                               "values": {"column_0": {0: SIZE[0], N - 1: SIZE[-1]}},
                               "target": "column_2"}

    def case(name: str, text: str | bytes, note: str = "", **more: Any) -> Case:
        return Case(name, text if isinstance(text, bytes) else text.encode(), **{**right, "note": note, **more})

    return [
        case("blank-lines.csv", "\n\n" + plain.replace(rows[3], f"{rows[3]}\n\n   \n")),
        case("lines-of-separators.csv", plain + ",,\n,,\n"),
        case("no-end-of-line.csv", plain.rstrip("\n")),
        case("windows-line-ends.csv", plain.replace("\n", "\r\n")),
        case("old-mac-line-ends.csv", plain.replace("\n", "\r")),
        case("comments.csv", f"# made on a Monday, by hand, twice\n{plain.replace(rows[4], rows[4] + chr(10) + '# checked')}",
             "2 lines that begin with #"),
        case("names-in-a-comment.csv", "#" + plain, kinds={"a": "numeric", "b": "numeric"}),
        case("trailing-separators.csv", "\n".join(["a,b,y", *(f"{row}," for row in rows)]) + "\n", "ends with a ',' too many"),
        case("trailing-separators-everywhere.csv", "\n".join(f"{row}," for row in plain.splitlines()) + "\n"),
        case("no-names.csv", body, "The first line holds values, no names", **unnamed),
        case("no-names-told.csv", body, "The first line holds values, no names", **{**unnamed, "options": {"header": "no"}}),
        case("years-as-names.csv", lines(["land", "2000", "2001", "y"], ["A", "B"] * (N // 2), range(N), SIZE, CLASS),
             kinds={"land": "categorical", "2000": "numeric", "2001": "numeric"}, values={"2000": {3: 3.0}}),
        case("line-too-long.csv", plain.replace(rows[10], rows[10] + ",7"), error="line 12 has 4 values where 3 are expected"),
        case("line-too-short.csv", plain.replace(rows[10], rows[10].rsplit(",", 1)[0]), error="line 12 has 2 values where 3 are expected"),
        case("heading-above.csv", "My table\n" + plain, error="line 1 has 1 value where the lines below have 3"),
        case("byte-order-mark.csv", b"\xef\xbb\xbf" + plain.encode()),
        case("pandas-index.csv", lines(["", "a", "b", "y"], range(N), SIZE, range(N), CLASS),
             "The column without a name holds a different whole number"),
        case("pandas-index-read-again.csv", lines(["Unnamed: 0", "a", "b", "y"], range(N), SIZE, range(N), CLASS),
             "'Unnamed: 0' holds a different"),
        case("row-numbers-of-r.csv", "\n".join(["a,b,y", *(f'"{i + 1}",{row}' for i, row in enumerate(rows))]) + "\n",
             "holds a different whole number"),
        case("ids.csv", lines(["PassengerId", "a", "b", "y"], DRAW.permutation(9999)[:N], SIZE, range(N), CLASS),
             "'PassengerId' holds a different"),
        case("ids-wanted.csv", lines(["id", "a", "y"], range(N), SIZE, CLASS), kinds={"id": "numeric", "a": "numeric"},
             options={"columns": "id:number"}),
        case("left-out.csv", lines(["a", "b", "c", "y"], SIZE, range(N), range(N), CLASS), "'c' is left out, as --columns says",
             options={"columns": "c:out"}),
        case("leading-zeros.csv", lines(["zip", "a", "y"], [f"{v:05}" for v in (1234, 567, 99999, 12345)] * (N // 4), SIZE, CLASS),
             "begins with 0, as codes do",
             kinds={"zip": "categorical", "a": "numeric"}, values={"zip": {0: "01234", 1: "00567"}}),
        case("leading-zeros-told.csv", lines(["zip", "a", "y"], [f"{v:05}" for v in (1234, 567, 99999, 12345)] * (N // 4), SIZE, CLASS),
             kinds={"zip": "numeric", "a": "numeric"}, values={"zip": {0: 1234.0}}, options={"columns": "zip:number"}),
        case("ids-of-64-bits.csv", lines(["ref", "a", "y"], [2**60 + i // 4 for i in range(N)], SIZE, CLASS), "so many digits",
             kinds={"ref": "categorical", "a": "numeric"}, values={"ref": {0: str(2**60), 5: str(2**60 + 1)}}),
        case("yes-in-three-spellings.csv", lines(["smoker", "a", "y"], ["Yes", "YES", "yes", "No", "no"] * (N // 5), SIZE, CLASS),
             "in several ways",
             kinds={"smoker": "categorical", "a": "numeric"}, values={"smoker": {0: "YES", 1: "YES", 2: "YES", 3: "No", 4: "No"}}),
        case("spellings-kept-apart.csv", lines(["gene", "a", "y"], ["tP53", "TP53"] * (N // 2), SIZE, CLASS),
             kinds={"gene": "categorical", "a": "numeric"},
             values={"gene": {0: "tP53", 1: "TP53"}}, options={"columns": "gene:exact"}),
        case("target-in-three-spellings.csv", lines(["a", "b", "y"], SIZE, range(N), ["Yes", "YES", "no", "No"] * (N // 4)),
             "in several ways"),
        case("UPPER.CSV", plain), case("UPPER.TSV", plain.replace(",", "\t")),
        case("cp1252.csv", lines(["stadt", "a", "y"], ["Köln", "Münster"] * (N // 2), SIZE, CLASS).encode("cp1252"), "cp1252",
             kinds={"stadt": "categorical", "a": "numeric"}, values={"stadt": {0: "Köln"}}),
        case("latin-2-told.csv", lines(["miasto", "a", "y"], ["Łódź", "Gdańsk"] * (N // 2), SIZE, CLASS).encode("cp1250"),
             kinds={"miasto": "categorical", "a": "numeric"}, values={"miasto": {0: "Łódź"}}, options={"encoding": "cp1250"}),
        case("utf-16.csv", plain.encode("utf-16"), "UTF-16"),
        case("separated-by-tabs.csv", plain.replace(",", "\t")), case("separated-by-pipes.csv", plain.replace(",", "|")),
        case("separated-by-colons.csv", plain.replace(",", ":"), options={"separator": "colon"}),
        case("separated-by-blanks.dat", plain.replace(",", "   ")),
        case("semicolons-in-words.csv", lines(["note", "a", "y"], ["x;1", "z;2"] * (N // 2), SIZE, CLASS),
             kinds={"note": "categorical", "a": "numeric"}),
        case("quoted-newlines.csv", lines(["note", "a", "y"], ['"one\ntwo, three"', "four"] * (N // 2), SIZE, CLASS),
             kinds={"note": "categorical", "a": "numeric"}, values={"note": {0: "one\ntwo, three"}, "a": {5: SIZE[5]}}),
        case("inches.csv", lines(["pipe", "a", "y"], ['5" steel', '6" brass'] * (N // 2), SIZE, CLASS),
             kinds={"pipe": "categorical", "a": "numeric"},
             values={"pipe": {0: '5" steel'}}),
        case("same-name-twice.csv", lines(["a", "a", "y"], SIZE, range(N), CLASS), "a_2", kinds={"a": "numeric", "a_2": "numeric"}),
        case("packed.csv.gz", gzip.compress(plain.encode())), case("packed.csv.zip", zipped(plain)),
        case("empty.csv", "", error="is empty", kinds={}, values={}), case("names-only.csv", "a,b,y\n", error="has no rows"),
        case("no-text.csv", bytes(range(256)) * 4, error="is not text in UTF-8"),
    ]


def target_cases() -> list[Case]:
    gaps = ["" if i % 10 == 3 else c for i, c in enumerate(CLASS)]
    two = ["a|b", "b", "a", "b|c", "c"] * (N // 5)
    base: dict[str, Any] = {"kinds": {"a": "numeric", "b": "numeric"}}

    def case(name: str, y: list[Any], note: str = "", **more: Any) -> Case:
        return Case(name, lines(["a", "b", "y"], SIZE, range(N), y).encode(), **{**base, "note": note, **more})

    sentences = [f"This is the {i}th of many remarks, made by hand." for i in range(N)]
    return [
        case("target-with-gaps.csv", gaps, error="--drop-unlabelled", remedy={"drop_unlabelled": True}),
        case("target-with-gaps-dropped.csv", gaps, "4 of 40 rows have no 'y'", rows=36, values={"b": {3: 4.0}},
             options={"drop_unlabelled": True}),
        case("classes-that-are-numbers.csv", [i % 4 for i in range(N)], "predicted as classes; --columns y:number"),
        case("numbers-that-look-like-classes.csv", [i % 4 for i in range(N)], task="real", options={"columns": "y:number"}),
        case("ratings.csv", [1 + 2 * (i % 7) for i in range(N)], "predicted as a number; --columns y:word", task="real"),
        case("ratings-as-classes.csv", [1 + 2 * (i % 7) for i in range(N)], options={"columns": "y:word"}),
        case("several-targets.csv", SIZE[::-1], target="y,b", task="real", kinds={"a": "numeric"}),
        case("several-targets-with-gaps.csv", ["" if i % 10 == 3 else v for i, v in enumerate(SIZE)], target="b,y",
             error="--drop-unlabelled", remedy={"drop_unlabelled": True}),
        case("several-targets-of-two-kinds.csv", CLASS, target="b,y", error="'y' holds classes (no, yes). Train a run for it"),
        case("several-labels.csv", two, error="holds several labels in a row ('a|b')", remedy={"columns": "y:exact"}),
        case("labels-joined-and-alone.csv", ["a|b" if i % 9 == 0 else "ab"[i % 2] for i in range(N)],
             error="holds several labels in a row ('a|b')", remedy={"columns": "y:exact"}),
        case("classes-with-commas.csv", [f'"Main{i % 4}, north"' for i in range(N)]),
        Case("labels-in-an-input.csv", lines(["tags", "a", "y"], two, SIZE, CLASS).encode(), {"tags": "categorical", "a": "numeric"},
             note="'tags' holds several words in a row ('a|b'), and each combination is a category"),
        Case("series.csv", lines(["day", "y"], [np.datetime64("2024-01-01") + i for i in range(N)], SIZE).encode(), {"day": "date"},
             task="real", note="the inputs are dates alone"),
        Case("series-by-time.csv", lines(["day", "y"], [np.datetime64("2024-01-01") + i for i in range(N)], SIZE).encode(), target="day",
             error="holds dates; expected classes or numbers"),
        Case("sentences-alone.csv", lines(["review", "y"], [f'"{s}"' for s in sentences], CLASS).encode(), {"review": "text"},
             note="'review' holds sentences"),
        Case("names-alone.csv", lines(["who", "y"], [f'"Mr. {chr(65 + i % 26)}. Name{i}"' for i in range(N)], CLASS).encode(),
             error="no input column is left to learn from: 'who' holds"),
        Case("many-categories.csv", lines(["shop", "y"], [f"s{i % 300}" for i in range(1200)], CLASS * 30).encode(),
             {"shop": "categorical"}, {"shop": {299: "s299", 1199: "s299"}}, rows=1200),
        case("target-a-date.csv", [f"2020-01-{1 + i % 28:02}" for i in range(N)], error="holds dates; expected classes or numbers"),
        case("target-with-unit.csv", [f"{v:.2f} kg" for v in SIZE], "in kg", task="real"),
        case("target-decimal-comma.csv", [f'"{v:.2f}"'.replace(".", ",") for v in SIZE], "'y' is read as numbers", task="real"),
        Case("text.csv", lines(["review", "a", "y"], [f'"{s}"' for s in sentences], SIZE, CLASS).encode(),
             {"review": "text", "a": "numeric"}, note="'review' holds sentences"),
        Case("text-told.csv", lines(["review", "a", "y"], [f'"{s}"' for s in sentences], SIZE, CLASS).encode(),
             {"review": "text", "a": "numeric"}, options={"columns": "review:text"}, note="'review' holds sentences"),
        Case("misspelt-option.csv", lines(["age", "y"], range(N), CLASS).encode(), options={"columns": "age:numbr"},
             error="Did you mean number?"),
        Case("misspelt-column.csv", lines(["age", "y"], range(N), CLASS).encode(), options={"columns": "agee:number"},
             error="Did you mean age?"),
        Case("number-told-but-words.csv", lines(["age", "y"], ["old", "young"] * (N // 2), CLASS).encode(),
             options={"columns": "age:number"},
             error="row 1, column 'age': expected a number, as --columns says; got 'old'"),
        Case("same-mark-twice.csv", lines(["a", "y"], SIZE, CLASS).encode(), options={"separator": ",", "decimal": ","},
             error="--decimal and --separator are both ','"),
    ]




GROUPS: dict[str, Callable[[], list[Case]]] = {
    "numbers": number_cases, "dates": date_cases, "layout": layout_cases, "targets": target_cases, "kinds of file": kind_cases}
CASES = [case for make in GROUPS.values() for case in make()]


def write(folder: Path) -> list[Path]:
    """Every file into a folder; their paths in the order of CASES."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        (folder / case.name).write_bytes(case.content)
    return [folder / case.name for case in CASES]


if __name__ == "__main__":
    into = Path(sys.argv[1] if len(sys.argv) > 1 else "messy")
    paths = write(into)
    pl.DataFrame({"file": [c.name for c in CASES], "task": [c.task for c in CASES], "note": [c.note for c in CASES],
                  "error": [c.error for c in CASES], "options": [str(c.options or "") for c in CASES]}).write_csv(into / "index.csv")
    print(f"{len(paths)} files in {into}")
