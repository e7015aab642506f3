"""Natural gradient with Fisher blocks that are Kronecker products, one a layer.

Amari (1998), https://doi.org/10.1162/089976698300017746; Martens & Grosse (2015), https://arxiv.org/abs/1503.05671; convolutions: Grosse &
Martens (2016), https://arxiv.org/abs/1602.01407; the limit to a step's divergence: Ba, Grosse & Martens (2017)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.batch import Batch
from chainrule.core.criterion import Objective, Solver
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import optimizers
from chainrule.core.rule import Report
from chainrule.core.tree import Tree
from chainrule.optim.solvers.curvature import Surface, flat, trained, within

Through = list[tuple[Tensor, Tensor]]  # what a layer read, and what it put out, a pair a call


@optimizers(source="Martens & Grosse (2015), https://arxiv.org/abs/1503.05671; Grosse & Martens (2016), https://arxiv.org/abs/1602.01407")
def kfac(*, rate: float = 0.1, momentum: float = 0.9, damping: float = 1e-3, decay: float = 0.95, every: int = 10,
         divergence: float | None = 1e-3, fisher: Literal["sampled", "empirical"] = "sampled") -> Solver:
    """Natural gradient: each dense or convolutional layer's slope is divided by the spread of its inputs and of its output slopes.

    Both are running means with `decay`, inverted `every` so many steps, the `damping` shared out between them. The slopes are those of
    targets drawn from the net's own predictions, or with fisher=empirical those of the data. Layers of other kinds, or called more than
    once a pass, follow the plain slope. With velocity v: v <- momentum v + natural slope, w <- w - rate v; the natural slope is shortened
    until rate^2 times its product with the slope is at most `divergence`, before a schedule scales the rate.
    Raises InputError for options out of range, or a loss that is no density to draw from.
    """
    within("kfac", 0, open=True, rate=rate, damping=damping)
    within("kfac", 1, every=every)
    within("kfac", 0, momentum=momentum, decay=decay)
    within("kfac", -1, 1, open=True, momentum=momentum, decay=decay)
    if divergence is not None:
        within("kfac", 0, open=True, divergence=divergence)

    def init(net: Net) -> Tree:
        vector = flat(net)
        count = torch.zeros((), dtype=torch.int64, device=vector.device)
        state: Tree = {"velocity": torch.zeros_like(vector), "count": count, "layers": {}}
        for name, layer in factored(net).items():
            out, reads = len(layer.weight), layer.weight[0].numel() + (layer.bias is not None)
            state["layers"][name] = {part: vector.new_zeros(size, size) for part, size in
                                     (("inputs", reads), ("outputs", out), ("inputs_inverse", reads), ("outputs_inverse", out))}
        return state

    def step(net: Net, state: Tree, batch: Batch, objective: Objective, factor: float | Tensor) -> tuple[Tree, Report]:
        surface, layers, count = Surface(net, batch, objective), factored(net), int(state["count"])
        value, slope, seen = _passes(surface, layers, fisher == "sampled")
        names = list(surface.params)
        parts = dict(zip(names, slope.split([p.numel() for p in surface.params.values()]), strict=True))
        keep = min(1 - 1 / (count + 1), decay)
        for name, (reads, slopes) in seen.items():
            held, layer = state["layers"][name], layers[name]
            held["inputs"].mul_(keep).add_(reads, alpha=1 - keep)
            held["outputs"].mul_(keep).add_(slopes, alpha=1 - keep)
            if count % every == 0:
                inverses = inverted(held["inputs"], held["outputs"], damping)
                held["inputs_inverse"].copy_(inverses[0])
                held["outputs_inverse"].copy_(inverses[1])
            weight, bias = f"{name}.weight".lstrip("."), f"{name}.bias".lstrip(".")
            both = parts[weight].view(len(layer.weight), -1)                                         # (out, reads)
            if layer.bias is not None:
                both = torch.cat([both, parts[bias][:, None]], 1)
            both = held["outputs_inverse"] @ both @ held["inputs_inverse"]
            if layer.bias is not None:
                both, parts[bias] = both[:, :-1], both[:, -1]
            parts[weight] = both.reshape(-1)
        natural = torch.cat([parts[name] for name in names])
        if divergence is not None:
            natural = natural * min(1.0, math.sqrt(divergence / max(rate * rate * float(slope @ natural), 1e-30)))
        state["velocity"].mul_(momentum).add_(natural)
        surface.move(surface.start - rate * float(factor) * state["velocity"])
        state["count"].add_(1)
        return state, surface.report(value)

    def fits(objective: Objective) -> None:
        if fisher == "sampled" and objective.of_outputs.loss.name not in ("cross-entropy", "squared"):
            raise InputError(f"kfac draws targets from the net's predictions, and knows how for cross-entropy and squared loss; got "
                             f"{objective.of_outputs.loss.name}. Use kfac:fisher=empirical.")

    return Solver(init, step, fits)


def factored(net: Net) -> dict[str, Any]:
    """The layers, by path, whose Fisher block is taken as a Kronecker product: dense and plain convolutional ones, all theirs trained."""
    mine, found, again = trained(net), {}, set(net.caller.ties)
    again |= set(net.caller.ties.values())
    for path, layer in net.module.named_modules():
        prefix = f"{path}." if path else ""
        dense = type(layer) is nn.Linear
        conv = type(layer) is nn.Conv2d and layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        places = {prefix + name for name, p in layer.named_parameters(recurse=False)}
        if (dense or conv) and places <= set(mine) and not places & again:
            found[path] = layer
    return found


def _passes(surface: Surface, layers: dict[str, Any], sampled: bool) -> tuple[Tensor, Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """The objective, its gradient (p,), and for every layer called once the two factors of its Fisher block."""
    objective, batch = surface.objective, surface.batch
    through: dict[str, Through] = {name: [] for name in layers}
    where = surface.start.clone().requires_grad_()

    def listen(name: str) -> Callable[..., None]:
        return lambda layer, reads, out: through[name].append((reads[0].detach(), out))

    with surface.still():
        with ExitStack() as hooks:
            for name, layer in layers.items():
                hooks.enter_context(layer.register_forward_hook(listen(name)))
            net = surface.at(where)
            outputs = net(batch.x)
        surface.evaluations += 1
        once = {name: calls[0] for name, calls in through.items() if len(calls) == 1 and calls[0][1].requires_grad}
        ends = [out for _, out in once.values()]
        value = objective.loss_of(outputs, batch)
        if objective.l1 or objective.l2:
            value = value + objective.penalty(net.params)
        targets = drawn(outputs, objective.of_outputs.loss.name) if sampled else batch.y
        each = objective.of_outputs.costs(outputs, batch.with_targets(targets))
        slopes = torch.autograd.grad(each.sum(), ends, retain_graph=True, materialize_grads=True) if ends else ()
        (gradient,) = torch.autograd.grad(value, where)
    seen = {name: factors(layers[name], reads, slope) for (name, (reads, _)), slope in zip(once.items(), slopes, strict=True)}
    return value.detach(), gradient, seen


def drawn(outputs: Tensor, loss: str) -> Tensor:
    """Targets as the net itself would have them: classes by their probability, or its outputs with normal errors of unit size."""
    if loss == "squared":
        return (outputs + torch.randn_like(outputs)).detach()
    return torch.multinomial(outputs.detach().softmax(-1), 1).squeeze(1)


def factors(layer: Any, reads: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """The second moments of what a layer reads, with a 1 for its bias, and of the slopes in what it puts out.

    Inputs (n, ..., reads) or (n, channels, height, width), and slopes of each sample's own loss, shaped as the outputs. Over places the
    inputs' products are summed and the slopes' are averaged.
    """
    n = len(reads)
    if isinstance(layer, nn.Conv2d):
        patches = F.unfold(reads, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
        reads, slopes = patches.transpose(1, 2), slopes.flatten(2).transpose(1, 2)
    reads, slopes = reads.reshape(-1, reads.shape[-1]), slopes.reshape(-1, slopes.shape[-1])        # (n places, reads), (n places, out)
    if layer.bias is not None:
        reads = torch.cat([reads, torch.ones_like(reads[:, :1])], 1)
    return reads.T @ reads / n, slopes.T @ slopes / len(slopes)


def inverted(inputs: Tensor, outputs: Tensor, damping: float) -> tuple[Tensor, Tensor]:
    """Inverses of both factors, the damping's root added to each in proportion to its mean diagonal entry."""
    tiny = torch.finfo(inputs.dtype).tiny
    pi = math.sqrt(max(float(inputs.trace()) / len(inputs), tiny) / max(float(outputs.trace()) / len(outputs), tiny))
    pi = min(max(pi, 1e-3), 1e3)

    def inverse(matrix: Tensor, shift: float) -> Tensor:
        eye = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
        return torch.cholesky_inverse(torch.linalg.cholesky(matrix + shift * eye))

    return inverse(inputs, math.sqrt(damping) * pi), inverse(outputs, math.sqrt(damping) / pi)
