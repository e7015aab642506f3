"""A loaded program and the learners it runs: pointers, workspace and the random numbers that are drawn ahead."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.rule import Learner, Report
from chainrule.engine.native.emitting import ALIGN, Source
from chainrule.engine.native.lowering import Lowering
from chainrule.engine.native.tracing import Traced, aten, tensors_of

DRAWN_BYTES = 16 * 2**20  # of random numbers held at once

Fill = Callable[[Tensor], Any]


class Program:
    """`advance` runs as many steps as the batches hold, in place. Learners and batches must be shaped as those it was made for."""

    def __init__(self, source: Source, library: ctypes.CDLL, traced: Traced, low: Lowering, learner: Learner, batch: Batch):
        self.text, self.reports = source.text, list(zip(traced.reports, low.reports, strict=True))
        self.shapes = _shapes(tensors_of(learner))
        self.batch = [(t.shape, t.dtype) for t in batch.tensors()]
        self.constants = [t for _, t in low.constants]
        self.draws = [(b, _filler(node)) for b, node in zip(low.draws, low.folded.draws, strict=True)]
        self.drawn: list[Tensor] = []
        drawn_bytes = sum(b.extent * b.dtype.itemsize for b in low.draws)
        self.at_once = max(1, DRAWN_BYTES // drawn_bytes) if drawn_bytes else 2**62
        self._library = library
        self._run = library.run
        self._run.restype, self._run.argtypes = ctypes.c_long, [ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        library.scratch_size.restype = ctypes.c_long
        self._memory = [torch.empty(n + ALIGN, dtype=torch.uint8) for n in (source.arena, 8 * library.scratch_size())]
        self._arena, self._scratch = (-(-m.data_ptr() // ALIGN) * ALIGN for m in self._memory)

    def advance(self, learner: Learner, batches: Batch) -> tuple[Learner, Report]:
        tensors = tensors_of(learner)
        if _shapes(tensors) != self.shapes:
            raise InputError("this native program was made for a learner of other shapes or layouts. Build the plan again for this one.")
        inputs = [t.contiguous() for t in batches.tensors()]
        if [(t.shape[1:], t.dtype) for t in inputs] != self.batch:
            raise InputError("this native program was made for batches of another shape. Build the plan again for this one.")
        k = len(batches.x)
        reports = {name: torch.empty((k, *b.shape), dtype=b.dtype) for name, b in self.reports}
        done = 0
        while done < k:
            steps = min(self.at_once, k - done)
            drawn = self._draw(steps)
            ahead = [*(t[done:] for t in inputs), *drawn]
            self._call(steps, [*tensors, *ahead, *self.constants, *(r[done:] for r in reports.values())])
            done += steps
        return learner, reports

    def _call(self, steps: int, tensors: Sequence[Tensor]) -> None:
        at = (ctypes.c_void_p * max(len(tensors), 1))(*(t.data_ptr() for t in tensors))
        wrong = self._run(steps, at, self._arena, self._scratch)
        if wrong:
            raise IndexError(f"step {wrong} of this chunk reads a place that does not exist: a class number or an index is out of range")

    def _draw(self, steps: int) -> list[Tensor]:
        """The random numbers of so many steps, one step after the other, each in the order in which the step draws them."""
        if self.draws and (not self.drawn or len(self.drawn[0]) < steps):
            self.drawn = [torch.empty((steps, b.extent), dtype=b.dtype) for b, _ in self.draws]
        views = [t.as_strided((len(t), *b.shape), (b.extent, *b.strides)) for t, (b, _) in zip(self.drawn, self.draws, strict=True)]
        with torch.no_grad():
            for i in range(steps):
                for view, (_, fill) in zip(views, self.draws, strict=True):
                    fill(view[i])
        return self.drawn


def _shapes(tensors: Sequence[Tensor]) -> list[Any]:
    return [(t.shape, t.stride(), t.dtype) for t in tensors]


def _filler(node: fx.Node) -> Fill:
    """What fills a tensor with the numbers that this node draws, exactly as it would."""
    target: Any = node.target
    if target is aten.bernoulli.p:
        share: Any = node.args[1]
        return lambda into: into.bernoulli_(share)
    if target in (aten.rand.default, aten.rand_like.default):
        return lambda into: into.uniform_()
    if target in (aten.randn.default, aten.randn_like.default):
        return lambda into: into.normal_()
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: torch.empty_strided(n.meta["val"].shape, n.meta["val"].stride(),
                                                                                           dtype=n.meta["val"].dtype))
    return lambda into: into.copy_(target(*args, **kwargs))
