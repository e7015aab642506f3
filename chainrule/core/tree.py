"""Arithmetic on dicts of tensors, and the one helper that differentiates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from chainrule.core.net import Net

Tree = Any  # a tensor, or dicts of trees; params, buffers, optimizer state and directions are all trees


def clone(tree: Tree) -> Tree:
    """A copy that shares no memory with `tree`, detached from any graph."""
    return pytree.tree_map(lambda t: t.detach().clone() if isinstance(t, Tensor) else t, tree)


def leaves(tree: Tree) -> list[Tensor]:
    return [t for t in pytree.tree_leaves(tree) if isinstance(t, Tensor)]


def real(t: Tensor) -> Tensor:
    """The tensor itself; of complex numbers (...), their real and imaginary parts (..., 2), in the same memory."""
    return torch.view_as_real(t) if t.is_complex() else t


def scale(tree: Tree, factor: float | Tensor) -> Tree:
    return pytree.tree_map(lambda t: t * factor, tree)


def dot(a: Tree, b: Tree) -> Tensor:
    """The sum of products over all entries, a scalar."""
    return torch.stack([(real(u) * real(v)).sum() for u, v in zip(leaves(a), leaves(b), strict=True)]).sum()


def norm(tree: Tree) -> Tensor:
    """The Euclidean norm over all entries, a scalar."""
    return torch.stack([real(t).square().sum() for t in leaves(tree)]).sum().sqrt()


def wrapped(tensors: list[Tensor]) -> bool:
    """Whether a transformation (vmap, grad, compile) holds these tensors: list kernels have no rule there, or no use."""
    return torch.compiler.is_compiling() or any(torch._C._functorch.is_functorch_wrapped_tensor(t) for t in tensors)


@torch.no_grad()
def add_(tree: dict[str, Tensor], other: dict[str, Tensor], factor: float | Tensor = 1.0) -> None:
    """In place, `tree += factor * other`, as one list kernel where that exists. Keys of `other` may be fewer."""
    into, what = [tree[name] for name in other], list(other.values())
    if isinstance(factor, Tensor):
        for t, o in zip(into, what, strict=True):
            t.add_(o * factor)
    elif wrapped(into) or wrapped(what):
        for t, o in zip(into, what, strict=True):
            t.add_(o * factor)  # inductor forgets alpha where `o` is a product of matrices
    else:
        torch._foreach_add_(into, what, alpha=factor)


def value_and_grad(f: Callable[..., tuple[Tensor, Any]], net: Net, *args: Any) -> tuple[Tensor, Any, dict[str, Tensor]]:
    """`f(net, *args) -> (scalar, aux)`, aux a tree of tensors (or `{}`), and the gradient of the scalar with respect to `net.params`.

    A parameter that the scalar does not depend on has no gradient: it is left out, and noted as `idle` with a bound net.

    Eagerly, with the tensors bound in the module, this is plain autograd; where they are swapped (vmap, compile) it is
    `torch.func.grad`, which can be captured in one graph. `f` must take the net as an argument: closing over it would
    break batch normalisation under `vmap(grad)`.
    """
    if net.bound:
        if torch.is_grad_enabled():
            value, aux = f(net, *args)
        else:
            with torch.enable_grad():
                value, aux = f(net, *args)
        slopes = torch.autograd.grad(value, list(net.params.values()), allow_unused=True)
        grads = {name: slope for name, slope in zip(net.params, slopes, strict=True) if slope is not None}
        if net.idle or len(grads) < len(net.params):
            net.idle = frozenset(net.params.keys() - grads.keys())
        return value.detach(), aux, grads

    def at(params: dict[str, Tensor], net: Net, *args: Any) -> tuple[Tensor, Any]:
        return f(net.at({**net.params, **params}), *args)

    moving = {name: p for name, p in net.params.items() if name not in net.idle}
    grads_, (value, aux) = torch.func.grad_and_value(at, has_aux=True)(moving, net, *args)
    return value, aux, grads_


def value_and_grad_of(part: str, f: Callable[..., tuple[Tensor, Any]], net: Net, *args: Any) -> tuple[Tensor, Any, dict[str, Tensor]]:
    """As `value_and_grad`, with the gradient with respect to the parameters under `part` alone; `{}` where all of them are frozen."""
    side = net.only(part)
    if not side.params:
        with torch.no_grad():
            value, aux = f(side, *args)
        return value, aux, {}
    value, aux, slope = value_and_grad(f, side, *args)
    if net.bound:
        net.idle = (net.idle - side.params.keys()) | side.idle
    return value, aux, slope
