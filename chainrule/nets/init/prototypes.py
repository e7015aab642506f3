"""Where units begin that stand for rows: at rows far from one another, at random ones, or spread over the plane of principal components.

Arthur & Vassilvitskii (2007), https://dl.acm.org/doi/10.5555/1283383.1283494; Kohonen (2001), https://doi.org/10.1007/978-3-642-56927-2
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from chainrule.core.abilities.nets import HasGrid, HasPrototypes
from chainrule.core.errors import InputError
from chainrule.core.registry import inits
from chainrule.nets.init.initial import Init

APART = 0.01  # of the rows' spread: how far units are moved that begin at a row which another one has


@inits("spread", source="Arthur & Vassilvitskii (2007), https://dl.acm.org/doi/10.5555/1283383.1283494", reads_data=True)
def spread() -> Init:
    """Units at training rows far from one another (k-means++): each drawn with odds of its squared distance from those drawn before."""

    def fit(module: nn.Module, rows: Tensor) -> None:
        place(module, rows, "spread", spread_rows)

    return Init(nn.init.normal_, fit=fit)


@inits("rows", source="Forgy (1965), Biometrics 21:768; MacQueen (1967), Proc. 5th Berkeley Symposium 1:281", reads_data=True)
def random() -> Init:
    """Units at training rows drawn at random."""

    def fit(module: nn.Module, rows: Tensor) -> None:
        place(module, rows, "rows", lambda x, count: x[torch.randperm(len(x))[:count].to(x.device)])

    return Init(nn.init.normal_, fit=fit)


@inits("plane", source="Kohonen (2001), https://doi.org/10.1007/978-3-642-56927-2, section 3.7", reads_data=True)
def plane() -> Init:
    """The units of a grid evenly over the plane of the first two principal components, two standard deviations to either side."""

    def fit(module: nn.Module, rows: Tensor) -> None:
        if not (isinstance(module, HasGrid) and isinstance(module, HasPrototypes)):
            raise InputError(f"plane lays out the units of a grid; {type(module).__name__} has none. Use --net som, or --init spread.")
        module.weight.copy_(plane_of(rows.flatten(1), *module.grid))

    return Init(nn.init.normal_, fit=fit)


def place(module: nn.Module, rows: Tensor, name: str, draw: Callable[[Tensor, int], Tensor]) -> None:
    """Put every unit at a row that `draw(rows, count)` names; where units are more than rows, the others near random ones."""
    if not isinstance(module, HasPrototypes):
        raise InputError(f"{name} puts units at training rows; those of {type(module).__name__} stand for no rows. Use --net kmeans or "
                         "som, or another --init.")
    x, count = rows.flatten(1), len(module.weight)
    units = draw(x, min(count, len(x)))
    if count > len(x):
        others = x[torch.randint(len(x), (count - len(x),), device=x.device)]
        units = torch.cat([units, others + APART * x.std(0) * torch.randn_like(others)])
    module.weight.copy_(units)


def spread_rows(x: Tensor, count: int) -> Tensor:
    """Rows (count, d) of rows (n, d), each drawn with odds proportional to its squared distance from the nearest one drawn before."""
    chosen = torch.randint(len(x), (1,), device=x.device)
    distance = (x - x[chosen]).square().sum(1)
    while len(chosen) < count:
        odds = distance if bool(distance.any()) else torch.ones_like(distance)
        row = torch.multinomial(odds, 1)
        chosen = torch.cat([chosen, row])
        distance = torch.minimum(distance, (x - x[row]).square().sum(1))
    return x[chosen]


def plane_of(x: Tensor, rows: int, columns: int) -> Tensor:
    """A grid of points (rows * columns, d) in the plane of the first two principal components of rows (n, d); the longer side lies along
    the first.
    """
    mean = x.mean(0)
    _, values, axes = torch.linalg.svd(x - mean, full_matrices=False)
    deviations = values / max(len(x) - 1, 1) ** 0.5
    ends = [2 * deviations[i] * axes[i] if i < len(axes) else torch.zeros_like(mean) for i in range(2)]
    tall, wide = ends if rows >= columns else reversed(ends)
    along = [torch.linspace(-1, 1, side, dtype=x.dtype, device=x.device) if side > 1 else x.new_zeros(1) for side in (rows, columns)]
    at = torch.cartesian_prod(*along)                                              # (rows * columns, 2)
    return mean + at[:, :1] * tall + at[:, 1:] * wide
