"""Least squares in one step, by orthogonal reduction and singular values. Golub (1965), https://doi.org/10.1007/BF01436075"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree
from chainrule.rules.one_layer import SINGLE, check_ridge, only_layer, seen, wanted

SHOWN = 5    # columns, and terms of each, that a sentence about them names
ROWS = 8192  # samples reduced at a time: bounds the memory, changes nothing else


@rule("closedform", source="Gauss (1809); Golub (1965), https://doi.org/10.1007/BF01436075", reads="everything", nets=SINGLE,
      loss="squared", epochs=1)
class ClosedForm:
    """The weights with the least squared error over all samples; among equals, and where inputs repeat each other, the shortest.

    `ridge` adds ridge |w|^2 / 2 to half the summed squared error, the bias excepted: Hoerl & Kennard (1970),
    https://doi.org/10.1080/00401706.1970.10488634. Classes are fitted as one-hot targets. Computed in float64.
    """

    def __init__(self, *, ridge: float = 0.0):
        check_ridge("closedform", ridge, 0.1)
        self.ridge = ridge

    def init(self, net: Net) -> Tree:
        """Nothing to remember. Raises InputError where the net has more than one layer."""
        only_layer(net, "closedform")
        return {}

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        """Write the solution into the net. The report has its loss, and the rank of the inputs, less their mean where there is a bias."""
        weight_name, bias_name = only_layer(net, "closedform")
        weight = net.params[weight_name]  # (outputs, d)
        x, y = batch.x, batch.y
        x = seen(net, x)  # (n, d)
        y = wanted(y, x.new_empty(len(x), weight.shape[0]))  # (n, outputs)
        share = batch.weighted(torch.ones_like(x[:, 0])).double()[:, None]  # (n, 1)
        if bias_name is None:
            x_mean, y_mean = x.new_zeros(x.shape[1]).double(), y.new_zeros(y.shape[1]).double()
        else:
            x_mean, y_mean = _mean(x, share), _mean(y, share)  # (d,), (outputs,)
        triangle = _reduced(x, y, share.sqrt(), x_mean, y_mean)  # (r, d + outputs)
        solution, rank = _shortest(triangle[:, : x.shape[1]], triangle[:, x.shape[1] :], self.ridge, _cutoff(x))  # (d, outputs)
        weight.copy_(solution.T)
        if bias_name is not None:
            net.params[bias_name].copy_(y_mean - x_mean @ solution)
        outputs = net(batch.x)  # (n, outputs)
        return net, state, {"loss": batch.mean(0.5 * (outputs - y).square().sum(1)), "rank": rank}


def _mean(values: Tensor, share: Tensor) -> Tensor:
    """The weighted mean row, in float64, ROWS at a time."""
    parts = [(v.double() * s).sum(0) for v, s in zip(values.split(ROWS), share.split(ROWS), strict=True)]
    return torch.stack(parts).sum(0) / share.sum()


def _reduced(x: Tensor, y: Tensor, scale: Tensor, x_mean: Tensor, y_mean: Tensor) -> Tensor:
    """The triangle R of QR = scale * [x - mean, y - mean]: all that least squares needs to know of the rows."""
    triangle: Tensor | None = None
    for xs, ys, scales in zip(x.split(ROWS), y.split(ROWS), scale.split(ROWS), strict=True):
        rows = torch.cat([xs.double() - x_mean, ys.double() - y_mean], 1) * scales
        triangle = torch.linalg.qr(rows if triangle is None else torch.cat([triangle, rows]), mode="r").R
    assert triangle is not None
    return triangle


def _shortest(a: Tensor, b: Tensor, ridge: float, cutoff: float) -> tuple[Tensor, Tensor]:
    """The shortest w that minimises |a w - b|^2 + ridge |w|^2, and the rank of `a`: singular values below the cutoff count as zero."""
    u, s, vh = torch.linalg.svd(a, full_matrices=False)
    large = s > cutoff * s.amax()  # (r,)
    gain = torch.where(large, s / (s.square() + ridge).clamp(min=torch.finfo(s.dtype).tiny), 0.0)
    return vh.mH @ (gain[:, None] * (u.mH @ b)), large.sum()


def _cutoff(x: Tensor) -> float:
    """What is rounding relative to the greatest singular value: in the inputs as stored, and in the float64 reduction."""
    return max(10 * torch.finfo(x.dtype).eps, max(x.shape) * torch.finfo(torch.double).eps)


@torch.no_grad()
def dependent_columns(x: Tensor, names: Sequence[str], *, bias: bool = True) -> dict[str, dict[str, float]]:
    """The columns of inputs (n, d) that are sums of multiples of columns before them, each with those multiples.

    With `bias` a constant may be added too, so that a constant column is a sum of none. From left to right, each column is kept if it has a
    part at right angles to those kept before: Gram-Schmidt in float64, twice, on the triangle of the rows' reduction.
    """
    x = x.flatten(1)
    if len(names) != x.shape[1]:
        raise InputError(f"dependent_columns expects a name for each of {x.shape[1]} columns; got {len(names)}.")
    ones = x.new_ones(len(x), 1).double()
    mean = _mean(x, ones) if bias else x.new_zeros(x.shape[1]).double()                 # (d,)
    a = _reduced(x, x[:, :0], ones, mean, mean[:0])                                     # (r, d)
    size = a.norm(dim=0) + (mean.abs() * len(x) ** 0.5)                                 # (d,)
    base: list[int] = []
    basis = a[:, :0]                                                                    # (r, kept)
    dependent: dict[str, dict[str, float]] = {}
    for j, name in enumerate(names):
        rest = a[:, j]
        for _ in range(2):
            rest = rest - basis @ (basis.T @ rest)
        if float(rest.norm()) > _cutoff(x) * float(size[j]):
            base.append(j)
            basis = torch.cat([basis, (rest / rest.norm())[:, None]], 1)
        else:
            factors = torch.linalg.lstsq(a[:, base], a[:, j : j + 1], driver="gelsd").solution.flatten() if base else a.new_zeros(0)
            dependent[name] = {names[k]: float(f) for k, f in zip(base, factors, strict=True) if abs(f * size[k]) > 1e-6 * size[j]}
    return dependent


def singular(x: Tensor, names: Sequence[str], *, bias: bool = True) -> str | None:
    """A sentence that names rank and dependent columns of inputs (n, d), or None where every column says something of its own."""
    depends = dependent_columns(x, names, bias=bias)
    if not depends:
        return None
    equations = [f"{name} = {_terms(of)}" for name, of in list(depends.items())[:SHOWN]]
    more = f", and {len(depends) - SHOWN} more" if len(depends) > SHOWN else ""
    return (f"The inputs have rank {len(names) - len(depends)}, not {len(names)}: {'; '.join(equations)}{more}. Of all weights that fit "
            "equally well the shortest are taken; leave these columns out, or use closedform:ridge=0.1, to have weights with a meaning.")


def _terms(of: dict[str, float]) -> str:
    if not of:
        return "a constant"
    terms = [f"{factor:.4g} {name}" for name, factor in list(of.items())[:SHOWN]]
    return " + ".join([*terms, *(["..."] if len(of) > SHOWN else [])]).replace("+ -", "- ")
