"""What the rules for one layer of weights share: finding that layer, what it reads, shaping targets and trees like it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.abilities.nets import HasFeatures
from chainrule.core.errors import InputError
from chainrule.core.loss import one_hot_like
from chainrule.core.net import Net

SINGLE = ("linear", "perceptron", "softmax", "mark-i")  # the families that have one trained layer of weights, and no bend after it
PLAIN = (nn.Linear, nn.Identity, nn.Flatten)


def only_layer(net: Net, rule: str) -> tuple[str, str | None]:
    """The names of the weight (outputs, inputs) and, where there is one, the bias of the net's only layer.

    Raises InputError, naming what fits, where the net has anything else to train, or bends what the layer gives.
    """
    refuse_frozen(net, rule)
    names = list(net.params)
    kind = type(net.module).__name__
    if not names:
        raise InputError(f"{rule} trains a single layer of weights; this {kind} has nothing to train, its weights are fixed. "
                         f"Use one of the nets {', '.join(SINGLE)}.")
    weight = names[0]
    bias = weight.removesuffix("weight") + "bias"
    leaves = [m for m in net.module.modules() if not any(True for _ in m.children())]
    bends = [type(m).__name__ for m in leaves if not (any(True for _ in m.parameters()) or isinstance(m, PLAIN))]
    if weight.endswith("weight") and names[1:] in ([], [bias]) and not bends:
        return weight, bias if len(names) == 2 else None
    layers = sum(name.endswith("weight") for name in names)
    what = f"{layers} of them and {len(names)} tensors to train"
    if layers == 1 and bends:
        what = f"a {' and a '.join(bends)} behind it"
    raise InputError(f"{rule} trains a single layer of weights; this {kind} has {what}. "
                     f"Use --rule backprop, or one of the nets {', '.join(SINGLE)}.")


def check_ridge(rule: str, ridge: float, example: float) -> None:
    """Raises InputError for a penalty that is below zero, infinite or no number."""
    if not 0 <= ridge < float("inf"):
        raise InputError(f"{rule} expects ridge to be a number of at least 0; got {ridge}. Write e.g. {rule}:ridge={example:g}.")


def refuse_frozen(net: Net, rule: str) -> None:
    """Raises InputError where a parameter is frozen: these rules set a whole layer, and have no answer for a part of it."""
    if net.frozen:
        raise InputError(f"{rule} sets all weights of its net; {net.frozen[0]} of this {type(net.module).__name__} is frozen "
                         "(requires_grad=False). Use --rule backprop, which leaves frozen weights alone, or unfreeze it.")


def seen(net: Net, x: Tensor) -> Tensor:
    """What the layer reads of inputs (n, ...), as rows (n, d): the inputs, or what fixed units before it make of them."""
    return net.call("features", x) if isinstance(net.module, HasFeatures) else x.flatten(1)


def scored(net: Net, names: tuple[str, str | None], rows: Tensor) -> Tensor:
    """What the layer gives, (n, outputs), for rows (n, d) that it reads."""
    return F.linear(rows, net.params[names[0]], None if names[1] is None else net.params[names[1]])


def wanted(y: Tensor, outputs: Tensor) -> Tensor:
    """Targets like `outputs` (n, outputs): classes as one-hot rows; signs, whole or real, as they are."""
    return one_hot_like(y.to(outputs.dtype) if outputs.shape[1] == 1 else y, outputs)


def signs(y: Tensor, outputs: Tensor) -> Tensor:
    """Targets as -1 and +1 like `outputs` (n, outputs): signs as they are, class numbers as a +1 in their column."""
    if outputs.shape[1] == 1:
        return torch.where(y.reshape(outputs.shape) > 0, 1.0, -1.0).to(outputs.dtype)
    return 2 * one_hot_like(y, outputs) - 1


def tree(names: tuple[str, str | None], weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """The tree of a single layer; the bias is left out where the layer has none."""
    return {names[0]: weight} if names[1] is None else {names[0]: weight, names[1]: bias}
