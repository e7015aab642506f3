"""What the rules for one layer of weights share: finding that layer, shaping targets and trees like it."""

from __future__ import annotations

from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.losses import one_hot_like
from chainrule.core.net import Net

SINGLE = ("linear", "perceptron", "softmax")  # the families that have one layer of weights


def only_layer(net: Net, rule: str) -> tuple[str, str | None]:
    """The names of the weight (outputs, inputs) and, where there is one, the bias of the net's only layer.

    Raises InputError, naming what fits, where the net has anything else to train.
    """
    names = list(net.params)
    weight = names[0] if names else ""
    bias = weight.removesuffix("weight") + "bias"
    if weight.endswith("weight") and names[1:] in ([], [bias]):
        return weight, bias if len(names) == 2 else None
    layers = sum(name.endswith("weight") for name in names)
    raise InputError(f"{rule} trains a single layer of weights; this {type(net.module).__name__} has {layers} of them and {len(names)} "
                     f"tensors to train. Use --rule backprop, or one of the nets {', '.join(SINGLE)}.")


def wanted(y: Tensor, outputs: Tensor) -> Tensor:
    """Targets like `outputs` (n, outputs): classes as one-hot rows; signs, whole or real, as they are."""
    return one_hot_like(y.to(outputs.dtype) if outputs.shape[1] == 1 else y, outputs)


def tree(names: tuple[str, str | None], weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """The tree of a single layer; the bias is left out where the layer has none."""
    return {names[0]: weight} if names[1] is None else {names[0]: weight, names[1]: bias}
