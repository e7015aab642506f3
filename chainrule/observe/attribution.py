"""Which pixels an answer hangs on: how fast the score changes with each, and what is lost where a patch is covered."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from chainrule.core.duplicate import duplicate
from chainrule.core.errors import InputError

Answer = Callable[[Tensor], Tensor]  # inputs (n, c, h, w) -> a score of each (n,)


def saliency(score: Answer, x: Tensor) -> Tensor:
    """The size of the score's slope by each pixel, the greatest over the channels: (n, c, h, w) -> (n, h, w).

    Simonyan, Vedaldi & Zisserman (2014), https://arxiv.org/abs/1312.6034, section 3.
    """
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        slope, = torch.autograd.grad(score(x).sum(), x)
    return slope.abs().amax(1)


@torch.no_grad()
def occlusion(score: Answer, x: Tensor, *, side: int, stride: int = 1, fill: float = 0.0) -> Tensor:
    """How much each score falls when a square of `side` pixels is covered by `fill`, the squares `stride` apart.

    (n, c, h, w) -> (n, h, w): each pixel has the mean over the squares that cover it. Raises InputError for a square larger than the
    pictures. Zeiler & Fergus (2014), https://arxiv.org/abs/1311.2901, section 4.2.
    """
    height, width = x.shape[2:]
    if not 1 <= side <= min(height, width) or stride < 1:
        raise InputError(f"an occluding square expects a side of 1 to {min(height, width)} pixels and a stride of at least 1; got "
                         f"side={side}, stride={stride}.")
    whole = score(x)
    falls, covered = x.new_zeros(len(x), height, width), x.new_zeros(height, width)
    tops, lefts = (sorted({*range(0, size - side + 1, stride), size - side}) for size in (height, width))
    for top in tops:
        for left in lefts:
            hidden = x.clone()
            hidden[:, :, top : top + side, left : left + side] = fill
            place = (slice(top, top + side), slice(left, left + side))
            falls[(slice(None), *place)] += (whole - score(hidden))[:, None, None]
            covered[place] += 1
    return falls / covered


@torch.no_grad()
def activations(module: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What every layer that gives maps gives for pictures (n, c, h, w): its name and (n, maps, h', w'), in the order in which they run.

    A copy runs in evaluation mode. Raises InputError where no layer gives maps.
    """
    twin, outputs = duplicate(module).eval(), dict[str, object]()
    for name, part in twin.named_modules():
        if hasattr(part, "inplace"):
            part.inplace = False                                             # what is overwritten cannot be shown
        if not any(True for _ in part.children()):
            part.register_forward_hook(lambda _, __, output, name=name: outputs.update({name: output}))
    twin(x)
    maps = {name or "(net)": output for name, output in outputs.items() if isinstance(output, Tensor) and output.dim() == 4}
    if not maps:
        raise InputError(f"{type(module).__name__} has no layer that gives maps. Use a convolutional net.")
    return maps


def filters(module: nn.Module) -> dict[str, Tensor]:
    """The filters of every layer that has some larger than one pixel: its name and (units, channels, height, width)."""
    return {name.removesuffix(".weight"): p.detach() for name, p in module.named_parameters() if p.dim() == 4 and max(p.shape[2:]) > 1}
