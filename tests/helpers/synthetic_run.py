"""A run folder made by hand: a record and a log of events as training writes them, with looks at a gradient that vanishes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from chainrule.core.events import Diagnosed, Evaluated, Event, Finished, Looked, Planned, Progressed, Saved, Started, Warned
from chainrule.sinks.runlog import RunLog

LAYERS = (*(f"hidden{i}" for i in range(1, 9)), "output")


def looks(step: int, layers: tuple[str, ...] = LAYERS, vanishing: bool = True) -> dict[str, Any]:
    """What a look would say: a gradient that is ten times smaller a layer below, or hardly smaller."""
    n = len(layers)
    gradient = [10.0 ** (-(n - 1 - i) * (0.9 if vanishing else 0.02)) * 0.1 * math.exp(-step / 4000) for i in range(n)]
    counts = [[int(40 * math.exp(-((b - 31 * (math.log10(g) + 9) / 12) ** 2) / 6)) for b in range(32)] for g in gradient]
    return {"layers": list(layers), "kinds": ["Linear + Sigmoid"] * (n - 1) + ["Linear"], "gradient": gradient,
            "weight_gradient": [g * 0.3 for g in gradient], "activation_mean": [0.5] * (n - 1) + [None],
            "activation_sd": [0.02 + 0.2 * i / n for i in range(n)], "zero": [0.0] * n, "dead": [0.0] * (n - 1) + [None],
            "saturated": [0.01] * n,
            "weight": [1.0] * n, "spectrum": [0.9] * n, "update": [g * 1e-2 for g in gradient],
            "histograms": {"gradient": counts, "activation": [[1] * 32] * n}, "loss": 2.3, "evaluated_loss": 2.31, "norm": sum(gradient),
            "units": {layers[0]: [[math.sin(k * 0.3 + step / 200) * (1 + step / 500) for k in range(16)] for _ in range(4)]}}


def events(name: str = "run", epochs: int = 6, steps: int = 50, vanishing: bool = True, finished: bool = True) -> list[Event]:
    """The events of a run of so many epochs."""
    listed: list[Event] = []

    def add(kind: type[Any], **fields: Any) -> None:
        listed.append(kind(at=len(listed), seconds=round(0.05 * len(listed), 3), **fields))

    add(Started, run=name, net="mlp:hidden=10x10", rule="backprop", parameters=1234,
        data={"name": "digits", "n": 1797, "splits": {"train": 1258, "valid": 270, "test": 269}, "inputs": [1, 8, 8],
              "classes": ["0", "1"], "task": "classification"}, settings={"seed": 0})
    add(Planned, name="eager", precision="fp32", seconds_per_step=1e-3, steps_per_chunk=10, rejected=[], reason="The fastest of two.")
    add(Looked, step=0, looks=looks(0, vanishing=vanishing))
    for epoch in range(1, epochs + 1):
        for k in range(0, steps, 5):
            step = (epoch - 1) * steps + k + 5
            level = 2.3 if vanishing else 2.3 * math.exp(-step / 150) + 0.1
            add(Progressed, epoch=epoch - 1, step=step, steps=epochs * steps, loss=level + 0.08 * math.sin(step * 1.7),
                steps_per_second=900.0, remaining=1.0)
            if k % 20 == 0:
                add(Looked, step=step, looks=looks(step, vanishing=vanishing))
        step = epoch * steps
        share = 0.1 if vanishing else 1 - 0.9 * math.exp(-step / 120)
        add(Evaluated, epoch=epoch, step=step, train={"loss": 2.3 if vanishing else 2.3 * math.exp(-step / 150) + 0.1},
            valid={"loss": 2.31 if vanishing else 2.3 * math.exp(-step / 160) + 0.14, "accuracy": share},
            best=epoch == epochs or not vanishing)
        add(Saved, epoch=epoch, step=step, path=f"{name}/last.safetensors", best=True)
        if vanishing and epoch == 1:
            add(Diagnosed, code="D15", layer="hidden1", evidence="the gradient is 3.1e-9 of what it is at the output, at steps 0 to 50",
                remedy="--net mlp:hidden=10x10,activation=relu --init he")
    add(Warned, message="A note about <b>the data</b>.")
    if finished:
        add(Finished, reason="budget", epochs=epochs, steps=epochs * steps, best_epoch=epochs, best={"loss": 0.2, "accuracy": 0.93},
            timing={"training": 3.0, "compiling": 0.0}, stage_steps=[epochs * steps])
    return listed


def write_run(folder: Path, *, net: str = "mlp:hidden=10x10", classes: tuple[str, ...] = ("0", "1"), options: dict[str, Any] | None = None,
              **about: Any) -> Path:
    """A folder with the record and the log of such a run; it has no weights."""
    folder.mkdir(parents=True)
    record = {"run": "abc", "net": net, "rule": "backprop", "parameters": 1234, "created": "2026-01-01T00:00:00+0000",
              "options": {"net": net, "seed": 0, "optimizer": "sgd:rate=0.1", **(options or {})},
              "data": {"name": "digits", "n": 1797, "task": "classification", "inputs": [1, 8, 8], "classes": list(classes),
                       "splits": {"train": 1258, "valid": 270, "test": 269}},
              "versions": {"torch": "2.13.0"}, "machine": {"system": "Linux", "cores": 2}}
    (folder / "run.json").write_text(json.dumps(record))
    with RunLog(folder / "log.jsonl") as log:
        for event in events(str(folder), **about):
            log(event)
    return folder
