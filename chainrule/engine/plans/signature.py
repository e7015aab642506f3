"""What a step is made of, seen by taking one: how many operations, and a hash of them with their shapes.

Two nets of one class and one set of shapes may compute different things; what is remembered of one must not be believed of the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from chainrule.core.batch import Batch
from chainrule.core.rule import Learner, Rule
from chainrule.engine.plans.eager import copied
from chainrule.engine.plans.microbatch import out_of_memory
from chainrule.engine.randomness import Aside

PLAIN = (bool, int, float, complex, str, type(None), torch.dtype, torch.layout, torch.device)


class Signature(NamedTuple):
    """How many operations a step takes, and their hash; no operations where memory does not hold one."""

    operations: int = 0
    digest: str = ""


def signature(rule: Rule, learner: Learner, batch: Batch, seed: int) -> Signature:
    """Of a step on such a batch (n, ...), taken on a copy."""
    watch = _Watch()
    trial = copied(learner)
    try:
        with Aside(seed, learner.net.device), watch:
            rule.step(trial.net, trial.state, batch)
    except Exception as error:
        if not out_of_memory(error):
            raise
        return Signature()
    return Signature(watch.operations, watch.hash.hexdigest()[:32])


class _Watch(TorchDispatchMode):
    """Counts and hashes the operations that run under it, the backward ones too."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations, self.hash = 0, hashlib.sha256()

    def __torch_dispatch__(self, func: Callable[..., Any], types: Sequence[Any], args: Sequence[Any] = (),
                           kwargs: dict[str, Any] | None = None) -> Any:
        self.operations += 1
        self.hash.update(f"{func} {' '.join(map(_words, pytree.tree_leaves((args, kwargs))))}\n".encode())
        return func(*args, **(kwargs or {}))


def _words(argument: Any) -> str:
    if isinstance(argument, Tensor):
        return f"{tuple(argument.shape)}{argument.dtype}"
    return repr(argument) if isinstance(argument, PLAIN) else type(argument).__name__
