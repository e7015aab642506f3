"""Samples mixed with their neighbours in the batch, inputs and targets alike, by tensor functions that run inside the step.

Zhang, Cisse, Dauphin & Lopez-Paz (2018), https://arxiv.org/abs/1710.09412; Yun, Han, Oh, Chun, Choe & Yoo (2019),
https://arxiv.org/abs/1905.04899
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from chainrule.core.batch import Batch, Mixed
from chainrule.core.errors import InputError
from chainrule.core.registry import augments

Shape = tuple[int, ...]                                   # of one sample
Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]   # samples, their partners -> mixed samples, the share (n,) of the first
TRIES = 32                                                # of Jöhnk's; all are refused once in 4e9 samples, at the least


def mixing(spec: str, shape: Shape, name: str = "the data") -> Callable[[Batch], Batch] | None:
    """What the last name of `spec`, e.g. `shift:2+mixup`, makes of a batch whose rows are shuffled; None where it mixes nothing.

    The partner of a sample is the one before it. Numbers are drawn by `torch.rand` alone. Raises InputError for a mix that is not the
    last, and for pictures that are none.
    """
    chosen = [augments.choose(one) for one in spec.split("+")]
    mixes = [one for one in chosen if one.entry.traits.mixes]
    if not mixes:
        return None
    if mixes != chosen[-1:]:
        raise InputError(f"--augment {spec}: {mixes[0].entry.name} mixes samples that are altered already; it comes once, and last. Write "
                         f"{'+'.join([str(one) for one in chosen if one not in mixes] + [str(mixes[-1])])}.")
    if mixes[0].entry.traits.pictures and len(shape) != 3:
        raise InputError(f"{mixes[0].entry.name} mixes pictures of (channels, height, width); {name} has samples of shape {shape}. Use "
                         "mixup, or leave it out.")
    mix: Mix = mixes[0].make(shape)

    def mixed(batch: Batch) -> Batch:
        x = batch.x.reshape(len(batch.x), *shape) if len(shape) == 3 else batch.x
        inputs, share = mix(x, x.roll(1, 0))
        return batch.with_inputs(inputs.reshape(batch.x.shape)).with_targets(Mixed(batch.y, batch.y.roll(1, 0), share))

    return mixed


@augments(source="Zhang, Cisse, Dauphin & Lopez-Paz (2018), https://arxiv.org/abs/1710.09412", mixes=True)
def mixup(shape: Shape, *, alpha: float = 0.2) -> Mix:
    """Means of two samples, and of the losses by their targets, in shares drawn from the Beta distribution of `alpha` twice."""
    _check("mixup", alpha)

    def mix(x: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
        share = beta(len(x), alpha, x)
        return torch.lerp(partner, x, share.view(-1, *[1] * (x.dim() - 1)).to(x.dtype)), share

    return mix


@augments(source="Yun, Han, Oh, Chun, Choe & Yoo (2019), https://arxiv.org/abs/1905.04899", mixes=True, pictures=True)
def cutmix(shape: Shape, *, alpha: float = 1.0) -> Mix:
    """A rectangle of one picture in another, and the losses by their targets in the shares of their areas.

    Its area is a share drawn from the Beta distribution of `alpha` twice, its middle lies anywhere; what reaches beyond the border is cut.
    """
    _check("cutmix", alpha)
    _, height, width = shape

    def mix(x: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
        n, ratio = len(x), (1 - beta(len(x), alpha, x)).sqrt()
        rows, columns = (covered(torch.rand(n, device=x.device), ratio, side) for side in (height, width))      # (n, side) each
        inside = rows[:, :, None] & columns[:, None, :]                                                          # (n, h, w)
        return torch.where(inside.unsqueeze(1), partner, x), 1 - inside.flatten(1).to(torch.float32).mean(1)

    return mix


def beta(n: int, alpha: float, like: Tensor) -> Tensor:
    """Numbers (n,) from the Beta distribution of `alpha` twice, above 0 and at most 1: Jöhnk (1964), https://doi.org/10.1007/BF02613706

    Pairs of powers of uniform numbers are taken where their sum is at most 1; of so many tries the first.
    """
    powers = torch.rand(2, n, TRIES, device=like.device).clamp(min=1e-30).log() / alpha                          # (2, n, tries), of U^(1/a)
    first, second = powers
    total = torch.logaddexp(first, second)
    at = (total <= 0).to(torch.int8).argmax(1, keepdim=True)
    share: Tensor = (first - total).gather(1, at).squeeze(1).exp()
    return share


def covered(middle: Tensor, ratio: Tensor, side: int) -> Tensor:
    """Which places of an axis the rectangles cover, (n, side): their side is `ratio` of it, rounded down, about `middle` in [0, 1)."""
    length = (ratio * side).floor()
    first = (middle * side).floor() - (length / 2).floor()
    at = torch.arange(side, device=middle.device)
    return (at >= first[:, None]) & (at < (first + length)[:, None])


def _check(owner: str, alpha: float) -> None:
    if not 0 < alpha <= 1:
        raise InputError(f"{owner} expects alpha to be above 0 and at most 1; got {alpha}. Write e.g. {owner}:alpha=0.2.")
