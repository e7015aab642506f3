"""How activations, gradients and updates are spread: counts of their absolute values in bins that are even in their logarithm."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from chainrule.core.registry import looks
from chainrule.core.tree import real
from chainrule.observe.look import BINS, HIGHEST, LOWEST
from chainrule.observe.scene import Scene

MOST = 2048         # numbers that are counted of one layer, at even distances where there are more

Values = list[Tensor | None]


@looks("histograms")
@torch.no_grad()
def histograms(scene: Scene) -> dict[str, Any]:
    """Counts in 32 bins of what each layer gives, of what comes back to it, of its weights' directions, and of their relative changes."""
    names = [[name for name in layer.weights if name in scene.changes] for layer in scene.layers]
    rows: dict[str, Values] = {
        "activation": [None if layer.output is None else layer.output.detach() for layer in scene.layers],
        "gradient": [None if layer.slope is None else layer.slope for layer in scene.layers],
        "weight_gradient": [_joined([scene.directions[name] for name in own]) for own in names],
        "update": [_joined([scene.changes[name] for name in own]) for own in names]}
    factors = {"gradient": [float(scene.scale)] * len(names), "update": [_by_size(scene, own) for own in names]}
    return {"histograms": counted(rows, factors)}


def counted(rows: dict[str, Values], factors: dict[str, Any] | None = None) -> dict[str, list[Tensor | None]]:
    """Of each row of each kind the counts (32,) of its absolute values, times a factor where there is one; all kinds in one go."""
    samples, places = [], []
    for kind, values in rows.items():
        for i, value in enumerate(values):
            if value is not None and value.numel():
                some = thinned(value.detach()).abs().float()
                samples.append(some if factors is None or kind not in factors else some * factors[kind][i])
                places.append((kind, i))
    found: dict[str, list[Tensor | None]] = {kind: [None] * len(values) for kind, values in rows.items()}
    if not samples:
        return found
    together = torch.cat(samples)
    number = torch.repeat_interleave(torch.arange(len(samples), device=together.device),
                                     torch.tensor([len(s) for s in samples], device=together.device))
    low, high = math.log10(LOWEST), math.log10(HIGHEST)
    place = ((together.nan_to_num(nan=math.inf, posinf=HIGHEST).clamp(LOWEST, HIGHEST).log10() - low) * (BINS / (high - low))).long()
    counts = torch.bincount(number * BINS + place.clamp(0, BINS - 1), minlength=BINS * len(samples)).view(-1, BINS)
    for (kind, i), row in zip(places, counts, strict=True):
        found[kind][i] = row
    return found


def thinned(value: Tensor) -> Tensor:
    """At most so many of the numbers of a tensor, at even distances."""
    flat = real(value).reshape(-1)
    return flat[:: -(-len(flat) // MOST)]


def _joined(tensors: list[Tensor]) -> Tensor | None:
    if not tensors:
        return None
    return tensors[0] if len(tensors) == 1 else torch.cat([t.reshape(-1) for t in tensors])


def _by_size(scene: Scene, names: list[str]) -> Tensor | float:
    """One by the root mean square of these weights."""
    own = [real(scene.before.params[name].detach()) for name in names]
    if not own:
        return 1.0
    square = torch.stack([t.square().sum() for t in own]).sum() / sum(t.numel() for t in own)
    return 1 / square.sqrt().clamp(min=torch.finfo(square.dtype).tiny)
