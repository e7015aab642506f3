"""Initial weights set by what comes out of the layers on training rows: unit variance, and one rate of change for all layers.

Mishkin & Matas (2015), https://arxiv.org/abs/1511.06422; Kraehenbuehl, Doersch, Donahue & Darrell (2015), https://arxiv.org/abs/1511.06856
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import init

from chainrule.core.errors import InputError
from chainrule.core.registry import inits
from chainrule.nets.init.initial import Init

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
RATE_ROWS = 32     # one backward pass for each, and for each round
ROUNDS, ENOUGH, DAMPING = 20, 1.01, 0.5


@inits(source="Mishkin & Matas (2015), https://arxiv.org/abs/1511.06422", reads_data=True)
def lsuv() -> Init:
    """Orthogonal, then each layer in turn divided by the standard deviation of its outputs on training rows (LSUV).

    Outputs are linear in the weights and biases start at zero, so that one pass makes every variance one and nothing is iterated.
    """

    def fit(module: nn.Module, rows: Tensor) -> None:
        def visit(name: str, layer: Layer, outputs: Tensor) -> Tensor:
            spread = _spread("lsuv", name, outputs.std())
            layer.weight.div_(spread)
            return outputs / spread

        _in_turn("lsuv", module, rows, visit)

    return Init(init.orthogonal_, fit=fit)


@inits(source="Kraehenbuehl, Doersch, Donahue & Darrell (2015), https://arxiv.org/abs/1511.06856", reads_data=True)
def data_dependent(*, between: bool = True) -> Init:
    """Gaussian, then every channel brought to mean 0 and variance 1 on training rows, then layers scaled to change at one rate.

    The rate of a layer is the root mean square slope of a random sum of outputs along each weight, divided by the length of all its
    weights. Scaling layers against each other leaves the outputs of a rectified net as they are; `between=no` leaves it out, and
    with it the variances at one.
    """

    def fit(module: nn.Module, rows: Tensor) -> None:
        def visit(name: str, layer: Layer, outputs: Tensor) -> Tensor:
            axis = outputs.dim() - 1 if isinstance(layer, nn.Linear) else 1
            rest = [a for a in range(outputs.dim()) if a != axis]
            mean, spread = outputs.mean(rest), _spread("data-dependent", name, outputs.std(rest))       # (channels,) each
            layer.weight.div_(spread.reshape(-1, *[1] * (layer.weight.dim() - 1)))
            shape = [-1 if a == axis else 1 for a in range(outputs.dim())]
            if layer.bias is None:
                return outputs / spread.reshape(shape)
            layer.bias.copy_((layer.bias - mean) / spread)
            return (outputs - mean.reshape(shape)) / spread.reshape(shape)

        layers = _in_turn("data-dependent", module, rows, visit)
        if between:
            _level(module, layers, rows[:RATE_ROWS])

    return Init(init.normal_, fit=fit)


def rates(module: nn.Module, layers: list[Layer], rows: Tensor, mix: Tensor) -> Tensor:
    """The relative rate of change of each layer, (layers,): its mean over weights of sqrt(E[slope^2]), by the length of its weights.

    `mix` (n, ...) weighs each row's outputs; the slopes are those of their sum.
    """
    weights = [layer.weight for layer in layers]
    squares = [torch.zeros_like(w) for w in weights]
    with torch.enable_grad():
        for x, eta in zip(rows, mix, strict=True):
            slopes = torch.autograd.grad((module(x[None])[0] * eta).sum(), weights, materialize_grads=True)
            for square, slope in zip(squares, slopes, strict=True):
                square += slope.square() / len(rows)
    return torch.stack([s.sqrt().mean() / w.norm() for s, w in zip(squares, weights, strict=True)])


def _level(module: nn.Module, layers: list[Layer], rows: Tensor) -> None:
    """Scale layers against each other until all change at one rate; the product of the scales is one."""
    with _evaluating(module):
        mix = torch.randn_like(module(rows))                                     # (n, outputs)
        for _ in range(ROUNDS):
            rate = rates(module, layers, rows, mix)                              # (layers,)
            if not bool((rate > 0).all()):
                raise InputError("data-dependent compares the slopes of layers, and one of them has none: a step has no slope. "
                                 "Write data-dependent:between=no, or use lsuv.")
            if float(rate.max() / rate.min()) < ENOUGH:
                return
            scale = (rate / rate.log().mean().exp()) ** (DAMPING / 2)            # (layers,)
            for layer, own, below in zip(layers, scale, scale.cumprod(0), strict=True):
                layer.weight.mul_(own)
                if layer.bias is not None:
                    layer.bias.mul_(below)


def _in_turn(init_name: str, module: nn.Module, rows: Tensor, visit: Callable[[str, Layer, Tensor], Tensor]) -> list[Layer]:
    """Run the net on `rows` and hand each layer, when it is first reached, with its outputs to `visit`, going on with what that returns.

    Returns the layers in the order in which they ran.
    """
    reached: list[Layer] = []
    hooks = []

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def handed(layer: nn.Module, _: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
            assert isinstance(layer, LAYERS)
            if layer in reached:
                return outputs
            reached.append(layer)
            return visit(name, layer, outputs)

        return handed

    for name, part in module.named_modules():
        if isinstance(part, LAYERS):
            hooks.append(part.register_forward_hook(hook(name or type(part).__name__)))
    try:
        with _evaluating(module):
            module(rows)
    finally:
        for handle in hooks:
            handle.remove()
    if not reached:
        raise InputError(f"{init_name} sets dense and convolutional layers; {type(module).__name__} has none. Use another --init.")
    return reached


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Nothing is dropped and no running average moves meanwhile."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _spread(init_name: str, layer: str, spread: Tensor) -> Tensor:
    if not bool((spread > 0).all()) or not bool(spread.isfinite().all()):
        raise InputError(f"{init_name} divides by the spread of each layer's outputs on training rows, and those of {layer} do not differ "
                         "there. Use --init he, or check whether the inputs vary.")
    return spread
