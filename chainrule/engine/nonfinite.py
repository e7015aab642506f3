"""Where a number stopped being finite: the first layer whose input was finite and whose output is not, and for which rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.duplicate import duplicate
from chainrule.core.net import Net
from chainrule.core.rule import Learner, Rule
from chainrule.core.tree import clone, leaves, real


@dataclass(frozen=True)
class Fault:
    """`step` counts within the chunk; `layer` is a module's name or `input`, `loss`, `gradient`; `rows` are places in the batch."""

    step: int
    layer: str
    rows: list[int]
    evidence: str


def finite(tree: object) -> bool:
    """Whether every real or complex tensor of the tree is finite; one transfer from the device."""
    floats = [real(t.detach()) for t in leaves(tree) if (t.is_floating_point() or t.is_complex()) and t.numel()]
    return not floats or bool(torch.stack(torch._foreach_norm(floats, ord=float("inf"))).isfinite().all())


def infinite(net: Net) -> frozenset[str]:
    """The buffers that hold numbers which are not finite before training, as a mask of -inf does: they may go on to."""
    return frozenset(name for name, t in net.buffers.items() if not finite(t))


def watched(net: Net, infinite: frozenset[str]) -> dict[str, Tensor]:
    """The tensors of a net that must be finite."""
    return {name: t for name, t in net.tensors.items() if name not in infinite}


def locate(rule: Rule, before: Learner, batches: Batch) -> Fault:
    """Replay a chunk eagerly from the learner it started with, on a copy, and find the first fault."""
    net = Net.of(duplicate(before.net.module))  # bound, as a run's is: there hooks are called, and buffers may be put in place of others
    net.put(before.net.tensors)
    learner, masks = Learner(net, clone(before.state)), infinite(net)
    if not finite(learner.state):
        return Fault(0, "optimizer", [], "the state of the rule is not finite")
    for step in range(len(batches)):
        batch = batches[step]
        if not bool(batch.x.isfinite().all()) if batch.x.is_floating_point() else False:
            return Fault(step, "input", _bad_rows(batch.x), "an input is not finite")
        watch = _Watch(learner.net.module, len(batch))
        with watch:
            net, state, report = rule.step(learner.net, learner.state, batch)
        net.settle()
        if watch.layer is not None:
            return Fault(step, watch.layer, watch.rows, watch.evidence)
        if not all(bool(r.isfinite().all()) for r in report.values()):
            return Fault(step, "loss", [], "every layer's output is finite and the loss is not")
        if not finite(watched(net, masks)):
            return Fault(step, "gradient", [], "the loss is finite and the update is not")
        if not finite(state):
            return Fault(step, "optimizer", [], "the update is finite and the state of the rule after it is not")
        learner = Learner(net, state)
    return Fault(len(batches) - 1, "unknown", [], "a plan gave a number that is not finite where eager execution does not")


class _Watch:
    """Hooks, present only during one step, that note the first module whose output is not finite."""

    def __init__(self, module: nn.Module, rows: int):
        self.layer: str | None = None
        self.rows: list[int] = []
        self.evidence = ""
        self._module, self._batch = module, rows
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> None:
        for name, module in self._module.named_modules():
            if not any(module.children()):
                self._handles.append(module.register_forward_hook(self._hook(name or type(module).__name__)))

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def look(_: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if self.layer is not None or finite(output):
                return
            self.layer = name
            self.rows = next((_bad_rows(t) for t in leaves(output) if not finite(t) and len(t) == self._batch), [])
            if finite(list(inputs)):
                largest = max((float(t.detach().abs().max()) for t in leaves(list(inputs)) if t.is_floating_point()), default=0.0)
                self.evidence = f"its input is finite and its output is not (largest input {largest:.3g})"
            else:
                self.evidence = "its input, computed between the layer before it and this one, is not finite"

        return look


def _bad_rows(t: Tensor) -> list[int]:
    return (~t.detach().flatten(1).isfinite().all(1)).nonzero().flatten().tolist() if t.dim() > 1 else []
