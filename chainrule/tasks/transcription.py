"""Transcription: a string of symbols read off the frames of a sequence, without knowing where each symbol is.

Graves, Fernandez, Gomez & Schmidhuber (2006), https://doi.org/10.1145/1143844.1143891
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion, OneLoss
from chainrule.core.errors import InputError
from chainrule.core.loss import Loss
from chainrule.core.registry import tasks
from chainrule.core.steps import until_last
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.source import Part, Source
from chainrule.evaluate.strings import best_path
from chainrule.tasks.strings import StringTask
from chainrule.tasks.task import Runner, ready_blocks

SURE = 1e4  # the score of a blank that is certain


def has_strings(source: Source) -> bool:
    return source.target_kind == "labels" and not isinstance(source.inputs, Symbols)


@dataclass(frozen=True)
class Aligned(OneLoss):
    """The loss of strings given all frames of each sequence that exist: those up to the last that is not zero."""

    def costs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The loss (n,) of outputs (n, t, symbols + 1)."""
        return self.loss.each(ended(outputs, batch.x), batch.y)


def present(x: Tensor) -> Tensor:
    """The frames (n, t) of x (n, t, d) that exist: those up to the last that is not zero."""
    return until_last((x != 0).any(2))


def ended(outputs: Tensor, x: Tensor) -> Tensor:
    """Outputs (n, t, symbols + 1) that say nothing past the last frame of x (n, t, d) that is not zero."""
    blank = torch.zeros_like(outputs[0, 0])
    blank[-1] = SURE
    return torch.where(present(x)[..., None], outputs, blank)


@tasks("transcription", source="Graves, Fernandez, Gomez & Schmidhuber (2006), https://doi.org/10.1145/1143844.1143891",
       targets=("labels", "steps"), usual=has_strings, steps=True, net="lstm:hidden=64,bidirectional=yes", rule="backprop")
class Transcription(StringTask):
    """Which symbols a sequence of frames says, in order; answers are their numbers (n, t), filled up with -1."""

    name: ClassVar[str] = "transcription"
    loss: ClassVar[str | None] = "ctc"

    @staticmethod
    def read(source: Source, window: int, targets: bool = True) -> Source:
        """Sequences of frames with strings: pictures become their columns, from left to right.

        Raises InputError for other data, and naming the first row whose string is longer than its frames can say.
        """
        x = source.inputs
        if isinstance(x, Tensor) and x.dim() == 4 and x.shape[1] == 1:
            x = x[:, 0].transpose(1, 2).contiguous()                                     # (n, width, height)
        if not isinstance(x, Tensor) or x.dim() != 3 or (targets and source.target_kind not in ("labels", "steps")):
            raise InputError(f"transcription reads strings off pictures or sequences of frames; {source.name} holds none. Give e.g. "
                             "strips, or leave out --task.")
        if not targets or source.targets is None:
            return replace(source, inputs=x, targets=None, target_kind="none")
        _refuse_long(x, source.targets, source.name)
        return replace(source, inputs=x, target_kind="labels")

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None if loss is None else Aligned(loss)

    @torch.no_grad()
    def raw(self, runner: Runner, part: Part, expected: int | None = None) -> Tensor:
        return torch.cat([ended(runner.net(x), x).float().cpu() for x in ready_blocks(runner, part)])

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        return best_path(raw)

    def posteriors(self, outputs: Tensor, x: Tensor) -> Tensor:
        """How probable each symbol, and none, is at every frame (n, t, symbols + 1); zero past the last one that is not zero."""
        return torch.where(present(x)[..., None], outputs.softmax(-1), 0.0)


def _refuse_long(x: Tensor, y: Tensor, where: str) -> None:
    """Raises InputError naming the first row with more symbols, and blanks between equal ones, than frames."""
    frames = present(x).sum(1)                                                           # (n,)
    needed = (y >= 0).sum(1) + ((y[:, 1:] == y[:, :-1]) & (y[:, 1:] >= 0)).sum(1)
    wrong = (needed > frames).nonzero()[:, 0]
    if len(wrong):
        row = int(wrong[0])
        raise InputError(f"{where}, row {row + 1}: a string of {int((y[row] >= 0).sum())} symbols needs at least {int(needed[row])} "
                         f"frames; got {int(frames[row])}. Give more frames, or a shorter string.")
