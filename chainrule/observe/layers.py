"""What a network looks like from outside: a row per layer with its shapes, its parameters, its multiply-adds and its memory.

One multiply-add is one weight used once, as counted in He et al. (2016), https://doi.org/10.1109/CVPR.2016.90; biases,
nonlinearities and pooling count nothing. Products are counted as the forward pass asks for them; recurrent and attention layers,
which run as one fused call, by formula. Memory is what automatic differentiation keeps of the forward pass until it is back, for the
parameters that learn, without parameters and buffers themselves: each tensor once, however many layers need it, at the one that asked
for it first; what a block asked for by itself at the layer that ran last.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from chainrule.core.duplicate import duplicate
from chainrule.core.errors import InputError
from chainrule.core.text import counted

SAMPLES = 2  # two, because a lone sample's axis is lost to squeeze()
LARGE = 10**7  # parameters; below, a copy is cheaper than the second that loading the meta device's arithmetic takes
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
CHANNELLED = (*CONVOLUTIONS, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Layer:
    """One row: `input` and `output` without the sample axis, None where the forward pass does not run it.

    `multiply_adds` and `memory`, in bytes, are those of one sample. Dropout is not at work; in training it keeps its mask as well.
    """

    name: str
    kind: str
    input: tuple[int, ...] | None
    output: tuple[int, ...] | None
    parameters: int
    multiply_adds: int
    memory: int


def layers(module: nn.Module, input_shape: tuple[int, ...]) -> list[Layer]:
    """The layers in the order in which they run, for samples of `input_shape`. Shared parameters count once, where first used.

    Runs a copy on two samples of zeros, a large one without memory or arithmetic (the meta device) where that goes. The
    module, its buffers and the random state stay as they are. Raises InputError naming the layer that cannot read what it gets.
    """
    if sum(p.numel() for p in module.parameters()) > LARGE:
        with contextlib.suppress(Exception):  # whatever the meta device cannot do; the run on real numbers has the last word
            return _Walk(_twin(module, "meta"), "meta").run(input_shape)
    return _Walk(_twin(module, "cpu"), "cpu").run(input_shape)


def shape_text(shape: tuple[int, ...] | None) -> str:
    """`20 x 24 x 24`; `-` for a layer that does not run, `1` for one number."""
    return "-" if shape is None else " x ".join(map(str, shape)) or "1"


def first_weights(module: nn.Module, input_shape: tuple[int, ...]) -> tuple[Tensor, tuple[int, int, int]] | None:
    """The first weights that can be seen as pictures (k, channels, height, width), and the shape of one; None where there are none.

    Filters larger than 1 x 1, or weights of a dense layer that reads the whole picture (channels, height, width) or (height,
    width). Filters over other than one or three channels come as one picture a channel.
    """
    c, h, w = (1,) * (3 - len(input_shape)) + input_shape if len(input_shape) in (2, 3) else (0, 0, 0)
    for weight in map(Tensor.detach, module.parameters()):
        if weight.dim() == 4 and min(weight.shape[2:]) > 1:
            filters = weight if weight.shape[1] in (1, 3) else weight.reshape(-1, 1, *weight.shape[2:])
            return filters.clone(), (filters.shape[1], filters.shape[2], filters.shape[3])
        if weight.dim() == 2 and c * h * w > 0 and c * h * w in weight.shape:
            rows = weight if weight.shape[1] == c * h * w else weight.T
            return rows.reshape(-1, c, h, w).clone(), (c, h, w)
    return None


class _Walk:
    """One forward pass of a copy, watched by hooks."""

    def __init__(self, module: nn.Module, device: str):
        self.module, self.device = module, device
        self.names = {m: name or "(net)" for name, m in module.named_modules()}
        self.products = _Products()
        self.own = {t.untyped_storage()._cdata for t in (*module.parameters(), *module.buffers())}
        self.opaque = {child for m in self.names if _whole(m) for child in m.modules() if child is not m}
        self._clear()

    def _clear(self) -> None:
        self.order: dict[nn.Module, None] = {}
        self.inputs: dict[nn.Module, tuple[int, ...]] = {}
        self.outputs: dict[nn.Module, tuple[int, ...]] = {}
        self.counted = dict.fromkeys(self.names, 0)  # multiply-adds of all calls and samples, those of submodules left out
        self.running: list[_Call] = []
        self.latest: nn.Module | None = None  # that has no parts
        self.storages: dict[int, Tensor] = {}  # by their storages, which live as long as the walk, so that none is counted twice
        self.memory = dict.fromkeys(self.names, 0)  # bytes for all samples

    def run(self, input_shape: tuple[int, ...]) -> list[Layer]:
        for m in self.names:
            m.register_forward_pre_hook(self._enter, with_kwargs=True)
            m.register_forward_hook(self._leave, with_kwargs=True)
        with _quietly(self.device):
            self._forward(input_shape)
        seen: set[nn.Parameter] = set()
        return [self._row(m, seen) for m in {**self.order, **dict.fromkeys(self.names)} if m not in self.opaque and self._matters(m)]

    def _forward(self, input_shape: tuple[int, ...]) -> None:
        """Run on real numbers, or on codes where the net reads codes."""
        floats = next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.get_default_dtype())
        kinds = [torch.long, floats] if any(isinstance(m, nn.Embedding | nn.EmbeddingBag) for m in self.names) else [floats]
        for kind in kinds:
            x = torch.zeros(SAMPLES, *input_shape, dtype=kind, device=self.device)
            self._clear()
            try:
                with self.products, torch.enable_grad(), saved_tensors_hooks(self._keep, _unneeded):
                    self.module(x)
                return
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                if kind is kinds[-1]:
                    raise self._refusal(error, input_shape) from None

    def _refusal(self, error: Exception, input_shape: tuple[int, ...]) -> InputError:
        module, shape = (self.running[-1].module, self.running[-1].shape[1:]) if self.running else (self.module, input_shape)
        why = _wanted(module, shape) or "; ".join(part.strip().rstrip(".") for part in str(error).strip().split("\n")[0].split(". "))
        from_where = f", which samples of shape {tuple(input_shape)} have become there" if shape != tuple(input_shape) else ""
        return InputError(f"{self.names[module]} ({type(module).__name__}) cannot read an input of shape {shape}{from_where}: {why}. "
                          "Use samples of another size, or a net made for this one.")

    def _enter(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        self.order.setdefault(module)
        shape = _shape((inputs, named)) or ()
        self.inputs[module] = shape[1:]
        self.running.append(_Call(module, shape, self.products.count))

    def _keep(self, tensor: Tensor) -> None:
        """Count what the backward pass needs, a view as all that it is a view of."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self.storages and storage._cdata not in self.own:
            self.storages[storage._cdata] = tensor
            asking = self.running[-1].module
            block = next(asking.children(), None) is not None and next(_own(asking), None) is None
            self.memory[self.latest if block and self.latest is not None else asking] += storage.nbytes()

    def _leave(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        call = self.running.pop()
        whole = self.products.count - call.before
        if self.running:
            self.running[-1].below += whole
        self.counted[module] += whole - call.below + _fused(module, _tensors((inputs, named)))
        self.outputs[module] = (_shape(output) or ())[1:]
        if next(module.children(), None) is None:
            self.latest = module

    def _matters(self, m: nn.Module) -> bool:
        """A row for what runs and has no parts, for what holds parameters of its own, and for what multiplies by itself."""
        runs_alone = m in self.order and next(m.children(), None) is None
        return runs_alone or self.counted[m] > 0 or self.memory[m] > 0 or next(_own(m), None) is not None

    def _row(self, m: nn.Module, seen: set[nn.Parameter]) -> Layer:
        own = [p for p in _own(m) if p not in seen]
        seen.update(own)
        return Layer(self.names[m], type(m).__name__, self.inputs.get(m), self.outputs.get(m), sum(p.numel() for p in own),
                     round(self.counted[m] / SAMPLES), round(self.memory[m] / SAMPLES))


@dataclass
class _Call:
    """A module that is running: the shape it got, the multiply-adds counted before it, and those of its parts since."""

    module: nn.Module
    shape: tuple[int, ...]
    before: int
    below: int = 0


def _whole(m: nn.Module) -> bool:
    """Whether the module is one row with all its parts, which it reads without calling them."""
    return isinstance(m, nn.MultiheadAttention)


def _own(m: nn.Module) -> Iterator[nn.Parameter]:
    return m.parameters(recurse=_whole(m))


def _twin(module: nn.Module, device: str) -> nn.Module:
    """A copy in evaluation mode whose tensors are empty (meta) or copies, and whose hooks are gone; tied tensors stay tied."""
    memo: dict[int, Any] = {}
    for m in module.modules():
        for t in [*m._parameters.values(), *m._buffers.values(), *vars(m).values()]:
            if isinstance(t, Tensor) and id(t) not in memo:
                bare = t.detach().to(device, copy=True)
                memo[id(t)] = nn.Parameter(bare, t.requires_grad) if isinstance(t, nn.Parameter) else bare
    twin = duplicate(module, memo).eval()
    for m in twin.modules():
        for hooks in (m._forward_hooks, m._forward_pre_hooks):
            hooks.clear()
    return twin


@contextlib.contextmanager
def _quietly(device: str) -> Iterator[None]:
    """No trace in the random state, and attention as written rather than as one fused call that runs no submodule."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.random.fork_rng(devices=[]), torch.device(device):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _unneeded(_: None) -> Tensor:
    """Nothing goes back."""
    raise RuntimeError("a look at layers has no backward pass")


def _tensors(values: Any) -> list[Tensor]:
    return [t for t in pytree.tree_leaves(values) if isinstance(t, Tensor)]


def _shape(values: Any) -> tuple[int, ...] | None:
    """The shape of the first tensor among `values`."""
    return next((tuple(t.shape) for t in _tensors(values)), None)


def _wanted(module: nn.Module, shape: tuple[int, ...]) -> str:
    """What the layer's own sizes say it needs, where that is the fault."""
    if isinstance(module, nn.Linear) and shape and module.in_features not in (shape[-1], math.prod(shape)):
        return f"it needs {module.in_features} numbers"
    if isinstance(module, CHANNELLED) and shape and shape[0] != module.in_channels:
        return f"it needs {counted(module.in_channels, 'channel')}"
    if isinstance(module, CONVOLUTIONS) and not isinstance(module.padding, str):
        kernel = [d * (k - 1) + 1 for k, d in zip(module.kernel_size, module.dilation)]
        if any(side + 2 * pad < k for side, pad, k in zip(shape[1:], module.padding, kernel)):
            return f"its kernel covers {shape_text(tuple(kernel))}"
    return ""


class _Products(TorchFunctionMode):
    """Counts the multiply-adds of every matrix product and convolution a forward pass asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name in COUNTED:
            self.count += COUNTED[name](_tensors((args, kwargs)), _tensors(result)[0], args)
        return result


def _contracted(tensors: list[Tensor], out: Tensor, args: Any) -> int:
    """The sizes of both factors and the result multiply to the square of the count, whichever axes are summed."""
    return math.isqrt(tensors[0].numel() * tensors[1].numel() * out.numel())


def _matmul(tensors: list[Tensor], out: Tensor, args: Any) -> int:
    return out.numel() * tensors[0].shape[-1]


def _second(tensors: list[Tensor], out: Tensor, args: Any) -> int:
    """As `_matmul`, where the left factor comes second."""
    return out.numel() * tensors[1].shape[-1]


def _gathered(tensors: list[Tensor], out: Tensor, args: Any) -> int:
    """Each output reads one row of the weights (outputs, ...)."""
    return out.numel() * math.prod(tensors[1].shape[1:])


def _scattered(tensors: list[Tensor], out: Tensor, args: Any) -> int:
    """Each input is spread over one row of the weights (inputs, ...)."""
    return tensors[0].numel() * math.prod(tensors[1].shape[1:])


def _bilinear(tensors: list[Tensor], out: Tensor, args: Any) -> int:
    return out.numel() * math.prod(tensors[2].shape[1:])


def _einsum(tensors: list[Tensor], out: Tensor, args: Any) -> int:
    """Every combination of the indices, once for each product; one that a single factor has and the result lacks is summed before."""
    read, arrow, written = args[0].replace(" ", "").partition("->")
    sizes: dict[str, int] = {}
    for part, t in zip(read.split(","), tensors):
        before, dots, after = part.partition("...")
        places = [*before, *(f".{i}" for i in range(len(before) + len(after) - t.dim(), 0) if dots), *after]
        for place, size in zip(places, t.shape):
            if not arrow or place.startswith(".") or read.count(place) > 1 or place in written:
                sizes[place] = max(size, sizes.get(place, 1))
    return math.prod(sizes.values()) * (len(tensors) - 1)


def _attended(tensors: list[Tensor], out: Tensor, args: Any) -> int:
    """Queries with keys, and the shares with values."""
    query, key, value = tensors[:3]
    return query.numel() // query.shape[-1] * key.shape[-2] * (query.shape[-1] + value.shape[-1])


COUNTED = {
    "conv1d": _gathered, "conv2d": _gathered, "conv3d": _gathered,
    "conv_transpose1d": _scattered, "conv_transpose2d": _scattered, "conv_transpose3d": _scattered,
    "matmul": _matmul, "__matmul__": _matmul, "mm": _matmul, "bmm": _matmul, "mv": _matmul, "dot": _matmul,
    "addmm": _second, "baddbmm": _second, "addmv": _second, "__rmatmul__": _second,
    "linear": _contracted, "tensordot": _contracted, "bilinear": _bilinear, "einsum": _einsum, "scaled_dot_product_attention": _attended,
}


def _fused(m: nn.Module, arriving: list[Tensor]) -> int:
    """Weights used, summed over all samples of one call, by layers whose products are out of sight."""
    if isinstance(m, nn.RNNBase | nn.RNNCellBase):
        return arriving[0].numel() // m.input_size * _recurrent(m)
    return _attention(m, arriving) if isinstance(m, nn.MultiheadAttention) else 0


def _recurrent(m: Any) -> int:
    """Weights used at one time step of one sample: every matrix of every layer and direction once."""
    return sum(p.numel() for name, p in m.named_parameters(recurse=False) if "weight" in name)


def _attention(m: nn.MultiheadAttention, arriving: list[Tensor]) -> int:
    """Projections of queries, keys, values and result, and the two products with every pair of places."""
    query, key = arriving[0], arriving[min(1, len(arriving) - 1)]
    places, others = query.numel() // m.embed_dim, key.numel() // m.kdim  # of all samples together
    samples = 1 if query.dim() == 2 else query.shape[0 if m.batch_first else 1]
    projections = places * m.embed_dim * 2 + others * (m.kdim + m.vdim)
    operations: int = (projections + 2 * places * others // samples) * m.embed_dim
    return operations
