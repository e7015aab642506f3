"""Natural gradient with Fisher blocks that are Kronecker products, one a layer.

Amari (1998), https://doi.org/10.1162/089976698300017746; Martens & Grosse (2015), https://arxiv.org/abs/1503.05671; convolutions: Grosse &
Martens (2016), https://arxiv.org/abs/1602.01407; the limit to a step's divergence: Ba, Grosse & Martens (2017)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from chainrule.core.batch import Batch
from chainrule.core.criterion import Objective, Solver
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import optimizers
from chainrule.core.rule import Report
from chainrule.core.tree import Tree
from chainrule.optim.solvers.curvature import Surface, flat, within

CALLS: tuple[Any, ...] = (F.linear, F.conv2d, torch.conv2d)


class Uses(TorchFunctionMode):
    """A context that notes, for each of some weights, what the products with it read and put out, and how often anything used it.

    Seen from the products rather than from the layers' classes: whatever a subclass does before or after, or to its weight, shows.
    """

    def __init__(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor | None]):
        super().__init__()
        self.weights, self.biases = weights, biases
        self.names = {id(t): name for name, t in weights.items()}
        self.through: dict[str, tuple[Tensor, Tensor]] = {}
        self.counts = dict.fromkeys(weights, 0)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if isinstance(out, Tensor):
            for name in {self.names[id(t)] for t in pytree.tree_leaves((args, kwargs)) if id(t) in self.names}:
                self.counts[name] += 1
                named = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
                if func in CALLS and named["weight"] is self.weights[name] and named.get("bias") is self.biases[name]:
                    self.through[name] = named["input"].detach(), out
        return out

    def once(self) -> dict[str, tuple[Tensor, Tensor]]:
        """What was read and put out, for the weights that were used once, in a product, on the way to something differentiable."""
        return {name: pair for name, pair in self.through.items() if self.counts[name] == 1 and pair[1].requires_grad}


@optimizers(source="Martens & Grosse (2015), https://arxiv.org/abs/1503.05671; Grosse & Martens (2016), https://arxiv.org/abs/1602.01407")
def kfac(*, rate: float = 0.1, momentum: float = 0.9, damping: float = 1e-2, decay: float = 0.95, every: int = 10,
         divergence: float | None = 1e-3, fisher: Literal["sampled", "empirical"] = "sampled") -> Solver:
    """Natural gradient: each dense or convolutional layer's slope is divided by the spread of its inputs and of its output slopes.

    Both are running means with `decay`, inverted `every` so many steps, the `damping` shared out between them. The slopes are those of
    targets drawn from the net's own predictions, or with fisher=empirical those of the data. Layers of other kinds, or called more than
    once a pass, follow the plain slope. With velocity v: v <- momentum v + natural slope, w <- w - rate v; the natural slope is shortened
    until rate^2 times its product with the slope is at most `divergence`, before a schedule scales the rate.
    On scikit-learn's digits (mlp of 100 units, two seeds) rate .1 with damping .01 was among the lowest of 32 settings in 150 steps of 128
    rows, a loss of .001; over whole batches smaller damping goes further: 1e-3 to 3e-5 in 60 steps, where .01 comes to 6e-4.
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
            factors_of, layer = state["layers"][name], layers[name]
            factors_of["inputs"].mul_(keep).add_(reads, alpha=1 - keep)
            factors_of["outputs"].mul_(keep).add_(slopes, alpha=1 - keep)
            if count % every == 0:
                inverses = inverted(factors_of["inputs"], factors_of["outputs"], damping)
                factors_of["inputs_inverse"].copy_(inverses[0])
                factors_of["outputs_inverse"].copy_(inverses[1])
            weight, bias = f"{name}.weight".lstrip("."), f"{name}.bias".lstrip(".")
            both = parts[weight].view(len(layer.weight), -1)                                         # (out, reads)
            if layer.bias is not None:
                both = torch.cat([both, parts[bias][:, None]], 1)
            both = factors_of["outputs_inverse"] @ both @ factors_of["inputs_inverse"]
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
    """The layers, by path, whose Fisher block may be a Kronecker product: dense and plain convolutional ones, their weight and bias all
    that they have and trained. Whether it is shows when they are used."""
    mine, layers, again = net.params, {}, set(net.caller.ties)
    again |= set(net.caller.ties.values())
    for path, layer in net.module.named_modules():
        prefix = f"{path}." if path else ""
        dense = isinstance(layer, nn.Linear)
        conv = isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        own = {name for name, _ in layer.named_parameters(recurse=False)}
        places = {prefix + name for name in own}
        if (dense or conv) and {"weight"} <= own <= {"weight", "bias"} and places <= set(mine) and not places & again:
            layers[path] = layer
    return layers


def _passes(surface: Surface, layers: dict[str, Any], sampled: bool) -> tuple[Tensor, Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """The objective, its gradient (p,), and for every layer used once the two factors of its Fisher block."""
    objective, batch = surface.objective, surface.batch
    where = surface.start.clone().requires_grad_()
    with surface.still():
        net = surface.at(where)
        paths = {name: f"{name}." if name else "" for name in layers}
        uses = Uses({name: net.params[f"{path}weight"] for name, path in paths.items()},
                    {name: net.params.get(f"{path}bias") for name, path in paths.items()})
        with uses:
            outputs = net(batch.x)
        surface.evaluations += 1
        once = uses.once()
        ends = [out for _, out in once.values()]
        value = objective.loss_of(outputs, batch)
        if objective.l1 or objective.l2:
            value = value + objective.penalty(net.params)
        targets = drawn(outputs, objective.of_outputs.loss.name) if sampled else batch.y
        costs = objective.of_outputs.costs(outputs, batch.with_targets(targets))                    # (n,) or (n, t)
        share = batch.shares_of(costs.detach())
        total = torch.where(share > 0, costs, 0.0).sum()
        slopes = torch.autograd.grad(total, ends, retain_graph=True, materialize_grads=True) if ends else ()
        (gradient,) = torch.autograd.grad(value, where)
    seen = {name: factors(layers[name], reads, slope, share) for (name, (reads, _)), slope in zip(once.items(), slopes, strict=True)}
    return value.detach(), gradient, seen


def drawn(outputs: Tensor, loss: str) -> Tensor:
    """Targets as the net itself would have them: classes by their probability, or its outputs (n, ...) with normal errors of unit size."""
    if loss == "squared":
        return (outputs + torch.randn_like(outputs)).detach()
    chances = outputs.detach().softmax(-1)                                                          # (n, classes) or (n, t, classes)
    return torch.multinomial(chances.flatten(0, -2), 1).reshape(chances.shape[:-1])


def factors(layer: Any, reads: Tensor, slopes: Tensor, share: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The second moments of what a layer reads, with a 1 for its bias, and of the slopes in what it puts out.

    Inputs (n, ..., reads) or (n, channels, height, width), and slopes of each sample's own loss, shaped as the outputs. `share` is what
    the loss of a sample (n,), or of a step (n, t), is multiplied by in the mean loss, 1 / n where it is left out: the inputs' mean is
    taken with it, and the slopes' sum, so that their product is the mean loss's Fisher block. Steps are rows of their own where the layer
    reads them one by one. Over other places the inputs' products are summed and the slopes' are averaged.
    """
    n = len(reads) if share is None else len(share)
    if isinstance(layer, nn.Conv2d):
        patches = F.unfold(reads, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
        reads, slopes = patches.transpose(1, 2), slopes.flatten(2).transpose(1, 2)
    reads, slopes = reads.reshape(-1, reads.shape[-1]), slopes.reshape(-1, slopes.shape[-1])        # (n places, reads), (n places, out)
    if layer.bias is not None:
        reads = torch.cat([reads, torch.ones_like(reads[:, :1])], 1)
    if share is None:
        share = reads.new_full((n,), 1 / n)
    each = share.flatten() if len(reads) == share.numel() else share.reshape(n, -1).amax(1)         # the steps of a sample weigh alike
    places = len(reads) // len(each)
    total = each.sum().clamp_min(torch.finfo(reads.dtype).tiny)
    each = each.to(reads.dtype).repeat_interleave(places)[:, None]                                  # (n places, 1)
    return (each * reads).T @ reads / total, (each * slopes).T @ slopes / places


def inverted(inputs: Tensor, outputs: Tensor, damping: float) -> tuple[Tensor, Tensor]:
    """Inverses of both factors, the damping's root added to each in proportion to its mean diagonal entry."""
    tiny = torch.finfo(inputs.dtype).tiny
    pi = math.sqrt(max(float(inputs.trace()) / len(inputs), tiny) / max(float(outputs.trace()) / len(outputs), tiny))
    pi = min(max(pi, 1e-3), 1e3)

    def inverse(matrix: Tensor, shift: float) -> Tensor:
        eye = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
        return torch.cholesky_inverse(torch.linalg.cholesky(matrix + shift * eye))

    return inverse(inputs, math.sqrt(damping) * pi), inverse(outputs, math.sqrt(damping) / pi)
