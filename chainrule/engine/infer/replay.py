"""A recorded program: the operations a net runs for a batch of fixed size, played back without the net, joined where that is faster.

Batch norm folded into the layer before it: Jacob et al. (2018), https://arxiv.org/abs/1712.05877. Prepacked weights and fused activations
are oneDNN's, as torch's own compiler calls them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

MOST_STEPS = 2000  # a loop over time unrolled so far is no faster played back
ATEN = torch.ops.aten
PACKED_ACTIVATIONS: dict[Any, str] = {ATEN.relu.default: "relu", ATEN.sigmoid.default: "sigmoid", ATEN.tanh.default: "tanh"}
NORMS: dict[Any, int] = {ATEN.native_batch_norm.default: 5, ATEN.cudnn_batch_norm.default: 5}  # where the argument `training` stands
FRESH = (ATEN.convolution.default, ATEN.addmm.default, ATEN.mm.default)      # their results are nobody else's memory
LAYOUTS = (ATEN.as_strided.default, ATEN.set_.source_Storage)                # they read memory, not numbers


class Unrecordable(Exception):
    """The net cannot be recorded; the message says why."""


@dataclass(frozen=True)
class Slot:
    """A value that depends on the input, by number."""

    number: int


@dataclass
class Step:
    """One operation: its arguments, in which slots stand for values, and the slots of its results (None: nobody reads it)."""

    run: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]
    results: list[int | None]
    shape: tuple[int, ...] = ()  # of the first result
    done: list[int] = field(default_factory=list)  # slots that are not read again


class Program:
    """Steps from one input to one output for batches of `rows`; it keeps nothing between calls, so threads may share it."""

    def __init__(self, steps: list[Step], slots: int, output: int, rows: int):
        self.steps, self.slots, self.output, self.rows = steps, slots, output, rows
        last = {number: i for i, step in enumerate(steps) for number in _read(step)}
        for i, step in enumerate(steps):
            produced = [r for r in step.results if r is not None]
            step.done = [n for n in {*_read(step), *produced} if last.get(n, i) == i and n != output]

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        values: list[Any] = [None] * self.slots
        values[0] = x
        for step in self.steps:
            results = step.run(*[_value(a, values) for a in step.args], **{k: _value(a, values) for k, a in step.options.items()})
            if len(step.results) == 1:
                if step.results[0] is not None:
                    values[step.results[0]] = results
            else:
                for number, value in zip(step.results, results, strict=True):
                    if number is not None:
                        values[number] = value
            for number in step.done:
                values[number] = None  # its memory serves the next step while it is still in the cache
        output: Tensor = values[self.output]
        return output


def _value(argument: Any, values: list[Any]) -> Any:
    if isinstance(argument, Slot):
        return values[argument.number]
    return [_value(g, values) for g in argument] if isinstance(argument, list) else argument


def _read(step: Step) -> Iterator[int]:
    for leaf in pytree.tree_leaves((list(step.args), step.options)):
        if isinstance(leaf, Slot):
            yield leaf.number


class _Recorder(TorchDispatchMode):
    """Notes every operation on what depends on the input. Values are told apart by identity, so all are kept alive meanwhile."""

    def __init__(self, x: Tensor):
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        self.steps: list[Step] = []
        self.number: dict[int, int] = {id(x): 0}
        self.alive: list[Any] = [x]
        self.slots = 1

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # keeping the compiler out would first import it, which takes longer than recording

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        self.alive.append((args, kwargs, output))
        known_tensors = [t for t in pytree.tree_leaves((list(args), kwargs)) if isinstance(t, Tensor)]
        known = [t for t in known_tensors if id(t) in self.number]
        views = func._schema.is_mutable is False and any(a.alias_info for a in func._schema.arguments)
        if known_tensors and not known and views:
            return output  # another look at a weight
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Unrecordable(f"it draws random numbers ({func})")
        if {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & {*func.tags} or not isinstance(
                output, Tensor | tuple | list):
            raise Unrecordable(f"what it computes depends on the values ({func})")
        if func in LAYOUTS:
            raise Unrecordable(f"it reads memory by its layout ({func})")
        if func._schema.is_mutable and known_tensors and id(known_tensors[0]) not in self.number:
            raise Unrecordable(f"it changes a tensor that it keeps ({func})")
        if len(self.steps) == MOST_STEPS:
            raise Unrecordable(f"it takes more than {MOST_STEPS} operations")
        slotted = tuple(self._slotted(list(args))), self._slotted(kwargs)
        results = output if isinstance(output, tuple | list) else [output]
        places: list[int | None] = []
        for one in results:  # what an operation in place returns is a new value too: nobody reads the old one any more
            if isinstance(one, Tensor):
                self.number[id(one)] = self.slots
                places.append(self.slots)
                self.slots += 1
            else:
                places.append(None)
        func = ATEN.relu.default if func == ATEN.relu_.default else func  # so that it can be joined
        self.steps.append(Step(func, *slotted, places,
                               tuple(results[0].shape) if results and isinstance(results[0], Tensor) else ()))
        return output

    def _slotted(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: self._slotted(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._slotted(v) for v in value]
        if isinstance(value, Tensor):
            return Slot(self.number[id(value)]) if id(value) in self.number else value.detach()
        return value


def record(net: Callable[[Tensor], Tensor], x: Tensor, packed: bool = False) -> Program:
    """The program of an evaluating net for batches like `x` (n, ...), the same mathematics in fewer and faster steps.

    Batch norm goes into the layer before it, pooling reads its channels side by side. `packed` joins activations with the convolution or
    linear layer before them and reorders the weights once. Weights are as they are now. Raises Unrecordable.
    """
    recorder = _Recorder(x)
    with torch.no_grad(), recorder:
        output = net(x)
    if not isinstance(output, Tensor) or id(output) not in recorder.number:
        raise Unrecordable("its output is not a tensor that its operations make")
    last = recorder.number[id(output)]
    needed = _needed(recorder.steps, last)
    if not any(number == 0 for step in needed for number in _read(step)):
        raise Unrecordable("its output does not follow from its input by torch's operations")
    with torch.no_grad():
        steps = _folded(needed, last)
        steps = _packed(steps, last, tuple(x.shape)) if packed else _in_place(steps, last)
        steps = [_by_layout(step, packed) for step in steps]
    return Program(steps, recorder.slots, last, len(x))


def _needed(steps: list[Step], output: int) -> list[Step]:
    """Without what nobody reads; results that nobody reads have no slot."""
    wanted, needed = {output}, []
    for step in reversed(steps):
        schema = getattr(step.run, "_schema", None)
        changes = schema is not None and schema.is_mutable
        if changes or any(r in wanted for r in step.results):
            step.results = [r if r in wanted else None for r in step.results]
            wanted.update(_read(step))
            needed.append(step)
    return needed[::-1]


def _uses(steps: list[Step], output: int) -> Counter[int]:
    return Counter([n for step in steps for n in _read(step)] + [output])


def _makers(steps: list[Step]) -> dict[int, Step]:
    return {r: step for step in steps for r in step.results if r is not None}


def _folded(steps: list[Step], output: int) -> list[Step]:
    """Batch norm with fixed moments is a scale and a shift of each channel: both go into the layer that made the channels."""
    uses, makers, remaining = _uses(steps, output), _makers(steps), []
    for step in steps:
        maker = makers.get(step.args[0].number) if step.run in NORMS and isinstance(step.args[0], Slot) else None
        if maker is None or uses[step.args[0].number] > 1 or not _fixed(step) or not _scalable(maker):
            remaining.append(step)
            continue
        weight, bias = _weights(maker)
        gamma, beta = (None if a is None else a.double() for a in step.args[1:3])
        mean, variance = step.args[3].double(), step.args[4].double()
        scale = (variance + step.args[7]).rsqrt() * (1 if gamma is None else gamma)                      # (channels,)
        shift = (0 if bias is None else bias.double()) - mean
        new = (weight.double() * scale.reshape(-1, *[1] * (weight.dim() - 1))).to(weight.dtype)
        _set_weights(maker, new, (shift * scale + (0 if beta is None else beta)).to(weight.dtype))
        maker.results = [step.results[0]]
        makers[step.results[0]] = maker  # type: ignore[index]
    return remaining


def _fixed(norm: Step) -> bool:
    """A batch norm by stored moments, which gives nothing else."""
    stored = all(_constant(a) for a in norm.args[3:5]) and not any(isinstance(a, Slot) for a in norm.args[1:3])
    return stored and not norm.args[NORMS[norm.run]] and all(r is None for r in norm.results[1:])


def _constant(value: Any) -> bool:
    return isinstance(value, Tensor)


def _scalable(step: Step) -> bool:
    """A convolution (not transposed) or linear layer with weights that do not depend on the input."""
    if step.run == ATEN.convolution.default:
        return _constant(step.args[1]) and not isinstance(step.args[2], Slot) and not step.args[6]
    return _linear(step)


def _linear(step: Step) -> bool:
    if step.options or step.run not in (ATEN.addmm.default, ATEN.mm.default):
        return False
    bias = step.args[0] if step.run == ATEN.addmm.default else None
    return _constant(step.args[-1]) and isinstance(step.args[-2], Slot) and (bias is None or (_constant(bias) and bias.dim() == 1))


def _weights(step: Step) -> tuple[Tensor, Tensor | None]:
    """Weights with outputs first, and the bias."""
    if step.run == ATEN.convolution.default:
        return step.args[1], step.args[2]
    return step.args[-1].t(), step.args[0] if step.run == ATEN.addmm.default else None


def _set_weights(step: Step, weight: Tensor, bias: Tensor) -> None:
    if step.run == ATEN.convolution.default:
        step.args = (step.args[0], weight, bias, *step.args[3:])
    else:
        step.run, step.args = ATEN.addmm.default, (bias, step.args[-2], weight.t())


def _in_place(steps: list[Step], output: int) -> list[Step]:
    """A rectifier that alone reads what a layer made writes over it."""
    uses, makers = _uses(steps, output), _makers(steps)
    for step in steps:
        if step.run == ATEN.relu.default and isinstance(step.args[0], Slot) and uses[step.args[0].number] == 1:
            maker = makers.get(step.args[0].number)
            if maker is not None and maker.run in FRESH:
                step.run = ATEN.relu_.default
    return steps


def _packed(steps: list[Step], output: int, shape: tuple[int, ...]) -> list[Step]:
    """Convolutions and linear layers with weights in oneDNN's own order, and the activation after them in the same operation."""
    uses, makers, remaining = _uses(steps, output), _makers(steps), []
    joined: dict[int, str] = {}  # by the identity of the layer's step
    for step in steps:
        maker = makers.get(step.args[0].number) if step.run in PACKED_ACTIVATIONS and isinstance(step.args[0], Slot) else None
        if maker is None or uses[step.args[0].number] > 1 or not _packable(maker) or id(maker) in joined:
            remaining.append(step)
            continue
        joined[id(maker)] = PACKED_ACTIVATIONS[step.run]
        maker.results = step.results
    shapes = {0: shape} | {r: step.shape for step in steps for r in step.results[:1] if r is not None}
    for step in remaining:
        if _packable(step):
            _pack(step, joined.get(id(step), "none"), shapes)
    return remaining


def _packable(step: Step) -> bool:
    if not _scalable(step) or _weights(step)[0].dtype != torch.float32:
        return False
    return step.run != ATEN.convolution.default or (step.args[1].dim() == 4 and isinstance(step.args[0], Slot))


def _pack(step: Step, activation: str, shapes: dict[int, tuple[int, ...]]) -> None:
    onednn = torch.ops.mkldnn
    weight, bias = _weights(step)
    if step.run == ATEN.convolution.default:
        x, _, _, stride, padding, dilation, _, _, groups = step.args
        weight = onednn._reorder_convolution_weight(weight, padding, stride, dilation, groups, list(shapes[x.number]))
        step.run = onednn._convolution_pointwise
        step.args = (x, weight, bias, padding, stride, dilation, groups, activation, [], "")
    else:
        weight = onednn._reorder_linear_weight(weight.contiguous(), step.shape[0])
        step.run, step.args = onednn._linear_pointwise, (step.args[-2], weight, bias, activation, [], "")


def _by_layout(step: Step, packed: bool) -> Step:
    """Pooling with channels side by side, which is vectorised; plain convolutions on ordinary order, which oneDNN blocks itself."""
    if step.run in (ATEN.view.default, ATEN._unsafe_view.default):
        step.run = ATEN.reshape.default
    elif step.run == ATEN.max_pool2d_with_indices.default and step.results[1] is None:
        step.run, step.results = _max_pool, step.results[:1]
    elif step.run == ATEN.avg_pool2d.default:
        step.run = _average_pool
    elif step.run == ATEN.convolution.default and not packed:
        step.run = _convolution
    return step


def _side_by_side(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def _max_pool(x: Tensor, *how: Any) -> Tensor:
    return torch.max_pool2d(_side_by_side(x), *how)


def _average_pool(x: Tensor, *how: Any) -> Tensor:
    maps: Tensor = ATEN.avg_pool2d.default(_side_by_side(x), *how)
    return maps


def _convolution(x: Tensor, *how: Any) -> Tensor:
    maps: Tensor = ATEN.convolution.default(x.contiguous(), *how)
    return maps
