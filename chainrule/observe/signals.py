"""The signal on its way up and the gradient on its way down: what every layer gives, and what the loss says of it, on one batch.

Glorot & Bengio (2010), https://proceedings.mlr.press/v9/glorot10a.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.core.duplicate import duplicate
from chainrule.core.errors import InputError


@dataclass(frozen=True)
class Signal:
    """One layer: its weights' module and what follows it up to the next weights. Tensors (n, ...) are what it gave, and the gradient there.

    The gradient is that of the sum of the losses, so that it is each sample's own and does not shrink with the batch.
    """

    name: str
    kind: str
    activations: Tensor
    gradients: Tensor

    @property
    def figures(self) -> dict[str, float]:
        """Mean and standard deviation of both, and the share of activations that are zero."""
        a, g = self.activations.double(), self.gradients.double()
        return {"activation_mean": float(a.mean()), "activation_sd": float(a.std(correction=0)), "zero": float((a == 0).double().mean()),
                "gradient_mean": float(g.mean()), "gradient_sd": float(g.std(correction=0))}


def signals(module: nn.Module, x: Tensor, y: Tensor | None, each: Callable[[Tensor, Tensor | None], Tensor]) -> list[Signal]:
    """Every layer's signal for inputs (n, ...) and targets, the lowest layer first; `each(outputs, y) -> (n,)` is the loss of each sample.

    Runs a copy of the module in training mode: weights, buffers, gradients and random state stay as they are. Raises InputError where
    nothing that has weights runs.
    """
    twin = duplicate(module).train()
    names = {m: name or "(net)" for name, m in twin.named_modules()}
    seen: list[list[Any]] = []                                               # [layer's module, kinds, output], in the order they run

    def leave(part: nn.Module, _: Any, output: Any) -> None:
        weighted = any(p.dim() >= 2 for p in part.parameters(recurse=False))
        if not isinstance(output, Tensor) or not output.is_floating_point() or not (weighted or seen):
            return
        if weighted:
            seen.append([part, [], output])
        seen[-1][1].append(type(part).__name__)
        seen[-1][2] = output

    for part in names:
        if hasattr(part, "inplace"):
            part.inplace = False                                             # what is overwritten has no gradient to ask for
        if not any(True for _ in part.children()) or any(p.dim() >= 2 for p in part.parameters(recurse=False)):
            part.register_forward_hook(leave)
    device_list = [x.device] if x.is_cuda else []
    with torch.random.fork_rng(devices=device_list), torch.enable_grad():
        losses = each(twin(x), y)
        if not seen:
            raise InputError(f"{type(module).__name__} runs no layer of its own that has weights; there is no signal to follow. Give a net "
                             "made of modules.")
        outputs = [output for *_, output in seen]
        slopes = torch.autograd.grad(losses.sum(), outputs, allow_unused=True)
    return [Signal(names[part], " + ".join(kinds), output.detach(), torch.zeros_like(output) if slope is None else slope.detach())
            for (part, kinds, output), slope in zip(seen, slopes, strict=True)]
