"""Whole groups of steps recorded as one CUDA graph and played back: the host launches one program instead of every kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.errors import PlanRejected
from chainrule.core.net import Net
from chainrule.core.rule import Learner, Report
from chainrule.core.tree import Tree, leaves
from chainrule.engine.plans.eager import Advance, Step, clone_structure, eager, settle

WARM_UPS = 3  # before a recording, so that libraries have chosen their kernels and allocated their workspaces


def recorded(step: Step, learner: Learner, few: Batch, k: int) -> Advance:
    """`k` steps recorded on the tensors of the learner it is called with, and once more where another learner comes.

    A graph plays on fixed addresses: batches are copied into its own, and what a step returns anew is copied back into the learner's.
    Raises PlanRejected away from CUDA, or where fewer than `k` batches pass at once.
    """
    if learner.net.device.type != "cuda":
        raise PlanRejected(f"a graph records CUDA kernels, and this run is on the {learner.net.device.type}")
    if len(few) < k:
        raise PlanRejected(f"it records {k} steps, and only {len(few)} pass at once")
    recording: dict[str, Any] = {}

    def advance(learner: Learner, batches: Batch) -> tuple[Learner, Report]:
        where = tuple(t.data_ptr() for t in leaves([learner.net.tensors, learner.state]))
        if recording.get("where") != where:
            recording.update(_record(step, learner, batches), where=where)
        for mine, theirs in zip(leaves(recording["batches"]), leaves(batches), strict=True):
            mine.copy_(theirs)
        recording["graph"].replay()
        return learner, {name: value.clone() for name, value in recording["reports"].items()}

    return advance


def _record(step: Step, learner: Learner, batches: Batch) -> dict[str, Any]:
    """A graph over the learner's own tensors, which are left as they were, as are the random numbers to come."""
    device = learner.net.device
    own = batches.map(torch.clone)
    run = _in_place(step, learner)
    copies: list[tuple[Tensor, Tensor]] = [(t, t.detach().clone()) for t in leaves([learner.net.tensors, learner.state])]
    drawn = torch.cuda.get_rng_state(device)
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            run(own)
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        reports = run(own)
    with torch.no_grad():
        for t, was in copies:
            t.copy_(was)
    torch.cuda.set_rng_state(drawn, device)
    return {"graph": graph, "batches": own, "reports": reports}


def _in_place(step: Step, learner: Learner) -> Callable[[Batch], Report]:
    """Steps that leave their results in the learner's own tensors."""
    net, state = learner

    def run(batches: Batch) -> Report:
        params, buffers = dict(net.params), dict(net.buffers)
        now: tuple[Net, Tree] = Net(net.module, params, buffers, bound=net.bound, caller=net.caller), clone_structure(state)
        after, reports = eager(step)(Learner(*now), batches)
        with torch.no_grad():
            for into, tree in ((net.params, after.net.params), (net.buffers, after.net.buffers), (state, after.state)):
                settle(into, tree)
        return reports

    return run
