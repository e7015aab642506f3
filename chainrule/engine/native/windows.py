"""Convolutions and pooling, by the kernels of kernels.h on activations in channels-last order."""

from __future__ import annotations

from typing import Any

import torch

from chainrule.core.errors import PlanRejected
from chainrule.engine.native.loops import Call
from chainrule.engine.native.lowering import Lowering, channels_last, handles
from chainrule.engine.native.scalars import number
from chainrule.engine.native.terms import Buffer
from chainrule.engine.native.tracing import aten
from chainrule.engine.native.views import View


class Pointers:
    """Buffers as the arguments of a call, and how they are named in its text."""

    def __init__(self) -> None:
        self.operands: list[tuple[Buffer, int]] = []

    def __call__(self, buffer: Buffer, offset: int = 0) -> str:
        self.operands.append((buffer, offset))
        return f"{{{len(self.operands) - 1}}}"

    def tensor(self, low: Lowering, view: View) -> str:
        """A 4-D tensor and its strides."""
        buffer, offset, strides = low.strided(view)
        return f"{self(buffer, offset)}, {_struct('cr_strides', strides)}"


def _struct(name: str, numbers: Any) -> str:
    return f"({name}){{{{{', '.join(map(str, numbers))}}}}}"


def _pair(value: Any) -> tuple[int, int]:
    return (value[0], value[-1]) if isinstance(value, (list, tuple)) else (value, value)


def _activations(low: Lowering, node: Any, meta: Any) -> View:
    """A new buffer for what `node` makes, channels-last unless it is the new value of a tensor with another order."""
    home = low.destined.get(node)
    return View.of(low.temporary(meta.dtype, meta.shape, channels_last(meta.shape) if home is None else home.strides))


def _convolution(x: Any, weight: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, groups: int) -> str:
    """The sizes as kernels.h wants them. Raises PlanRejected for those it has no kernel for."""
    if transposed or groups != 1 or len(x.shape) != 4:
        kind = "transposed" if transposed else "grouped" if groups != 1 else f"{len(x.shape) - 2}-dimensional"
        raise PlanRejected(f"native has no {kind} convolutions")
    return _struct("cr_conv", [*x.shape, weight.shape[0], *weight.shape[2:], *_pair(stride), *_pair(padding), *_pair(dilation)])


@handles(aten.convolution, shown=("output_padding",))
def convolution(low: Lowering, node: Any, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
                groups: int) -> View:
    meta = node.meta["val"]
    sizes = _convolution(input.meta["val"], weight.meta["val"], stride, padding, dilation, transposed, groups)
    point = Pointers()
    operands = f"{point.tensor(low, low.view(input))}, {point.tensor(low, low.view(weight))}"
    added = point(*low.strided(_packed(low, bias))[:2]) if bias is not None else "NULL"
    y = _activations(low, node, meta)
    text = f"cr_conv2d({sizes}, {operands}, {added}, {point.tensor(low, y)}, scratch)"
    assert y.buffer is not None
    low.kernels.append(Call(str(node.target), point.operands, {y.buffer}, text, f"cr_conv2d_scratch({sizes})"))
    return y


@handles(aten.convolution_backward, shown=("bias_sizes", "output_padding"))
def convolution_backward(low: Lowering, node: Any, grad_output: Any, input: Any, weight: Any, stride: Any, padding: Any, dilation: Any,
                         transposed: bool, groups: int, output_mask: Any) -> list[View | None]:
    sizes = _convolution(input.meta["val"], weight.meta["val"], stride, padding, dilation, transposed, groups)
    metas = node.meta["val"]
    used = {n.args[1] for n in node.users}
    dy = low.stored(low.view(grad_output))
    slopes: list[View | None] = [None, None, None]
    if 0 in used and output_mask[0]:
        point = Pointers()
        dx = View.of(low.temporary(metas[0].dtype, metas[0].shape, channels_last(metas[0].shape)))
        text = (f"cr_conv2d_backward_input({sizes}, {point.tensor(low, dy)}, {point.tensor(low, low.view(weight))}, "
                f"{point.tensor(low, dx)}, scratch)")
        assert dx.buffer is not None
        low.kernels.append(Call(f"{node.target} (input)", point.operands, {dx.buffer}, text, f"cr_conv2d_backward_input_scratch({sizes})"))
        slopes[0] = dx
    if used & {1, 2}:
        point = Pointers()
        dw = View.of(low.temporary(metas[1].dtype if metas[1] is not None else dy.dtype, weight.meta["val"].shape))
        assert dw.buffer is not None
        written = {dw.buffer}
        text = f"cr_conv2d_backward_weight({sizes}, {point.tensor(low, low.view(input))}, {point.tensor(low, dy)}, {point.tensor(low, dw)}"
        slopes[1] = dw
        if 2 in used and output_mask[2]:
            db = View.of(low.temporary(metas[2].dtype, metas[2].shape))
            assert db.buffer is not None
            written.add(db.buffer)
            text += f", {point(db.buffer)}"
            slopes[2] = db
        else:
            text += ", NULL"
        low.kernels.append(Call(f"{node.target} (weight)", point.operands, written, text + ", scratch)",
                                f"cr_conv2d_backward_weight_scratch({sizes})"))
    return slopes


def _packed(low: Lowering, node: Any) -> View:
    """A vector whose elements are neighbours."""
    view = low.view(node)
    strides = view.strides()
    return view if strides is not None and strides[1] == [1] else low.dense(view)


def _pool(x: Any, y: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> str:
    if len(x.shape) != 4:
        raise PlanRejected("native pools over batches of pictures only")
    return _struct("cr_pool", [*x.shape, *y.shape[2:], *_pair(kernel), *_pair(stride or kernel), *_pair(padding), *_pair(dilation)])


@handles(aten.max_pool2d_with_indices, shown=("ceil_mode",))
def max_pool(low: Lowering, node: Any, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> list[View | None]:
    if any(u.args[1] == 1 and any(v.target is not aten.max_pool2d_with_indices_backward.default for v in u.users) for u in node.users):
        raise PlanRejected("native keeps where the greatest was for the way back only")
    height, width = _pair(kernel_size)
    if height * width > 256:
        raise PlanRejected(f"native pools over at most 256 places; got {height} x {width}")
    meta = node.meta["val"][0]
    n, c, h, w = meta.shape
    point = Pointers()
    operand = point.tensor(low, low.view(x))
    y = View.of(low.temporary(meta.dtype, meta.shape, channels_last(meta.shape)))
    places = View.of(low.temporary(torch.uint8, (n, h, w, c)))
    assert y.buffer is not None
    assert places.buffer is not None
    read = any(u.args[1] == 1 for u in node.users)
    text = (f"cr_maxpool2d({_pool(x.meta['val'], meta, kernel_size, stride, padding, dilation)}, {operand}, {point.tensor(low, y)}, "
            f"{point(places.buffer) if read else 'NULL'})")
    low.kernels.append(Call(str(node.target), point.operands, {y.buffer, *([places.buffer] if read else [])}, text))
    return [y, places]


@handles(aten.max_pool2d_with_indices_backward, shown=("ceil_mode",))
def max_pool_backward(low: Lowering, node: Any, grad_output: Any, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
                      indices: Any) -> View:
    sizes = _pool(x.meta["val"], grad_output.meta["val"], kernel_size, stride, padding, dilation)
    places = low.view(indices).buffer
    return _back(low, node, grad_output, lambda point, dy, dx: f"cr_maxpool2d_backward({sizes}, {dy}, {point(places)}, {dx})")


@handles(aten.avg_pool2d, shown=("ceil_mode",))
def avg_pool(low: Lowering, node: Any, x: Any, kernel_size: Any, stride: Any, padding: Any, count_include_pad: bool,
             divisor_override: int | None) -> View:
    meta = node.meta["val"]
    sizes = _pool(x.meta["val"], meta, kernel_size, stride, padding, 1)
    point = Pointers()
    operand = point.tensor(low, low.view(x))
    y = _activations(low, node, meta)
    assert y.buffer is not None
    counts = _counts(count_include_pad, divisor_override, meta.dtype)
    text = f"cr_avgpool2d({sizes}, {counts}, {operand}, {point.tensor(low, y)})"
    low.kernels.append(Call(str(node.target), point.operands, {y.buffer}, text))
    return y


@handles(aten.avg_pool2d_backward, shown=("ceil_mode",))
def avg_pool_backward(low: Lowering, node: Any, grad_output: Any, x: Any, kernel_size: Any, stride: Any, padding: Any,
                      count_include_pad: bool, divisor_override: int | None) -> View:
    sizes = _pool(x.meta["val"], grad_output.meta["val"], kernel_size, stride, padding, 1)
    counts = _counts(count_include_pad, divisor_override, node.meta["val"].dtype)
    return _back(low, node, grad_output, lambda point, dy, dx: f"cr_avgpool2d_backward({sizes}, {counts}, {dy}, {dx})")


def _counts(count_include_pad: bool, divisor_override: int | None, dtype: Any) -> str:
    """What an average divides by, as kernels.h wants it: whether places of the padding count, and a number instead of their count."""
    return f"{int(count_include_pad)}, {number(float(divisor_override or 0), dtype)}"


def _back(low: Lowering, node: Any, grad: Any, text: Any) -> View:
    """The way back of pooling: from the gradient of the outputs to that of the inputs."""
    point = Pointers()
    dy = point.tensor(low, low.view(grad))
    dx = _activations(low, node, node.meta["val"])
    assert dx.buffer is not None
    into = point.tensor(low, dx)
    low.kernels.append(Call(str(node.target), point.operands, {dx.buffer}, text(point, dy, into)))
    return dx
