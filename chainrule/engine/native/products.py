"""Matrix products, and the update of a parameter by one without a gradient in between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import fx

from chainrule.engine.native.folding import uniform
from chainrule.engine.native.loops import Matrix, Product
from chainrule.engine.native.lowering import Lowering, handles, rewrites
from chainrule.engine.native.scalars import op
from chainrule.engine.native.terms import cast, const
from chainrule.engine.native.tracing import aten
from chainrule.engine.native.views import Lazy, View


@handles(aten.mm, aten.bmm)
def mm(low: Lowering, node: Any, x: Any, mat2: Any) -> View:
    return _product(low, node, x, mat2, 1.0, None)


@handles(aten.addmm)
def addmm(low: Lowering, node: Any, x: Any, mat1: Any, mat2: Any, beta: float, alpha: float) -> View:
    return _added(low, node, x, mat1, mat2, beta, alpha)


@handles(aten.baddbmm)
def baddbmm(low: Lowering, node: Any, x: Any, batch1: Any, batch2: Any, beta: float, alpha: float) -> View:
    return _added(low, node, x, batch1, batch2, beta, alpha)


def _added(low: Lowering, node: Any, x: Any, a: Any, b: Any, beta: float, alpha: float) -> View:
    """beta x + alpha a b"""
    added = low.view(x)
    if beta == 0:
        return _product(low, node, a, b, float(alpha), None)
    if beta != 1:
        added = _times(added, beta)
    buffer, offset, strides = low.strided(added)
    shape = node.meta["val"].shape
    spread = [0] * (len(shape) - len(strides)) + [s if n != 1 else 0 for n, s in zip(added.shape, strides, strict=True)]
    return _product(low, node, a, b, float(alpha), (buffer, offset, spread))


def _times(view: View, factor: float) -> View:
    number = const(factor, view.dtype)
    return View.of(Lazy(view.dtype, view.shape, lambda index: op("mul", view.load(index), number), "mul"))


def _product(low: Lowering, node: Any, a: Any, b: Any, alpha: float, bias: Matrix | None) -> View:
    meta = node.meta["val"]
    home = low.destined.get(node)
    buffer = low.temporary(meta.dtype, meta.shape, home.strides if home is not None else None)
    *stack, m, n = meta.shape
    kernel = Product(str(node.target), (m, n, a.meta["val"].shape[-1]), list(stack), _matrix(low, a), _matrix(low, b),
                     (buffer, 0, list(buffer.strides)), bias, const(alpha, meta.dtype))
    low.kernels.append(kernel)
    low.products[node] = kernel
    return View.of(buffer)


def _matrix(low: Lowering, node: Any) -> Matrix:
    """Where the matrix lies; spread out, if it is not yet, because the kernels want distinct rows and columns."""
    view = low.view(node)
    buffer, offset, strides = low.strided(view)
    if any(s == 0 and n > 1 for n, s in zip(view.shape[-2:], strides[-2:], strict=True)):
        buffer, offset, strides = low.strided(low.dense(view))
    return buffer, offset, strides


@rewrites
def updated(low: Lowering, node: Any) -> View | None:
    """`beta P + alpha A B`, the new value of the learner's tensor P, as one product onto P; None where that is not what `node` is.

    The gradient is never written to memory, which halves what a step of plain gradient descent moves.
    """
    home = low.destined.get(node)
    if home is None or home.kind != "learner" or node.target not in (aten.add.Tensor, aten.sub.Tensor):
        return None
    first, second = node.args[:2]
    sign = node.kwargs.get("alpha", 1) * (-1 if node.target is aten.sub.Tensor else 1)
    for old_term, moved, kept_sign, moved_sign in ((first, second, 1, sign), (second, first, sign, 1)):
        old, product = _scaled(low, old_term), _scaled(low, moved)
        if old is None or product is None or product[0] not in low.products or product[0].target not in (aten.mm.default, aten.bmm.default):
            continue
        if old[2] or old[4] != sorted(old[4]):
            continue
        view = low.values.get(old[0])
        if not isinstance(view, View) or view.buffer is not home or view.where != View.of(home).where:
            continue
        chain, source = product[3], product[0]
        if any(low.uses(n) != 1 or n in low.destined for n in chain) or source.meta["val"].dtype != home.dtype:
            continue
        kernel = low.products.pop(source)
        low.kernels.remove(kernel)  # kernels are equal to themselves alone
        buffer = low.temporary(home.dtype, home.shape, home.strides)
        alpha = const(moved_sign * product[1], home.dtype)
        for scalar in product[2]:
            alpha = op("mul", alpha, cast(low.stored(low.view(scalar)).load([]), home.dtype))
        order = product[4]
        into = (buffer, 0, [home.strides[d] for d in order])
        low.kernels.append(replace(kernel, origin=f"{kernel.origin}, {node.target}", c=into, alpha=alpha, beta=float(kept_sign * old[1]),
                                   onto=home))
        return View.of(buffer)
    return None


def _scaled(low: Lowering, arg: Any) -> tuple[fx.Node, float, list[fx.Node], list[fx.Node], list[int]] | None:
    """What a node is a multiple of: the node, a number and scalars that it is times, the nodes passed on the way, and the order of axes."""
    if not isinstance(arg, fx.Node):
        return None
    node: Any = arg
    factor, scalars, chain = 1.0, list[fx.Node](), list[fx.Node]()
    order = list(range(node.meta["val"].dim()))
    while True:
        chain.append(node)
        name = node.target
        if name is aten.permute.default:
            turn = [d % len(order) for d in node.args[1]]
            # axis d of what was seen so far is axis turn[d] of the source: order[e] says where the source's axis e went
            back = {t: d for d, t in enumerate(turn)}
            order = [order[back[e]] for e in range(len(order))]
        elif name in (aten.mul.Tensor, aten.mul.Scalar, aten.div.Tensor, aten.div.Scalar):
            other: Any = node.args[1]
            number = uniform(low.folded.constants[other]) if other in low.folded.constants else other
            if isinstance(number, fx.Node):
                if name is not aten.mul.Tensor or other.meta["val"].dim() or not other.meta["val"].is_floating_point():
                    return node, factor, scalars, chain, order
                scalars.append(other)
            elif number is None:
                return node, factor, scalars, chain, order
            else:
                factor = factor * number if name in (aten.mul.Tensor, aten.mul.Scalar) else factor / number
        else:
            return node, factor, scalars, chain, order
        node = node.args[0]
