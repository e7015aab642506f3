"""How much memory training takes, against the data set, three times the parameters and one batch of activations."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.bench.harness import FEWEST_REPEATS, Spread, aligned, in_turns, python, tell, verdict
from chainrule.data.load import load
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.workflows.train import train

OPTIONS: dict[str, Any] = {"net": "lenet", "batch": 50, "steps": 50, "optimizer": "sgd:rate=0.05", "plan": "eager", "threads": 1}
SIDES = ("library", "loads", "trains")
MEGABYTE = 2**20


def child(side: str) -> None:
    """In a process of its own: warm the library up; for `loads` read and split MNIST; for `trains` train on it. Prints the peak."""
    torch.set_num_threads(1)
    pictures = torch.rand(2, 1, 28, 28, requires_grad=True)  # what a library keeps after its first convolution is not the run's
    F.cross_entropy(F.conv2d(pictures, torch.rand(20, 1, 5, 5)).relu().mean((2, 3)), torch.tensor([0, 1])).backward()
    __import__("chainrule.evaluate.measures")
    sizes: dict[str, int] = {}
    if side == "loads":
        sizes["rows"] = len(build(load("mnist"), Options(**OPTIONS)).data.train)
    elif side == "trains":
        source = load("mnist")
        with tempfile.TemporaryDirectory() as folder:
            run = train(source, **OPTIONS, out=f"{folder}/run", progress=False)
        sizes["peak"] = peak()
        batch = run.job.data.ready(run.job.data.train.x[: OPTIONS["batch"]])
        sizes["data set"] = source.inputs.nbytes + source.targets.nbytes
        sizes["3 x parameters"] = 3 * sum(p.nbytes for p in run.net.parameters())
        sizes["a batch of activations"] = activations(run.net, batch)
    print(json.dumps({"peak": peak(), **sizes}))


def peak() -> int:
    """The most this process ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def activations(module: nn.Module, x: Tensor) -> int:
    """Bytes of a batch and of what every layer makes of it; a view of what is there already is not counted again."""
    outputs = [x]  # all of them, so that no memory is used twice
    layers = [m for m in module.modules() if not list(m.children())]
    hooks = [layer.register_forward_hook(lambda _layer, _inputs, output: outputs.append(output)) for layer in layers]
    with torch.no_grad():
        module(x)
    for hook in hooks:
        hook.remove()
    return sum({t.untyped_storage().data_ptr(): t.nbytes for t in outputs}.values())


def main(repeats: int = FEWEST_REPEATS, record: bool = False) -> None:
    """Peak resident memory of training LeNet on MNIST at batch 50, against what it needs."""
    measured = in_turns({side: partial(_measured, side) for side in SIDES}, repeats)
    peaks = {side: [f["peak"] for f in each] for side, each in measured.items()}
    needs = {name: size for name, size in measured["trains"][-1].items() if name != "peak"}
    rows = [["peak of a fresh process, MB, median (least to most)", "", "over the line above"]]
    for above, side in zip((None, *SIDES), SIDES, strict=False):
        over = Spread.of([a - b for a, b in zip(peaks[side], peaks[above], strict=True)]).shown(".1f", 1 / MEGABYTE) if above else ""
        rows.append([side, Spread.of(peaks[side]).shown(".1f", 1 / MEGABYTE), over])
    grown = Spread.of([a - b for a, b in zip(peaks["trains"], peaks["library"], strict=True)]).middle / MEGABYTE
    allowed = sum(needs.values()) / MEGABYTE
    parts = " + ".join(f"{name} {size / MEGABYTE:.1f}" for name, size in needs.items())
    options = " ".join(f"{k} {v}," for k, v in OPTIONS.items())
    tell("memory", [f"{repeats} rounds in turns; MNIST, {options} run folder saved, validated once", "", *aligned(rows), "",
                    f"needed: {parts} = {allowed:.1f} MB",
                    f"training over the library: {grown:.1f} MB; {verdict(grown <= allowed, f'at most {allowed:.1f} MB')}"], record)


def _measured(side: str) -> dict[str, int]:
    measured: dict[str, int] = json.loads(python(f"from chainrule.bench.memory import child; child({side!r})"))
    return measured
