"""A copy of a module, whatever it keeps beside its weights: results of its last forward pass, locks, open files."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from chainrule.core.errors import InputError

M = TypeVar("M", bound=nn.Module)
COPY: Any = Tensor.__deepcopy__


def duplicate(module: M, memo: dict[int, Any] | None = None) -> M:
    """A copy that learns apart from the original. What has no copy, such as a lock or a file, serves both.

    Tensors inside a graph, which torch refuses to copy, are numbers in the copy: a stored activation, a weight that a hook computes of
    others before each pass. `memo` has what stands for which object, as that of `copy.deepcopy`. Raises InputError where there is no copy.
    """
    known = memo or {}
    with _Numbers():
        try:
            return copy.deepcopy(module, dict(known))
        except Exception:  # objects refuse in ways of their own
            shared = {id(one): one for one in _uncopyable(module, set())}
        try:
            return copy.deepcopy(module, {**shared, **known})
        except Exception as error:
            raise InputError(f"{type(module).__name__} cannot be copied, and plans are tried on copies: {error}. Keep what has no copy "
                             "out of the module.") from None


class _Numbers(TorchFunctionMode):
    """Copies the numbers of a tensor, where torch would refuse because of the graph that they came from."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not COPY:
            return func(*args, **(kwargs or {}))
        tensor: Any = args[0]
        memo: dict[int, Any] = args[1]
        if is_lazy(tensor):  # torch copies parameters without a shape, and no buffers
            kind: Any = type(tensor)
            return memo.setdefault(id(tensor), kind(tensor.requires_grad, tensor.device, tensor.dtype))
        return func(*args) if tensor.is_leaf else memo.setdefault(id(tensor), tensor.detach().clone())


def _uncopyable(value: object, seen: set[int]) -> Iterator[object]:
    """The objects in `value`, the smallest ones, that cannot be copied."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if _copies(value, {}):
        return
    found = [one for part in _parts(value) for one in _uncopyable(part, seen)]
    yield from found
    if not found or not _copies(value, {id(one): one for one in found}):
        yield value


def _copies(value: object, memo: dict[int, Any]) -> bool:
    try:
        copy.deepcopy(value, memo)
    except Exception:
        return False
    return True


def _parts(value: Any) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    return list(getattr(value, "__dict__", {}).values())
