"""Recurrent layers as one native kernel over whole sequences, offered to nets: see scan.h for how.

Where `split_products()` of core/kernels.py says so, and the processor has AMX, products are three of bfloat16: see split.h.

Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735; Cho et al. (2014), https://doi.org/10.3115/v1/D14-1179
"""

from __future__ import annotations

import ctypes
import functools
import threading
from typing import Any, NamedTuple

import torch
from torch import Tensor

from chainrule.core.errors import MachineFailed, PlanRejected
from chainrule.core.kernels import offer, split
from chainrule.engine.native.compiling import library

ALIGN = 64
SOURCE = """/* A recurrent layer over whole sequences. */
#define CR_GATES {gates}
static __thread long scan_threads = 1;
#define CR_THREADS scan_threads
#include "kernels.h"
#include "scan.h"
{more}
void scan_share(long threads) {{ scan_threads = threads; }}
"""
SPLIT = '#include "split.h"\n#include "scan_split.h"'
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
CELLS = {"lstm": 1, "gru": 0}       # steps of what is stored beside the outputs, more than the sequence has


class Sizes(ctypes.Structure):
    """`scan_sizes` of scan.h."""

    _fields_ = [(name, ctypes.c_long) for name in ("rows", "steps", "inputs", "units", "sparse")]


class Weights(NamedTuple):
    """Those that read (g h, d), those that recur (g h, h), the bias (g h,), and a GRU's own bias inside its reset gate (h,)."""

    reads: Tensor
    recurs: Tensor
    bias: Tensor
    own: Tensor | None


class Workspace(threading.local):
    """Memory that kernels of this thread write in and nobody reads afterwards."""

    def __init__(self) -> None:
        self.memory = torch.empty(0, dtype=torch.uint8)


_own = Workspace()


class Kernel:
    """The compiled functions of scan.h for a kind of layer, or of scan_split.h."""

    def __init__(self, kind: str, splits: bool):
        loaded, ending = library(SOURCE.format(gates=GATES[kind], more=SPLIT if splits else ""), 2), "_split" if splits else ""
        self.forward, self.backward = getattr(loaded, f"scan_forward{ending}"), getattr(loaded, f"scan_backward{ending}")
        self.forward_scratch = getattr(loaded, f"scan_forward{ending}_scratch")
        self.backward_scratch = getattr(loaded, f"scan_backward{ending}_scratch")
        self.sparse, self.share = loaded.scan_sparse, loaded.scan_share
        for function in (self.forward_scratch, self.backward_scratch, self.sparse):
            function.restype = ctypes.c_long
        self.sparse.argtypes, self.share.argtypes = [ctypes.c_long, ctypes.c_void_p], [ctypes.c_long]
        if splits:
            loaded.split_ask.restype = ctypes.c_long
            if loaded.split_ask():
                raise MachineFailed("the system does not let this process use AMX")


@functools.cache
def compiled(kind: str, splits: bool = False) -> Kernel | None:
    """The kernel of a kind of layer, with products of single precision or split ones; None where this machine cannot make it."""
    if splits and not torch.cpu._is_amx_tile_supported():
        return None
    try:
        return Kernel(kind, splits)
    except (PlanRejected, AttributeError):  # a compiler that does not know AMX leaves the functions out
        return None


def splits(kind: str) -> bool:
    """Whether the kernel of a kind of layer can split products on this machine."""
    return compiled(kind, True) is not None


class Scan(torch.autograd.Function):
    """Outputs (n, t, h) and the state after (n, h) each, of inputs (n, t, d) and the state before them."""

    @staticmethod
    def forward(ctx: Any, kind: str, x: Tensor, reads: Tensor, recurs: Tensor, bias: Tensor, own: Tensor | None,
                *state: Tensor) -> tuple[Tensor, ...]:
        weights = Weights(reads.contiguous(), recurs.contiguous(), bias.contiguous(), own)
        steps = x.transpose(0, 1).contiguous()                                                   # (t, n, d)
        (t, n, d), units = steps.shape, recurs.shape[1]
        hidden, gates = x.new_empty(t + 1, n, units), x.new_empty(t, n, GATES[kind] * units)
        hidden[0] = state[0]
        cells = x.new_empty(t + CELLS[kind], n, units) if kind in CELLS else None
        if cells is not None and len(state) > 1:
            cells[0] = state[1]
        native = (split() and compiled(kind, True)) or compiled(kind)
        assert native is not None
        sizes = Sizes(n, t, d, units, native.sparse(steps.numel(), steps.data_ptr()))
        native.share(torch.get_num_threads())
        at = _scratch(native.forward_scratch, sizes)
        native.forward(ctypes.byref(sizes), *map(_pointer, (steps, *weights, hidden, cells, gates)), at)
        ctx.native, ctx.sizes = native, sizes
        ctx.save_for_backward(steps, *weights, hidden, cells, gates)
        ends = (hidden[t].clone(), cells[t].clone()) if cells is not None and len(state) > 1 else (hidden[t].clone(),)
        return hidden[1:].transpose(0, 1), *ends

    @staticmethod
    def backward(ctx: Any, slope: Tensor, *ends: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise NotImplementedError("A second derivative is not implemented by the native kernel of recurrent layers. Compute inside "
                                      "chainrule.core.kernels.written_out().")
        steps, reads, recurs, bias, own, hidden, cells, gates = ctx.saved_tensors
        native, sizes = ctx.native, ctx.sizes
        slope = slope if slope.stride(2) == 1 else slope.contiguous()
        state = [end.clone(memory_format=torch.contiguous_format) for end in ends]
        dx = torch.empty_like(steps) if ctx.needs_input_grad[1] else None
        of_weights = [torch.empty_like(reads), torch.empty_like(recurs), torch.empty_like(bias)]
        of_own = None if own is None else torch.empty_like(own)
        native.share(torch.get_num_threads())
        at = _scratch(native.backward_scratch, sizes)
        strides = (ctypes.c_long(slope.stride(1)), ctypes.c_long(slope.stride(0)))
        rest = (state[0], state[1] if len(state) > 1 else None, dx, *of_weights, of_own)
        native.backward(ctypes.byref(sizes), *map(_pointer, (steps, reads, recurs, hidden, cells, gates, slope)), *strides,
                        *map(_pointer, rest), at)
        return None, None if dx is None else dx.transpose(0, 1), *of_weights, of_own, *state


def scanned(kind: str, x: Tensor, state: tuple[Tensor, ...], reads: Tensor, recurs: Tensor, bias: Tensor,
            own: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, ...]] | None:
    """Outputs (n, t, h) of inputs (n, t, d) and the state after them; None for numbers and places that the kernel does not serve."""
    tensors = [x, reads, recurs, bias, *state, *([] if own is None else [own])]
    if any(t.dtype != torch.float32 or t.device.type != "cpu" for t in tensors) or torch.is_autocast_enabled("cpu") or not x.numel():
        return None
    if compiled(kind) is None:
        return None
    outputs, *ends = Scan.apply(kind, x, reads, recurs, bias, own, *state)  # type: ignore[no-untyped-call]
    return outputs, tuple(ends)


def _pointer(t: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if t is None else t.data_ptr())


def _scratch(size: Any, sizes: Sizes) -> ctypes.c_void_p:
    """Memory for so many reals, on the boundary that kernels want; each thread keeps its own, since new memory costs as much as a copy."""
    wanted = 4 * size(ctypes.byref(sizes)) + ALIGN
    if _own.memory.numel() < wanted:
        _own.memory = torch.empty(wanted, dtype=torch.uint8)
    return ctypes.c_void_p(-(-_own.memory.data_ptr() // ALIGN) * ALIGN)


for _kind in GATES:
    offer(_kind, functools.partial(scanned, _kind), functools.partial(splits, _kind))
