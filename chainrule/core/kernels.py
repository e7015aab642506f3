"""Kernels that do at once what nets write out step by step: who offers them, and where they may stand in.

A family asks for a kernel by name and goes without where nobody offers one; an engine offers those that it can make on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

Kernel = Callable[..., Any]
DEVICES = ("cpu", "cuda")
_written_out: ContextVar[bool] = ContextVar("written_out", default=False)
_split: ContextVar[bool] = ContextVar("split", default=False)


class Offer(NamedTuple):
    """A kernel, which returns None where it does not serve what it is given, and whether it can split products on this machine, which may
    take seconds to find out."""

    kernel: Kernel
    splits: Callable[[], bool] = lambda: False


_offered: dict[str, Offer] = {}


def offer(name: str, kernel: Kernel, splits: Callable[[], bool] = lambda: False) -> None:
    """Let nets use a kernel, see `Offer`."""
    _offered[name] = Offer(kernel, splits)


def offered(name: str) -> Kernel | None:
    """The kernel of that name; None where nobody offers one."""
    return _offered[name].kernel if name in _offered else None


@contextmanager
def _set(flag: ContextVar[bool]) -> Iterator[None]:
    token = flag.set(True)
    try:
        yield
    finally:
        flag.reset(token)


def written_out() -> AbstractContextManager[None]:
    """Inside, nets write out what kernels would do at once, so that it can be differentiated twice."""
    return _set(_written_out)


def split_products() -> AbstractContextManager[None]:
    """Inside, kernels that can compute products of single precision as three of bfloat16 do so, and differ by about 1e-5."""
    return _set(_split)


def split() -> bool:
    """Whether products are to be split where a kernel can."""
    return _split.get()


def offered_to(module: nn.Module) -> frozenset[str]:
    """The kernels that parts of a module ask for, by their attribute `kernel`, among those that are offered."""
    names = (getattr(part, "kernel", None) for part in module.modules())
    return frozenset(name for name in names if isinstance(name, str) and name in _offered)


def can_split(names: Iterable[str]) -> bool:
    """Whether one of these kernels can split products on this machine."""
    return any(_offered[name].splits() for name in names if name in _offered)


def plain(*tensors: Tensor) -> bool:
    """Whether these are ordinary numbers in memory, and nothing maps, differentiates by transformation, traces, exports or counts what
    is done with them: only then may a kernel stand in, since none of these can look into one."""
    if torch.compiler.is_compiling():
        return False
    if _written_out.get() or torch._C._functorch.peek_interpreter_stack() is not None or torch._C._len_torch_function_stack() > 0:
        return False
    return _get_current_dispatch_mode() is None and all(t.device.type in DEVICES for t in tensors)
