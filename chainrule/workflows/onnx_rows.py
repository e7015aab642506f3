"""A trained net as a file: as ONNX a graph from raw rows to answers, with what must be known of it inside; else the net alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chainrule import __version__
from chainrule.core.duplicate import duplicate
from chainrule.core.errors import InputError
from chainrule.data.encode.input_encoder import silent as to_nobody
from chainrule.data.readers.download import to_stderr
from chainrule.engine.infer.inference import single
from chainrule.job.trained import Trained
from chainrule.runs.validation import Validation
from chainrule.tasks.classification import Classification
from chainrule.tasks.regression import Regression
from chainrule.workflows.export import TOLERANCE, export, onnx_content, onnx_model, onnx_runner, silent, write_proven
from chainrule.workflows.onnx_table import FLOAT, INT64, ML, NAMES, STRING, Nodes, encode_table, inputs_of, raw_rows

UINT8 = 2
ROWS = "rows"
NET, ENCODING, ANSWER = "net/", "encoding/", "answer/"  # what names of the graph's parts begin with
ML_VERSION = 3


def exported(trained: Trained, validation: Validation, record: Mapping[str, Any], to: str, out: Path) -> tuple[Path, float]:
    """Write a trained net as `onnx`, `pt2` or `safetensors`; the path, and the largest difference of an answer on rows of its data.

    An ONNX file reads raw rows, and answers with classes or in the units of the data; where that cannot be, and in the other formats, the
    net reads encoded rows, which is told.
    """
    if to == "onnx":
        why = encoded_only(trained)
        if not why:
            if trained.views is not None:
                to_stderr(f"{out} answers rows as they are; the run answers by the mean over {len(trained.views)} views of each.")
            return out, export_rows(trained, validation, record, out)
        to_stderr(f"{out} reads encoded rows and gives the net's own outputs: {why}.")
    x = trained.ready(validation.inputs.to(trained.device))
    return out, export(trained.net.module, x[:2], out, to, x)  # type: ignore[arg-type]


def encoded_only(trained: Trained) -> str:
    """Why a net cannot be written for raw rows; empty where it can."""
    if trained.encoder.inputs.kind == "symbols":
        return "text and sequences are not encoded in ONNX"
    features = trained.encoder.inputs.features
    if features is not None and any(column.kind == "text" for column in features.columns):
        return "the words of a column of sentences are not counted in ONNX"
    if trained.encoder.inputs.kind == "codes":
        return "the whole numbers that it looks up in an embedding need no encoding"
    if not isinstance(trained.task, Classification | Regression):
        return f"only classification and regression are answered in ONNX, and its task is {trained.task.name}"
    return ""


class Answering(nn.Module):
    """A net from features of a table, pixels or arrays as they come to its answers, and the class decided for where there are classes."""

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.module = duplicate(trained.net.module).cpu().eval()
        self.trained = trained

    def forward(self, x: Tensor) -> Any:
        inputs, task = self.trained.encoder.inputs, self.trained.task
        stored = x if inputs.kind == "table" else inputs.scaled(x)
        answer = self.trained.answer(single(self.module(self.trained.ready(stored)))).float()
        return (answer, task.decided(answer)) if isinstance(task, Classification) else answer


def export_rows(trained: Trained, validation: Validation, record: Mapping[str, Any], out: Path) -> float:
    """Write a graph for raw rows to `out` and return the greatest difference of its answers, tried on rows of the validation part.

    These are decoded to raw rows, with others beside that have every word, unknown ones and gaps. Nothing is written where answers differ
    by more than 1e-5 of the largest, or a label is not the one that its probabilities say.
    """
    rows = validation.inputs
    if not len(rows):
        raise InputError("export proves the file on the data's own rows and got none. Name data that has some.")
    with torch.no_grad(), silent():
        net, encoder, name = Answering(trained), trained.encoder.inputs, type(trained.net.module).__name__
        if encoder.features is not None:
            inputs = inputs_of(encoder.features)
            table, feeds = raw_rows(encoder, rows, inputs)
            example = encoder.encode(table, say=to_nobody)
        else:
            example = _unscaled(trained, rows)
            feeds = {_input_name(trained): example.numpy()}
        expected = net(example)
        content = onnx_content(_model(trained, net, example[:2], validation, record), name)
        answers = onnx_runner(content, name)(feeds)
    expected = expected[0] if isinstance(expected, tuple) else expected
    answer = torch.from_numpy(answers[-1])
    gaps = (answer.double() - expected.double()).abs().masked_fill(answer.isnan() & expected.isnan(), 0).nan_to_num(nan=torch.inf)
    difference = float(gaps.max())
    if isinstance(trained.task, Classification):
        labels = _classes(trained.task.classes)[trained.task.decided(answer).numpy()]
        if not (labels == answers[0]).all():
            difference = float("inf")
    largest = 1.0 if isinstance(trained.task, Classification) else float(expected.abs().nan_to_num().max())
    write_proven(content, out, "onnx", difference, TOLERANCE * largest)
    return difference


def _unscaled(trained: Trained, rows: Tensor) -> Tensor:
    """Stored rows of pixels or of arrays as they came."""
    encoder = trained.encoder.inputs
    rows = rows.cpu().reshape(-1, *encoder.shape)
    if encoder.scale is None or encoder.kind == "pixels":
        return rows
    centre, factor = encoder.scale
    raw: Tensor = rows.double() / torch.where(factor == 0, 1.0, factor) + centre
    return raw.float()


def _input_name(trained: Trained) -> str:
    """What the one input of rows that are no table is called."""
    return "pixels" if trained.encoder.inputs.kind == "pixels" else "input"


def _classes(classes: tuple[str, ...]) -> np.ndarray:
    """Names of classes (classes,): whole numbers where all of them are."""
    whole = all(name.removeprefix("-").isdecimal() and str(int(name)) == name and abs(int(name)) < 2**63 for name in classes)
    return np.array([int(name) for name in classes], dtype=np.int64) if whole else np.array(classes, dtype=object)


def _model(trained: Trained, net: Answering, example: Tensor, validation: Validation, record: Mapping[str, Any]) -> Any:
    """The whole model: encoding, net, answer, and what must be known of it."""
    from onnx import checker, compose, helper

    task, encoder = trained.task, trained.encoder.inputs
    decides = isinstance(task, Classification)
    core = onnx_model(net, example, ["features"], ["answer", "class"] if decides else ["answer"],
                      type(trained.net.module).__name__)
    core = compose.add_prefix(core, NET)
    before, after = Nodes(ENCODING), Nodes(ANSWER)
    if encoder.features is not None:
        inputs = inputs_of(encoder.features)
        encode_table(before, encoder.features, inputs, f"{NET}features")
        described = [one.record for one in inputs]
        values = [helper.make_tensor_value_info(one.name, one.element, [ROWS, 1]) for one in inputs]
    else:
        name, element = _input_name(trained), UINT8 if encoder.kind == "pixels" else FLOAT
        before.add("Identity", name, out=f"{NET}features")
        values = [helper.make_tensor_value_info(name, element, [ROWS, *encoder.shape])]
        described = [{"input": name, "type": {UINT8: "uint8", **NAMES}[element], "shape": list(encoder.shape),
                      "value": f"pixels from 0 to {encoder.maximum:g}" if encoder.kind == "pixels" else "numbers"}]
    outputs = []
    if decides:
        classes = _classes(task.classes)
        after.add("Gather", after.constant(classes), f"{NET}class", out="label")
        outputs.append(helper.make_tensor_value_info("label", STRING if classes.dtype == object else INT64, [ROWS]))
    last = "probabilities" if decides else "prediction"
    after.add("Identity", f"{NET}answer", out=last)
    outputs.append(helper.make_tensor_value_info(last, FLOAT, [ROWS, task.outputs if not decides else len(task.classes)]))
    graph = helper.make_graph([*before.nodes, *core.graph.node, *after.nodes], "chainrule", values, outputs,
                              [*before.constants, *core.graph.initializer, *after.constants])
    domains = [*(one for one in core.opset_import if one.domain != ML), helper.make_opsetid(ML, ML_VERSION)]
    model = helper.make_model(graph, producer_name="chainrule", producer_version=__version__, opset_imports=domains,
                              functions=list(core.functions), ir_version=core.ir_version)
    helper.set_model_props(model, _properties(trained, described, validation, record))
    checker.check_model(model)
    return model


def _properties(trained: Trained, inputs: list[dict[str, Any]], validation: Validation, record: Mapping[str, Any]) -> dict[str, str]:
    """What a reader of the model has to know, each a text or JSON."""
    task = trained.task
    about = {"library": "chainrule", "library_version": __version__, "task": task.name, "net": trained.net_name,
             "data": record["data"]["name"], "data_fingerprint": record["data"]["fingerprint"]}
    parts: dict[str, Any] = {"columns" if trained.encoder.inputs.kind == "table" else "inputs": inputs}
    if isinstance(task, Classification):
        parts["classes"] = _classes(task.classes).tolist()
        if task.threshold is not None:
            parts["threshold"] = {"class": task.classes[task.threshold.positive], "value": task.threshold.value}
    else:
        parts["targets"] = list(trained.columns(task.outputs))
    if validation.result is not None:
        parts["validation"] = {"rows": validation.result.n, **{name: m.value for name, m in validation.result.measures.items()}}
    return about | {name: json.dumps(value, ensure_ascii=False) for name, value in parts.items()}
