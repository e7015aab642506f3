"""What solvers ask of an objective: values and slopes over one vector of parameters, and curvature by differentiating twice.

Products with the Gauss-Newton matrix follow Schraudolph (2002), https://doi.org/10.1162/08997660260028683. A derivative along a direction
is taken by differentiating the pulled-back slope, which is linear in what is pulled back, so the forward pass is kept, never repeated:
Pearlmutter (1994), https://doi.org/10.1162/neco.1994.6.1.147, as Townsend (2017), https://j-towns.github.io/2017/06/12/A-new-trick.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Objective
from chainrule.core.errors import InputError
from chainrule.core.kernels import written_out
from chainrule.core.net import Net

NOISE = 16.0       # roundings by which equal values may seem to differ
ONCE = ("is not implemented", "once_differentiable", "Double backwards")  # what torch says where there is no second derivative
ROWS_AT_ONCE = 64  # of a matrix of second derivatives or a Jacobian: each holds as much memory as one backward pass


def flat(net: Net) -> Tensor:
    """A copy of all trained parameters as one vector (p,)."""
    return torch.cat([p.detach().reshape(-1) for p in net.params.values()])


class Surface:
    """An objective over one batch as a function of one vector (p,) of all trained parameters: a landscape that stands still for a step.

    Every evaluation draws the same random numbers, those of a seed drawn when the surface is made. Only the first one moves the net's
    buffers; the later ones start from copies of what they were. `evaluations` counts passes over the batch.
    """

    def __init__(self, net: Net, batch: Batch, objective: Objective):
        self.net, self.batch, self.objective = net, batch, objective
        self.params = net.params
        self.start = flat(net)                                                                     # (p,)
        self.evaluations = 0
        self._seed = int(torch.randint(2**62, ()))
        self._buffers = {name: b.detach().clone() for name, b in net.buffers.items()}
        self.recurrent = any(isinstance(m, nn.RNNBase) for m in net.module.modules())

    @contextmanager
    def still(self) -> Iterator[None]:
        """Inside, derivatives are taken and random numbers are this surface's."""
        cuda = [self.start.device] if self.start.is_cuda else []
        with torch.random.fork_rng(cuda), torch.enable_grad():
            torch.default_generator.manual_seed(self._seed)
            if cuda:
                torch.cuda.manual_seed(self._seed)
            yield

    @contextmanager
    def twice(self) -> Iterator[None]:
        """Inside, what is computed can be differentiated twice: kernels and cuDNN's recurrent layers cannot, and others take their place.

        Raises InputError for a net with an operation that has no second derivative.
        """
        fused = torch.backends.cudnn.enabled and not self.recurrent
        try:
            with written_out(), torch.backends.cudnn.flags(enabled=fused, benchmark=torch.backends.cudnn.benchmark):
                yield
        except (RuntimeError, NotImplementedError) as error:
            words = str(error).splitlines()[0] if str(error) else ""
            if not any(word in words for word in ONCE):
                raise
            raise InputError("An optimizer that measures curvature differentiates twice, which a layer of "
                             f"{type(self.net.module).__name__} does not bear ({words[:120]}). Use --optimizer lbfgs or "
                             "conjugate, which differentiate once.") from error

    def at(self, where: Tensor) -> Net:
        """The net with the parameters of a vector (p,), of which it is a function."""
        buffers = self.net.buffers if self.evaluations == 0 else {name: b.clone() for name, b in self._buffers.items()}
        parts = where.split([p.numel() for p in self.params.values()])
        moved = {name: part.view(p.shape) for (name, p), part in zip(self.params.items(), parts, strict=True)}
        return Net(self.net.module, {**self.net.params, **moved}, buffers, caller=self.net.caller)

    def value(self, where: Tensor) -> float:
        """The objective at a vector (p,)."""
        with self.still(), torch.no_grad():
            value = self.objective.value(self.at(where), self.batch)
        self.evaluations += 1
        return float(value)

    def slope(self, where: Tensor, *, again: bool = False) -> tuple[Tensor, Tensor]:
        """The objective at a vector (p,), a scalar, and its gradient (p,); with `again`, one that can be differentiated once more."""
        with self.still():
            if not again:
                where = where.detach().requires_grad_()
            value = self.objective.value(self.at(where), self.batch)
            (slope,) = torch.autograd.grad(value, where, create_graph=again)
        self.evaluations += 1
        return value.detach(), slope

    @torch.no_grad()
    def move(self, where: Tensor) -> None:
        """Write a vector (p,) into the net's parameters, but for those that the objective does not depend on."""
        for (name, p), part in zip(self.params.items(), where.split([p.numel() for p in self.params.values()]), strict=True):
            if name not in self.net.idle:
                p.copy_(part.view(p.shape))

    def share_of_fall(self, value: Tensor, reached: float, fall: float) -> tuple[float, bool]:
        """The share of the `fall` predicted from `value` that came, and whether less was predicted than rounding shows.

        A shorter step would not be seen to fall then either. If it was the first, and nothing was lost, the net stands at the bottom: 1.
        """
        info, start = torch.finfo(value.dtype), float(value)
        noise = NOISE * info.eps * abs(start)
        if fall <= noise and self.evaluations == 2 and reached <= start + noise:
            return 1.0, True
        return (start - reached) / max(fall, info.tiny), fall <= noise

    def weights(self) -> Tensor:
        """1 where the vector holds a weight that penalties apply to, 0 where a bias, (p,)."""
        return torch.cat([p.new_full((p.numel(),), float(p.dim() > 1)) for p in self.params.values()])

    def some(self, rows: int) -> Batch:
        """A random sample, without replacement, of the batch's rows; all of them, in their order, where there are no more."""
        if rows >= len(self.batch):
            return self.batch
        with self.still():
            picked = torch.randperm(len(self.batch), device=self.start.device)[:rows]
        return self.batch.map(lambda t: t[picked])

    def report(self, loss: Tensor, **numbers: float) -> dict[str, Tensor]:
        """What a step reports: the loss before it, the passes it took, and `numbers`."""
        figures = {"evaluations": float(self.evaluations), **numbers}
        return {"loss": loss, **{name: loss.new_tensor(number) for name, number in figures.items()}}


class GaussNewton:
    """Products v -> J' H J v of a batch at a vector of parameters: J is the outputs' Jacobian, H the loss's Hessian in them.

    The penalty's l2 is added. With `structural` s, so is s J_h' J_h, with J_h the Jacobian of the hidden states, `module.states(x)`, and
    the mean taken over the batch: Martens & Sutskever (2011), https://icml.cc/2011/papers/532_icmlpaper.pdf. `products` counts.
    """

    def __init__(self, surface: Surface, where: Tensor, batch: Batch, *, structural: float = 0.0):
        self.products, self.structural = 0, structural
        self.shrink = surface.weights() * surface.objective.l2 if surface.objective.l2 else None    # (p,)
        self.surface = surface
        with surface.still(), surface.twice():
            self.where = where.detach().requires_grad_()
            self.outputs = surface.at(self.where)(batch.x)                                          # (n, ...)
            self.ends = self.outputs.detach().requires_grad_()
            value = surface.objective.loss_of(self.ends, batch)
            (self.slope,) = torch.autograd.grad(value, self.ends, create_graph=True)
            self.pulled, self.pull = _pulled(self.outputs, self.where)
        self.hidden: Tensor | None = None
        if structural:
            with surface.still(), surface.twice():
                self.hidden = surface.at(self.where).call("states", batch.x)                        # (n, ...)
                self.pulled_hidden, self.pull_hidden = _pulled(self.hidden, self.where)

    def __call__(self, v: Tensor) -> Tensor:
        """The product with a vector (p,)."""
        self.products += 1
        with self.surface.twice():
            return self._product(v)

    def _product(self, v: Tensor) -> Tensor:
        product = torch.zeros_like(v)
        if self.slope.requires_grad:
            (along,) = torch.autograd.grad(self.pulled, self.pull, v, retain_graph=True)
            (bent,) = torch.autograd.grad(self.slope, self.ends, along, retain_graph=True, materialize_grads=True)
            product = torch.autograd.grad(self.outputs, self.where, bent, retain_graph=True)[0]
        if self.hidden is not None:
            (along,) = torch.autograd.grad(self.pulled_hidden, self.pull_hidden, v, retain_graph=True)
            back = torch.autograd.grad(self.hidden, self.where, along, retain_graph=True)[0]
            product = product + self.structural / len(self.hidden) * back
        return product if self.shrink is None else product + self.shrink * v


def _pulled(outputs: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """J' u as a differentiable function of u, and u, shaped like the outputs."""
    pull = torch.zeros_like(outputs).requires_grad_()
    (pulled,) = torch.autograd.grad(outputs, where, pull, create_graph=True)
    return pulled, pull


def hessian(slope: Tensor, where: Tensor) -> Tensor:
    """The matrix of second derivatives (p, p), made symmetric, from a gradient (p,) that can be differentiated again."""
    p = len(where)
    if not slope.requires_grad:
        return where.new_zeros(p, p)
    matrix = _derivatives(slope, where, p)
    return (matrix + matrix.T) / 2


def jacobian(values: Tensor, where: Tensor) -> Tensor:
    """The derivatives (m, p) of values (m,): by rows or by columns, whichever are fewer."""
    if len(values) <= len(where):
        return _derivatives(values, where, len(values))
    pulled, pull = _pulled(values, where)
    return _derivatives(pulled, pull, len(where)).T


def _derivatives(values: Tensor, where: Tensor, rows: int) -> Tensor:
    """One backward pass a row, many at once."""
    rows_of_matrix: list[Tensor] = []
    for begin in range(0, rows, ROWS_AT_ONCE):
        some = min(ROWS_AT_ONCE, rows - begin)
        picks = values.new_zeros(some, rows)
        picks[torch.arange(some), begin + torch.arange(some)] = 1
        rows_of_matrix += torch.autograd.grad(values, where, picks, retain_graph=True, is_grads_batched=True, materialize_grads=True)
    return torch.cat(rows_of_matrix)


def within(name: str, least: float, most: float = math.inf, *, open: bool = False, **numbers: float) -> None:
    """Raise InputError where an option lies outside [least, most], or, with `open`, outside ]least, most[."""
    for option, value in numbers.items():
        inside = least < value < most if open else least <= value <= most
        if not (inside and math.isfinite(value)):
            words = f"{'above' if open else 'at least'} {least:g}"
            if most < math.inf:
                words += f" and {'below' if open else 'at most'} {most:g}"
            raise InputError(f"{name} expects {option} to be {words}; got {value}. Leave {option} out for its usual value.")
