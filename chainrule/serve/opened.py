"""The runs that questions are about, opened when they are asked for and again when their weights have changed."""

from __future__ import annotations

import base64
import os
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.data.source import Data
from chainrule.engine.store import BEST, LAST
from chainrule.job.job import Job
from chainrule.job.trained import Trained
from chainrule.serve.folders import Runs
from chainrule.workflows.run import Run

MOST_OPEN = 4


class Opened:
    """A few runs by their names, the latest asked for last; their data are read once."""

    def __init__(self, runs: Runs):
        self.runs = runs
        self._nets: OrderedDict[str, tuple[tuple[int, ...], Trained]] = OrderedDict()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self.usual: dict[str, Tensor] = {}       # how far validation pictures are from the nearest one of training, by run

    def folder(self, question: dict[str, Any]) -> Path:
        """The folder of the run that a question is about. Raises InputError where there is none."""
        path = self.runs.find(str(question.get("run", "")))
        if path is None:
            raise InputError("There is no such run.")
        return path

    def trained(self, question: dict[str, Any]) -> Trained:
        """The net with its best weights so far."""
        path = self.folder(question)
        stamp = tuple(os.stat(path / name).st_mtime_ns if (path / name).exists() else 0 for name in (BEST, LAST))
        name = str(path)
        if name not in self._nets or self._nets[name][0] != stamp:
            if not any(stamp):
                raise InputError("This run has saved no weights yet. Wait for its first checkpoint.")
            self._nets[name] = stamp, Trained.open(path)
        self._nets.move_to_end(name)
        while len(self._nets) > MOST_OPEN:
            self._nets.popitem(last=False)
        return self._nets[name][1]

    def data(self, question: dict[str, Any]) -> Data:
        """The data that a run was trained on, read and divided as it was then. Raises InputError where they are gone."""
        return self._fresh(question).data

    def job(self, question: dict[str, Any]) -> Job:
        """The job of a run with its best weights so far. Raises InputError where its data are gone."""
        return replace(self._fresh(question), trained=self.trained(question))

    def _fresh(self, question: dict[str, Any]) -> Job:
        name = str(self.folder(question))
        if name not in self._jobs:
            self._jobs[name] = Run(name).fresh_job()
        self._jobs.move_to_end(name)
        while len(self._jobs) > MOST_OPEN:
            self._jobs.popitem(last=False)
        return self._jobs[name]


def picture(pixels: Tensor) -> dict[str, Any]:
    """Pixels (channels, height, width) or (height, width) of uint8 as the page reads them."""
    whole = pixels[None] if pixels.dim() == 2 else pixels
    return {"c": whole.shape[0], "h": whole.shape[1], "w": whole.shape[2],
            "data": base64.b64encode(whole.to(torch.uint8).contiguous().numpy().tobytes()).decode()}


def signed(values: Tensor) -> dict[str, Any]:
    """Numbers (height, width) as a picture about zero, which is 128, and the greatest size that 255 stands for."""
    most = float(values.abs().max()) or 1.0
    return {**picture((values / most * 127 + 128).round().clamp(0, 255)), "most": most}


def leaves(module: nn.Module) -> dict[str, nn.Module]:
    """The layers of a net that have no parts, by name, in the order in which they were registered."""
    return {name or "(net)": part for name, part in module.named_modules() if next(part.children(), None) is None}


class Watch:
    """Outputs (n, ...) of the layers of a net while rows pass through it, by name in the order in which they ran."""

    def __init__(self, module: nn.Module):
        self.outputs: dict[str, Tensor] = {}
        self._hooks = [part.register_forward_hook(self._noting(name)) for name, part in leaves(module).items()]

    def _noting(self, name: str) -> Any:
        def note(_: nn.Module, __: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple | list) else output
            if isinstance(first, Tensor) and first.is_floating_point():
                self.outputs.pop(name, None)
                self.outputs[name] = first.detach().clone()

        return note

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
