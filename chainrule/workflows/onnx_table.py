"""The encoding of a table's raw rows as ONNX operators: one input for each column, by its name, and one tensor of features out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule.data.dates import PARTS, Part
from chainrule.data.encode.columns import Column, Table
from chainrule.data.encode.features import Features, Fitted, hashed, places
from chainrule.data.encode.input_encoder import InputEncoder
from chainrule.data.formats import MISSING, folded

ML = "ai.onnx.ml"
FLOAT, DOUBLE, INT64, STRING = 1, 11, 7, 8  # as onnx.TensorProto numbers them
NAMES = {FLOAT: "float", DOUBLE: "double", INT64: "int64", STRING: "string"}
FINEST = 2**10   # a column whose mean is so many deviations from 0 loses digits that count in single precision
PROBES = 256     # rows that try the words of all columns, at most
ANSWERS = ("label", "probabilities", "prediction")  # names that outputs have


@dataclass(frozen=True)
class Input:
    """One input of the graph, (n, 1): a column of the table, the name it has there, and what its elements are."""

    column: Fitted
    name: str
    element: int

    @property
    def record(self) -> dict[str, Any]:
        """What a reader of the model has to know of it."""
        means = {"categorical": "a word; \"\" is a missing value", "ordered": "one of the categories; \"\" is a missing value",
                 "boolean": "1 for yes, 0 for no, NaN for a missing value", "numeric": "a number; NaN is a missing value",
                 "date": "days since 1970-01-01, with the time of day as a fraction; NaN is a missing value"}
        record = {"column": self.column.name, "input": self.name, "type": NAMES[self.element], "kind": self.column.kind,
                  "value": means[self.column.kind]}
        return record if not self.column.categories else {**record, "categories": list(self.column.categories)}


class Nodes:
    """Operators and constants of a graph, each result under a name of its own."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any) -> str:
        """The name of an array, or of words, in the graph."""
        from onnx import numpy_helper

        name = f"{self.prefix}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, operator: str, *inputs: str, attributes: dict[str, Any] | None = None, domain: str = "", out: str | None = None) -> str:
        """The name of what an operator makes of its inputs."""
        from onnx import helper

        name = out or f"{self.prefix}{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], domain=domain, **(attributes or {})))
        return name


def inputs_of(features: Features) -> list[Input]:
    """The graph's inputs, in the order of the columns: words as strings, numbers as floats, doubles where floats are too coarse."""
    made = []
    for column, (centre, factor, _) in zip(features.columns, features.scale.tolist(), strict=True):
        fine = column.kind == "date" or abs(centre) * factor > FINEST
        element = STRING if column.kind in ("categorical", "ordered") else DOUBLE if fine else FLOAT
        made.append(Input(column, f"input {column.name}" if column.name in ANSWERS else column.name, element))
    return made


def encode_table(nodes: Nodes, features: Features, inputs: Sequence[Input], out: str) -> None:
    """Add what makes features (n, d), called `out`, of the raw columns: the arithmetic of `Features.encode`."""
    parts: list[str] = []
    for one, scale in zip(inputs, features.scale, strict=True):
        parts += _words(nodes, one) if one.column.kind == "categorical" else _numbers(nodes, one, scale)
    nodes.add("Concat", *parts, attributes={"axis": 1}, out=out)


def _words(nodes: Nodes, one: Input) -> list[str]:
    """A word as its category's input, or the two that a rare one shares, or none where training never saw it."""
    column = one.column
    own, rare = len(column.categories), len(column.rare)
    code, missing = _codes(nodes, one, (*column.categories, *column.rare))
    parts = [_as_float(nodes, nodes.add("Equal", code, nodes.constant(np.arange(own)[None])))] if own else []  # (n, own)
    if column.shared:
        pairs = np.full((own + rare + 2, 2), -1)             # of words with an input of their own, unseen and missing ones: none
        pairs[own : own + rare] = [hashed(word, column.shared) for word in column.rare]
        shared = nodes.constant(np.arange(column.shared)[None])
        first, second = (nodes.add("Equal", nodes.add("Gather", nodes.constant(pairs[:, i]), code), shared) for i in (0, 1))
        parts.append(_as_float(nodes, nodes.add("Or", first, second)))
    return [*parts, _as_float(nodes, missing)] if column.indicator else parts


def _numbers(nodes: Nodes, one: Input, scale: Tensor) -> list[str]:
    """A number, or the rank of an ordered category, filled in and scaled in double precision; of a date, the parts of it too."""
    column = one.column
    centre, factor, fill = (nodes.constant(np.array([[v]], dtype=np.float64)) for v in scale.tolist())
    if column.kind == "ordered":
        code, _ = _codes(nodes, one, column.categories)
        most = max(len(column.categories) - 1, 1)
        ranks = np.array([*(i / most for i in range(len(column.categories))), np.nan, np.nan])
        raw = nodes.add("Gather", nodes.constant(ranks), code)
    else:
        raw = nodes.add("Cast", one.name, attributes={"to": DOUBLE})
    missing = nodes.add("IsNaN", raw)
    value = nodes.add("Where", missing, fill, raw)
    parts = [_as_float(nodes, nodes.add("Mul", nodes.add("Sub", value, centre), factor))]
    for part in column.parts:
        zero = nodes.constant(np.zeros((1, 1)))
        angle = nodes.add("Mul", _part(nodes, value, part), nodes.constant(np.array([[2 * np.pi / PARTS[part]]])))
        later = nodes.add("Add", angle, nodes.constant(np.array([[np.pi / 2]])))   # the cosine is the sine a quarter turn on
        parts += [_as_float(nodes, nodes.add("Where", missing, zero, nodes.add("Sin", place))) for place in (angle, later)]
    return [*parts, _as_float(nodes, missing)] if column.indicator else parts


def _codes(nodes: Nodes, one: Input, seen: tuple[str, ...]) -> tuple[str, str]:
    """Which of the words that training saw a string is (n, 1), or their number for any other and one more where missing; where missing.

    Words are known in the spelling of training and the usual ones beside: small, large, with a capital.
    """
    if one.column.kind == "ordered":
        spelt: dict[str, int] = {}
    else:
        every = list(dict.fromkeys(s for w in seen for s in (w, w.lower(), w.upper(), w.capitalize(), w.title(), folded(w))))
        spelt = dict(zip(every, places(one.column, every).tolist()))   # the last place, of a missing word, stays over
    spelt |= {**dict.fromkeys(MISSING, len(seen) + 1), **{word: i for i, word in enumerate(seen)}}
    attributes = {"keys_strings": list(spelt), "values_int64s": list(spelt.values()), "default_int64": len(seen)}
    code = nodes.add("LabelEncoder", one.name, attributes=attributes, domain=ML)
    return code, nodes.add("Equal", code, nodes.constant(np.array([[len(seen) + 1]])))


def _as_float(nodes: Nodes, name: str) -> str:
    return nodes.add("Cast", name, attributes={"to": FLOAT})


def _part(nodes: Nodes, days: str, part: Part) -> str:
    """Days since 1970 as a place in a turn, as `dates.part_of` gives it.

    Months after Hinnant (2014), https://howardhinnant.github.io/date_algorithms.html: years begin in March, so that leap days end them.
    """
    def number(operator: str, left: str, right: float) -> str:
        return nodes.add(operator, left, nodes.constant(np.array([[float(right)]])))

    def whole(left: str, right: float) -> str:
        return nodes.add("Floor", number("Div", left, right))

    def rest(left: str, right: float) -> str:
        return nodes.add("Sub", left, number("Mul", whole(left, right), right))

    day = nodes.add("Floor", days)
    if part == "hour":
        return number("Mul", nodes.add("Sub", days, day), 24)
    if part == "weekday":
        return rest(number("Add", day, 3), 7)
    of_era = rest(number("Add", day, 719468), 146097)                # 400 years from March on
    leaps = nodes.add("Sub", nodes.add("Add", nodes.add("Sub", of_era, whole(of_era, 1460)), whole(of_era, 36524)), whole(of_era, 146096))
    year = whole(leaps, 365)
    before = nodes.add("Sub", nodes.add("Add", number("Mul", year, 365), whole(year, 4)), whole(year, 100))
    of_year = nodes.add("Sub", of_era, before)
    return rest(number("Add", whole(number("Add", number("Mul", of_year, 5), 2), 153), 2), 12)


def raw_rows(encoder: InputEncoder, x: Tensor, inputs: Sequence[Input]) -> tuple[Table, dict[str, np.ndarray]]:
    """Encoded rows (n, d) as raw ones again, and rows that try words, unknown ones and gaps: a table, and what the graph reads."""
    features = encoder.features
    assert features is not None
    most = max([len(one.column.categories) + len(one.column.rare) for one in inputs])
    count = min(max(most, 4), PROBES)
    x = torch.cat([x, x[torch.arange(count) % len(x)]]).double()      # (n + count, d)
    probe = torch.arange(len(x)) - (len(x) - count)                   # (n + count,): below 0 for the rows of the data
    columns, feeds, at = [], {}, 0
    for one, scale in zip(inputs, features.scale, strict=True):
        width = len(one.column.outputs)
        column, raw = _decoded(one, scale, x[:, at : at + width], probe)
        columns.append(column)
        feeds[one.name] = raw[:, None]
        at += width
    return Table(tuple(columns)), feeds


def _decoded(one: Input, scale: Tensor, x: Tensor, probe: Tensor) -> tuple[Column, np.ndarray]:
    """A column of encoded rows (n, width) as raw values (n,), with a gap in the first probe and an unknown word in the second."""
    column = one.column
    missing = probe == 0
    if column.indicator:
        missing |= x[:, -1] > 0.5
    if column.kind == "categorical":
        seen = (*column.categories, *column.rare)
        strange = "unknown word"
        while places(column, [strange])[0] >= 0 or strange in MISSING:
            strange += "?"
        hot = x[:, : len(column.categories)]
        known = hot.sum(1) > 0.5
        codes = torch.where(known, hot.argmax(1) if len(column.categories) else 0, len(seen))
        codes = torch.where(probe >= 2, probe % len(seen), torch.where(probe == 1, len(seen), codes))
        return _worded(one, torch.where(missing, -1, codes), (*seen, strange))
    centre, factor, _ = scale.tolist()
    values = x[:, 0] / factor + centre if factor else torch.full((len(x),), centre, dtype=torch.float64)
    if column.kind == "ordered":
        most = max(len(column.categories) - 1, 1)
        return _worded(one, torch.where(missing, -1, (values * most).round().long().clamp(0, most)), column.categories)
    if column.kind == "boolean":
        values = values.round()
    values = torch.where(missing, torch.nan, values)
    raw = values.numpy().astype(np.float32 if one.element == FLOAT else np.float64)
    return Column(column.name, column.kind, torch.from_numpy(raw.astype(np.float64))), raw


def _worded(one: Input, codes: Tensor, words: tuple[str, ...]) -> tuple[Column, np.ndarray]:
    raw = np.array([*words, ""], dtype=object)[codes.numpy()]
    return Column(one.column.name, one.column.kind, codes, words), raw

