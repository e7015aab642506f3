"""Losses, each a per-sample function of outputs and targets, with the link that turns outputs into predictions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.core.loss import Loss, identity, one_hot_like, softmax
from chainrule.core.registry import losses


def _over_outputs(each: Tensor) -> Tensor:
    """The sum over all but the sample axis, (n,)."""
    return each if each.dim() == 1 else each.sum(1) if each.dim() == 2 else each.flatten(1).sum(1)


def _squared(outputs: Tensor, y: Tensor) -> Tensor:
    return 0.5 * _over_outputs((outputs - one_hot_like(y, outputs)).square())


def _absolute(outputs: Tensor, y: Tensor) -> Tensor:
    return _over_outputs((outputs - one_hot_like(y, outputs)).abs())


def _signed(outputs: Tensor, y: Tensor) -> Tensor:
    """The margin y f(x): (n,) for one output; for several, the right class's score less the best wrong one's."""
    if outputs.shape[-1] == 1 or outputs.dim() == 1:
        return y * outputs.reshape(y.shape)
    right = outputs.gather(1, y[:, None]).squeeze(1)
    wrong = outputs.scatter(1, y[:, None], float("-inf")).amax(1)
    return right - wrong


@losses("squared", source="Gauss (1809); Legendre (1805)")
def squared() -> Loss:
    """Half the squared distance to the target (one-hot for classes)."""
    return Loss("squared", _squared, identity, ("real", "class", "sign"), one_hot=True)


@losses("cross-entropy", source="Bridle (1990), https://doi.org/10.1007/978-3-642-76153-9_28")
def cross_entropy(*, smoothing: float = 0.0) -> Loss:
    """Minus the log of the softmax probability of the right class."""

    def each(outputs: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(outputs, y, reduction="none", label_smoothing=smoothing)

    return Loss("cross-entropy", each, softmax, ("class",))


@losses("focal", source="Lin, Goyal, Girshick, He & Dollár (2017), https://arxiv.org/abs/1708.02002")
def focal(*, gamma: float = 2.0) -> Loss:
    """Cross-entropy times (1 - p)^gamma, p the probability of the right class: samples that are right already count little.

    Raises InputError for a negative gamma.
    """
    if not 0 <= gamma < float("inf"):
        raise InputError(f"focal expects gamma to be a number of at least 0; got {gamma}. Write e.g. focal:gamma=2.")

    def each(outputs: Tensor, y: Tensor) -> Tensor:
        right = outputs.log_softmax(1).gather(1, y[:, None]).squeeze(1)              # (n,), log p
        left = (-torch.expm1(right)).clamp(min=torch.finfo(right.dtype).tiny)        # of 0, a power below one has no slope
        return -(left**gamma) * right

    return Loss("focal", each, softmax, ("class",))


@losses("contrastive", source="Hadsell, Chopra & LeCun (2006), https://doi.org/10.1109/CVPR.2006.100")
def contrastive(*, margin: float = 1.0) -> Loss:
    """Pulls two samples of one class together, half their squared distance, and others apart, half of max(0, margin - distance)^2.

    Each sample of a batch (n, k) is paired with the one after it, the last with the first, so that a batch must not be split. Outputs
    are places, not scores, so there are no predictions: it is for learning in Python, and a command that names it is refused.
    Raises InputError for a margin that is not positive.
    """
    if not 0 < margin < float("inf"):
        raise InputError(f"contrastive expects margin to be a number above 0; got {margin}. Write e.g. contrastive:margin=1.")

    def each(outputs: Tensor, y: Tensor) -> Tensor:
        places = outputs.flatten(1)
        square = (places - places.roll(-1, 0)).square().sum(1)                       # (n,), from each to the next
        apart = square > 0
        distance = torch.where(apart, torch.where(apart, square, 1.0).sqrt(), 0.0)   # the root of 0 has no slope
        return 0.5 * torch.where(y == y.roll(-1, 0), square, (margin - distance).relu().square())

    return Loss("contrastive", each, identity, ("pairs",))


@losses("absolute", source="Boscovich (1757)")
def absolute() -> Loss:
    """The sum of absolute differences to the target."""
    return Loss("absolute", _absolute, identity, ("real",))


@losses("huber", source="Huber (1964), https://doi.org/10.1214/aoms/1177703732")
def huber(*, delta: float = 1.0) -> Loss:
    """The sum over outputs of half the squared difference up to `delta`, and beyond it a straight line: outliers pull no harder.

    Raises InputError for a delta that is not positive.
    """
    if not 0 < delta < float("inf"):
        raise InputError(f"huber expects delta to be a number above 0; got {delta}. Write e.g. huber:delta=1.")

    def each(outputs: Tensor, y: Tensor) -> Tensor:
        off = (outputs - one_hot_like(y, outputs)).abs()                              # (n, ...)
        near = off.clamp(max=delta)
        return _over_outputs(near * (off - 0.5 * near))

    return Loss("huber", each, identity, ("real",))


@losses("perceptron", source="Rosenblatt (1958), https://doi.org/10.1037/h0042519")
def perceptron() -> Loss:
    """How far a wrong answer is on the wrong side: max(0, -margin)."""
    return Loss("perceptron", lambda o, y: (-_signed(o, y)).relu(), softmax, ("sign", "class"))


@losses("hinge", source="Cortes & Vapnik (1995), https://doi.org/10.1007/BF00994018; Crammer & Singer (2001)")
def hinge() -> Loss:
    """max(0, 1 - margin), with the multi-class margin for several outputs."""
    return Loss("hinge", lambda o, y: (1 - _signed(o, y)).relu(), softmax, ("sign", "class"))


@losses("squared-hinge", source="Lee & Mangasarian (2001), https://doi.org/10.1023/A:1011215321374; Tang (2013), "
                                 "https://arxiv.org/abs/1306.0239")
def squared_hinge() -> Loss:
    """max(0, 1 - margin)^2: the hinge without its corner."""
    return Loss("squared-hinge", lambda o, y: (1 - _signed(o, y)).relu().square(), softmax, ("sign", "class"))


@losses("logistic", source="Cox (1958), https://doi.org/10.1111/j.2517-6161.1958.tb00292.x; Friedman, Hastie & Tibshirani (2000), "
                           "https://doi.org/10.1214/aos/1016218223")
def logistic() -> Loss:
    """log(1 + exp(-2 margin)) of two classes by one output f, half the log-odds of the second: the cross-entropy of (-f, f)."""
    return Loss("logistic", lambda o, y: F.softplus(-2 * _signed(o, y)), identity, ("sign",))


@losses("binary-cross-entropy", source="Bridle (1990), https://doi.org/10.1007/978-3-642-76153-9_28")
def binary_cross_entropy() -> Loss:
    """Minus the log probability of targets in [0, 1] under independent Bernoulli outputs, summed over them; outputs are log-odds."""

    def each(outputs: Tensor, y: Tensor) -> Tensor:
        targets = y if y.shape == outputs.shape else y.reshape(outputs.shape).to(outputs.dtype)
        return _over_outputs(F.binary_cross_entropy_with_logits(outputs, targets, reduction="none"))

    return Loss("binary-cross-entropy", each, torch.sigmoid, ("share",))
