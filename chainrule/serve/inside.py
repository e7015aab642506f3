"""What is inside a net: its layers as a graph, and of single units their weights and the rows that excite them most."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError, suggest
from chainrule.job.trained import Trained
from chainrule.observe.wiring import wiring
from chainrule.serve.drawing import few, name_of, pictures
from chainrule.serve.opened import Opened, Watch, leaves, signed

UNITS, ROWS, TOP = 16, 2000, 6
MOST_NODES = 400
BATCH = 250
WIDEST = 1024               # weights of a unit that are sent as numbers


def graph_of(opened: Opened, question: dict[str, Any]) -> dict[str, Any]:
    """The layers of a net and which reads which, found by following the derivative of its outputs back to its inputs."""
    trained = opened.trained(question)
    graph = wiring(trained.net.module, trained.ready(trained.encoder.inputs.blank(2)))
    nodes = [{"name": node.name, "kind": node.kind, "shape": list(node.shape), "parameters": node.parameters} for node in graph.nodes]
    return {"nodes": nodes[:MOST_NODES], "edges": [e for e in graph.edges if max(e) < MOST_NODES], "parameters": trained.net.count()}


def neurons(opened: Opened, question: dict[str, Any]) -> dict[str, Any]:
    """Of a layer its first units: their weights now, and the training rows that excite them most."""
    trained, data = opened.trained(question), opened.data(question)
    rows = few(data.train, ROWS)
    outputs = activations(trained, rows.x)
    able = [name for name, t in outputs.items() if t.dim() in (2, 4)]
    if not able:
        raise InputError("No layer of this net has units of one number, or maps, for a row.")
    name = question.get("layer") or able[0]
    if name not in able:
        raise InputError(f"There is no layer {str(name)[:60]!r} with units. {suggest(str(name), able)}")
    values = outputs[name].flatten(2).amax(2) if outputs[name].dim() == 4 else outputs[name]       # (n, units)
    count = min(UNITS, values.shape[1])
    weights = getattr(leaves(trained.net.module)[name], "weight", None)
    units = []
    for unit in range(count):
        top = values[:, unit].topk(min(TOP, len(values)))
        shown = pictures(trained, rows.x[top.indices]) if trained.encoder.inputs.picture_shape is not None else [None] * len(top.indices)
        listed = [{"value": float(v), "row": int(rows.rows[k]), "truth": name_of(trained, rows, int(k)), "picture": shown[i],
                   "numbers": None if shown[i] else _numbers(trained, rows.x[k])} for i, (v, k) in enumerate(zip(*top, strict=True))]
        units.append({"unit": unit, "weights": _weights(trained, weights, unit), "mean": float(values[:, unit].mean()),
                      "active": float((values[:, unit] > 0).float().mean()), "rows": listed})
    return {"layers": able, "layer": name, "of": values.shape[1], "units": units, "n": len(rows),
            "names": list(trained.encoder.inputs.feature_names)}


def activations(trained: Trained, x: Any) -> dict[str, Tensor]:
    """What every layer gives for stored rows, (n, ...) each."""
    module = trained.net.module.eval()
    blocks: dict[str, list[Tensor]] = {}
    for some in x.split(BATCH):
        with Watch(module) as watch:
            module(trained.ready(some.to(trained.device)))
        for name, output in watch.outputs.items():
            if output.dim() and len(output) == len(some):
                blocks.setdefault(name, []).append(output.cpu())
    return {name: torch.cat(several) for name, several in blocks.items()}


def _weights(trained: Trained, weights: Any, unit: int) -> dict[str, Any] | None:
    """The weights of a unit: a picture where they lie over one, else numbers."""
    if not isinstance(weights, Tensor) or weights.dim() not in (2, 4) or unit >= len(weights):
        return None
    own, shape = weights[unit].detach().float().cpu(), trained.encoder.inputs.picture_shape
    if own.dim() == 3:
        return {"picture": signed(own.mean(0))}
    if shape is not None and own.numel() == math.prod(shape):
        return {"picture": signed(own.reshape(shape).mean(0))}
    return {"numbers": [round(float(v), 5) for v in own[:WIDEST]]}


def _numbers(trained: Trained, x: Tensor) -> list[float]:
    return [round(float(v), 4) for v in x.flatten()[:8]]
