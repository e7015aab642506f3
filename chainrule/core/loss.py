"""What a loss is: a per-sample function of outputs and targets, with the link that turns outputs into predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from chainrule.core.errors import InputError


@dataclass(frozen=True)
class Loss:
    """`each(outputs, targets) -> (n,)`, and `link(outputs)`: class probabilities (n, classes) or predictions (n, k).

    `targets` says which targets it reads: `class` (n,) whole numbers, `real` (n, k), `share` (n, k) from 0 to 1, `sign` (n,) in
    {-1, +1}, or `pairs`: class numbers of samples that it compares with each other, their outputs being places and no scores. With
    `one_hot` it would rather have classes as rows (n, classes), made for many batches at once, than make them each time. `own` says how a
    function of the user's own is read.
    """

    name: str
    each: Callable[[Tensor, Tensor], Tensor]
    link: Callable[[Tensor], Tensor]
    targets: tuple[str, ...]
    one_hot: bool = False
    own: OwnLoss | None = None


@dataclass(frozen=True)
class OwnLoss:
    """How a function of (outputs, targets) of the user's own is read.

    It is given `targets`: as they are encoded, as `numbers` shaped like the outputs, or as a `column` of real targets (n,). Its value is
    `over` each row (n, ...), or a scalar: the mean over rows or their sum, or one that a `batch` has only as a whole. A single output for
    two classes is a `logit` or a `probability` of the second; `vectorised` says that rows can be passed together through vmap.
    """

    targets: Literal["encoded", "numbers", "column"] = "encoded"
    over: Literal["rows", "mean", "sum", "batch"] = "rows"
    single: Literal["", "logit", "probability"] = ""
    vectorised: bool = False


def link_alone(loss: Loss) -> Loss:
    """The loss with its link but without its value, so that it can be stored. Asked for a value, it raises InputError."""
    return replace(loss, each=_no_value)


def _no_value(outputs: Tensor, targets: Tensor) -> Tensor:
    raise InputError("this net was kept to answer; the loss it was trained with was not. Train it again to measure that.")


def one_hot_like(y: Tensor, outputs: Tensor) -> Tensor:
    """Class numbers (n,) as one-hot rows like `outputs` (n, classes); real targets are reshaped to match instead."""
    if y.is_floating_point():
        return y if y.shape == outputs.shape else y.reshape(outputs.shape)
    return torch.zeros_like(outputs).scatter(-1, y.unsqueeze(-1), 1.0)  # F.one_hot looks at every target first


def identity(outputs: Tensor) -> Tensor:
    return outputs


def softmax(outputs: Tensor) -> Tensor:
    return outputs.float().softmax(-1)


NEXT_TO_NOTHING = 1e-12


def shares(outputs: Tensor) -> Tensor:
    """Scores that are not log-odds, those above zero divided by their sum: (n, classes).

    What is below zero gets next to nothing, in its order, so that the largest of scores that are all negative stays the largest.
    """
    scores = outputs.float()
    positive = torch.where(scores > NEXT_TO_NOTHING, scores, NEXT_TO_NOTHING * scores.clamp(-40, 0).exp())
    return positive / positive.sum(-1, keepdim=True)
