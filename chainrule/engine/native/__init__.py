"""The native plan: a rule's step traced once, written out as one C function that does k whole steps on the learner's tensors in place.

For steps that are overhead rather than arithmetic, and, through kernels of its own, for middling nets on a processor. Nothing of torch runs
between the first step and the last, except that random numbers are drawn ahead, by torch, in the order in which eager steps draw them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from chainrule.core.batch import Batch
from chainrule.core.rule import Learner
from chainrule.engine.native import products, reductions, shapes, windows  # noqa: F401  # their handlers register themselves
from chainrule.engine.native.compiling import library
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
    return maker(step, learner, batches, threads)()


def maker(step: Step, learner: Learner, batches: Batch, threads: int) -> Callable[[], Advance]:
    """What makes any number of `advance`, each with a workspace of its own, of one program. PlanRejected as `build` does."""
    threads = max(threads or torch.get_num_threads(), 1)
    one = batches[0]
    traced = trace(step, learner, one)
    folded = fold(traced)
    low = Lowering(traced, folded, tensors_of(learner), one.tensors())
    finals = low.run()
    source = emit(low, finals, threads)
    loaded = library(source.text, threads)
    return lambda: Program(source, loaded, traced, low, learner, one).advance
