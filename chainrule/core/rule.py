"""The one contract for learning: `init(net) -> state`, `step(net, state, batch) -> (net, state, report)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.net import Net
from chainrule.core.registry import M, rules
from chainrule.core.traits import Reads, Target
from chainrule.core.tree import Tree

Report = dict[str, Tensor]


class Learner(NamedTuple):
    """A net and what its rule must remember."""

    net: Net
    state: Tree


class Rule(Protocol):
    """What every learning rule is. Tensors in, tensors out: no `.item()`, no printing, no host synchronisation.

    `step` owns its arguments and may write them in place. `report` holds scalars, `loss` among them; lower is better.
    `tolerance` is how far, relative to the size of the update, a plan may differ from eager execution.
    """

    reads: Reads
    target: Target
    tolerance: float

    def init(self, net: Net) -> Tree: ...

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]: ...


def rule(name: str | None = None, *, source: str = "", reads: Reads = "batch", target: Target = "any",
         tolerance: float = 1e-3, **traits: Any) -> Callable[[M], M]:
    """Register a direction `(net, batch, *, options) -> (tree, report)` or a whole rule (a class with `init` and `step`).

    Further traits are those of `RuleTraits`. Raises TypeError for one that does not exist.
    """

    def register(make: M) -> M:
        if isinstance(make, type):
            make.reads, make.target, make.tolerance = reads, target, tolerance  # type: ignore[attr-defined]
        return rules(name, source=source, reads=reads, target=target, tolerance=tolerance, whole=isinstance(make, type), **traits)(make)

    return register
