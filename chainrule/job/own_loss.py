"""A loss of the user's own, any function of (outputs, targets): how it reads targets and what it is over, found by trying it on a few rows.

A scalar hides the rows that it is a mean of, so that weights of samples could not reach it: then every row is passed alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.loss import Loss, OwnLoss, identity, softmax

Function = Callable[[Tensor, Tensor], Tensor]

SPREADS = (1.0, 0.05, 0.0)   # of the numbers added to outputs, so that those of different rows differ
SAME = 1e-4                  # of the value: what a mean over rows may differ by from it
LOGIT, PROBABILITY = 0.0, 0.5  # where a single output says that two classes are equally likely


def custom(function: Function, own: OwnLoss, classes: bool, *, by_rows: bool = False) -> Loss:
    """The loss that a user's function is; a scalar result is taken as the batch mean, or is evaluated row by row.

    `classes` says that outputs are scores of classes, and picks the link. Raises InputError where rows are asked for of a loss that only
    a whole batch has.
    """
    name = getattr(function, "__name__", type(function).__name__)
    if by_rows and own.over == "batch":
        raise InputError(f"the loss {name} has a value for a batch that is no mean over its rows, so that samples or classes cannot be "
                         "weighted in it. Leave out the weights, or let it return a value for each row (reduction='none').")

    def each(outputs: Tensor, y: Tensor) -> Tensor:
        value = function(outputs, laid_out(y, outputs, own))
        if value.numel() == 1 and len(outputs) != 1:
            return value.reshape(()).expand(len(outputs))
        return value.reshape(len(outputs), -1).mean(1)

    def alone(outputs: Tensor, y: Tensor) -> Tensor:
        rows = _rows(function, outputs, laid_out(y, outputs, own), own.vectorised)
        return rows * len(outputs) if own.over == "sum" else rows

    link = {"logit": _of_logit, "probability": _of_probability}.get(own.single, softmax if classes else identity)
    return Loss(name, alone if by_rows and own.over in ("mean", "sum") else each, link, ("class", "real", "sign"), own=own)


def laid_out(y: Tensor, outputs: Tensor, own: OwnLoss) -> Tensor:
    """Targets as the loss reads them, numbers in the precision of real outputs."""
    if own.targets == "numbers":
        y = y.reshape(outputs.shape).to(outputs.dtype)
    elif own.targets == "column":
        y = y.squeeze(1)
    return y.to(outputs.dtype) if y.is_floating_point() and outputs.is_floating_point() else y


def read_as(function: Function, outputs: Tensor, y: Tensor, *, classes: int) -> OwnLoss:
    """How the loss reads targets like `y`, as encoded, and outputs (n, ...) like these.

    Targets are altered, so that they differ. Of the forms that they could have, the first in which the value of these rows follows from
    those of each alone: it is no broadcast of all against all. Where none does, the loss is one of batches, and gets the form in which
    targets usually come.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that are tried and not taken
        return _tried(function, outputs, y, classes)


def _tried(function: Function, outputs: Tensor, y: Tensor, classes: int) -> OwnLoss:
    for spread in SPREADS:
        generator = torch.Generator().manual_seed(0)
        some = outputs + spread * torch.randn(outputs.shape, generator=generator).to(outputs)
        if y.is_floating_point():
            truth = y + spread * torch.randn(y.shape, generator=generator).to(y)
        else:
            truth = torch.arange(y.numel(), device=y.device).reshape(y.shape) % (classes or outputs.shape[-1])
        tried = [own for own in _forms(some, truth) if _value(function, some, truth, own) is not None]
        for own in tried:
            read = _over(function, some, truth, own)
            if read.over != "batch":
                return _single(function, some, truth, classes, read)
        if tried:
            usual = next((own for own in tried if own.targets == "column"), tried[0])
            return _single(function, some, truth, classes, replace(usual, over="batch"))
    return OwnLoss()


def _forms(outputs: Tensor, y: Tensor) -> Iterator[OwnLoss]:
    alike = y.numel() == outputs.numel()
    if not y.is_floating_point():
        yield OwnLoss()
    if alike:
        yield OwnLoss("numbers")
    if y.is_floating_point():
        if y.dim() == 2 and y.shape[1] == 1:
            yield OwnLoss("column")
        yield OwnLoss()


def _value(function: Function, outputs: Tensor, y: Tensor, own: OwnLoss) -> Tensor | None:
    """The loss of rows, as it comes; None where it has none, or one that is not finite."""
    try:
        with torch.no_grad():
            value = function(outputs, laid_out(y, outputs, own))
    except Exception:  # it refuses such targets, or such outputs, in a way of its own
        return None
    fits = isinstance(value, Tensor) and not value.is_complex() and (value.numel() == 1 or value.shape[:1] == outputs.shape[:1])
    return value.double() if fits and bool(value.isfinite().all()) else None


def _over(function: Function, outputs: Tensor, y: Tensor, own: OwnLoss) -> OwnLoss:
    """The same with what the loss is over, and whether vmap passes its rows as they would be passed one after the other."""
    value, read = _value(function, outputs, y, own), laid_out(y, outputs, own)
    assert value is not None
    try:
        with torch.no_grad():
            rows = _rows(function, outputs, read, vectorised=False).double()
    except Exception:
        return replace(own, over="batch")
    try:
        with torch.no_grad():
            vectorised = _same(_rows(function, outputs, read, vectorised=True).double(), rows)
    except Exception:
        vectorised = False
    own = replace(own, vectorised=vectorised)
    if value.numel() > 1 or len(outputs) == 1:
        return replace(own, over="rows" if _same(rows, value.reshape(len(outputs), -1).mean(1)) else "batch")
    if _same(rows.mean(), value.reshape(())):
        return replace(own, over="mean")
    return replace(own, over="sum" if _same(rows.sum(), value.reshape(())) else "batch")


def _rows(function: Function, outputs: Tensor, y: Tensor, vectorised: bool) -> Tensor:
    """The loss of each row by itself, (n,)."""
    def alone(one: Tensor, target: Tensor) -> Tensor:
        return function(one[None], target[None]).mean()

    if vectorised:
        rows: Tensor = torch.vmap(alone)(outputs, y)
        return rows
    return torch.stack([alone(one, target) for one, target in zip(outputs.unbind(), y.unbind(), strict=True)])


def _same(a: Tensor, b: Tensor) -> bool:
    return bool(((a - b).abs() <= SAME * torch.maximum(b.abs(), b.abs().max()) + 1e-8).all())


def _single(function: Function, outputs: Tensor, y: Tensor, classes: int, own: OwnLoss) -> OwnLoss:
    """What a single output for two classes means: it is where both cost the same that neither is likelier."""
    if classes != 2 or outputs.numel() != len(outputs):
        return own

    def cost(at: float, label: int) -> Tensor | None:
        value = _value(function, torch.full_like(outputs, at), torch.full_like(y, label), own)
        return None if value is None else value.mean()

    def undecided(at: float) -> bool:
        first, second = cost(at, 0), cost(at, 1)
        return first is not None and second is not None and _same(first, second)

    if undecided(LOGIT):
        return replace(own, single="logit")
    if undecided(PROBABILITY):
        return replace(own, single="probability")
    outside = (cost(at, label) for at in (-1.0, 2.0) for label in (0, 1))
    return replace(own, single="probability" if any(value is None for value in outside) else "logit")


def _of_logit(outputs: Tensor) -> Tensor:
    """Probabilities (n, 2) of log-odds (n,) or (n, 1)."""
    return _of_probability(torch.sigmoid(outputs.float()))


def _of_probability(outputs: Tensor) -> Tensor:
    """Probabilities (n, 2) of those of the second class, (n,) or (n, 1)."""
    second = outputs.float().reshape(-1).clamp(0, 1)
    return torch.stack([1 - second, second], 1)
