"""The native plan: a rule's step traced once, written out as one C function that does k whole steps on the learner's tensors in place.

For steps that are overhead rather than arithmetic, and, through kernels of its own, for middling nets on a processor. Nothing of torch runs
between the first step and the last, except that random numbers are drawn ahead, by torch, in the order in which eager steps draw them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from chainrule.core.batch import Batch
from chainrule.core.rule import Learner
from chainrule.engine.native import products, reductions, scan, shapes, windows  # noqa: F401  # handlers and kernels register themselves
from chainrule.engine.native.compiling import Compilation
from chainrule.engine.native.emitting import emit
from chainrule.engine.native.folding import fold
from chainrule.engine.native.lowering import Lowering
from chainrule.engine.native.program import Program
from chainrule.engine.native.tracing import tensors_of, trace
from chainrule.engine.plans.eager import Advance, Step


def build(step: Step, learner: Learner, batches: Batch, threads: int) -> Advance:
    """`advance` for learners and batches (k, n, ...) shaped like these; k may differ. Not for several threads at once.

    Raises PlanRejected, with one sentence, for a step that cannot be written out, or where there is no C compiler.
    """
    return Written(step, learner, batches, threads).maker()()


class Written:
    """A step written out in C for learners and batches shaped like these, its library compiled in a process of its own meanwhile.

    `seconds_of_writing` is what that took. Raises PlanRejected as `build` does.
    """

    def __init__(self, step: Step, learner: Learner, batches: Batch, threads: int):
        began = time.perf_counter()
        self._learner, self._batch = learner, batches[0]
        threads = max(threads or torch.get_num_threads(), 1)
        self._traced = trace(step, learner, self._batch)
        self._low = Lowering(self._traced, fold(self._traced), tensors_of(learner), self._batch.tensors())
        self._source = emit(self._low, self._low.run(), threads)
        self._compilation = Compilation(self._source.text, threads)
        self.seconds_of_writing = time.perf_counter() - began

    def ready(self) -> bool:
        """Whether the library can be loaded without waiting for the compiler."""
        return self._compilation.ready()

    @property
    def seconds(self) -> float:
        """How long writing and compiling took, once it is loaded."""
        return self.seconds_of_writing + self._compilation.seconds

    def maker(self) -> Callable[[], Advance]:
        """What makes any number of `advance`, each with a workspace of its own, of one program; waits for the compiler."""
        loaded = self._compilation.library()
        return lambda: Program(self._source, loaded, self._traced, self._low, self._learner, self._batch).advance
