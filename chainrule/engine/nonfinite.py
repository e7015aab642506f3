"""Where a number stopped being finite: the first layer whose input was finite and whose output is not, and for which rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chainrule.core.rule import Batch, Learner, Rule
from chainrule.core.tree import leaves
from chainrule.engine.plan import copied


@dataclass(frozen=True)
class Fault:
    """`step` counts within the chunk; `layer` is a module's name or `input`, `loss`, `gradient`; `rows` are places in the batch."""

    step: int
    layer: str
    rows: list[int]
    evidence: str


def finite(tree: object) -> bool:
    """Whether every floating-point tensor of the tree is finite; one transfer from the device."""
    floats = [t.detach() for t in leaves(tree) if t.is_floating_point() and t.numel()]
    return not floats or bool(torch.stack(torch._foreach_norm(floats, ord=float("inf"))).isfinite().all())


def locate(rule: Rule, before: Learner, batches: Batch) -> Fault:
    """Replay a chunk eagerly from the learner it started with, on a copy, and find the first fault."""
    learner = copied(before)
    if not finite(learner.state):
        return Fault(0, "optimizer", [], "the state of the rule is not finite")
    for step in range(len(batches)):
        batch = batches[step]
        if not bool(batch.x.isfinite().all()) if batch.x.is_floating_point() else False:
            return Fault(step, "input", _bad_rows(batch.x), "an input is not finite")
        watched = _Watch(learner.net.module)
        with watched:
            net, state, report = rule.step(learner.net, learner.state, batch)
        if watched.layer is not None:
            return Fault(step, watched.layer, watched.rows, f"its input is finite and its output is not (largest input {watched.largest:.3g})")
        if not all(bool(r.isfinite().all()) for r in report.values()):
            return Fault(step, "loss", [], "every layer's output is finite and the loss is not")
        if not finite([net.params, state]):
            return Fault(step, "gradient", [], "the loss is finite and the update is not")
        learner = Learner(net, state)
    return Fault(len(batches) - 1, "unknown", [], "a plan gave a number that is not finite where eager execution does not")


class _Watch:
    """Hooks, present only during one step, that note the first module to turn finite inputs into something else."""

    def __init__(self, module: nn.Module):
        self.layer: str | None = None
        self.rows: list[int] = []
        self.largest = 0.0
        self._module = module
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> None:
        for name, module in self._module.named_modules():
            if not any(module.children()):
                self._handles.append(module.register_forward_hook(self._hook(name or type(module).__name__)))

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _hook(self, name: str):  # type: ignore[no-untyped-def]
        def look(_: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            out = [t for t in leaves(output) if t.is_floating_point()]
            if self.layer is None and not finite(out):
                self.layer = name
                self.rows = _bad_rows(out[0])
                seen = [t.detach().abs().max() for t in leaves(list(inputs)) if t.is_floating_point()]
                self.largest = float(torch.stack(seen).max()) if seen else 0.0

        return look


def _bad_rows(t: Tensor) -> list[int]:
    return (~t.detach().flatten(1).isfinite().all(1)).nonzero().flatten().tolist() if t.dim() > 1 else []
