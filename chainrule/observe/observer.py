"""Who looks at a training: every registered kind of look at one replayed step, as one record, with one copy from the device."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion
from chainrule.core.descend import Descend
from chainrule.core.registry import looks
from chainrule.core.rule import Learner, Rule
from chainrule.observe.look import Look
from chainrule.observe.replay import inner, passes_on
from chainrule.observe.scene import Scene

KNOWN = {one.name for one in dataclasses.fields(Look)} - {"more"}
ROWS = 256          # of the validation part


@dataclass
class StepObserver:
    """Looks at what the next step would be. `rule` is the name of the training's rule, `criterion` what it lowers, where that is known.

    `whole` names the parameters of the net that the criterion is of: a part of it, as stages train, is looked at without.
    `valid` gives some validation rows as a net reads them, None where there are none.
    """

    rule: str
    criterion: Criterion | None = None
    ready: Callable[[Tensor], Tensor] | None = None
    whole: frozenset[str] = frozenset()
    valid: Callable[[int], Tensor | None] = lambda _: None

    def look(self, learner: Learner, rule: Rule, batch: Batch, number: int) -> dict[str, Any]:
        """The record of a `Look`."""
        mine = self.whole == learner.net.params.keys() and not passes_on(rule)
        scene = Scene(learner, rule, batch, number, self.rule if mine else called(rule, self.rule), self.criterion if mine else None,
                      self.ready if mine else None, (lambda: self.valid(ROWS)) if mine else lambda: None)
        found: dict[str, Any] = {"direction": scene.direction}
        for entry in looks.entries():
            if number % entry.traits.every == entry.traits.every // 2:
                found |= entry.make(scene)
        found = on_host(found)
        further = {name: value for name, value in found.items() if name not in KNOWN}
        return Look(**{name: value for name, value in found.items() if name in KNOWN}, more=further).to_record()


def called(rule: Rule, otherwise: str) -> str:
    """What a whole rule is called, by its class: `WakeSleep` is wake-sleep; of rules that are a direction it is not known."""
    name = type(inner(rule)[0]).__name__
    return otherwise if isinstance(inner(rule)[0], Descend) else re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


@torch.no_grad()
def on_host(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with numbers and lists of numbers in place of its tensors, all of which come from the device at once."""
    flat, spec = pytree.tree_flatten(tree)
    tensors = [t.detach() for t in flat if isinstance(t, Tensor)]
    if not tensors:
        return tree
    together = torch.cat([t.reshape(-1).to(torch.float64) for t in tensors]).cpu()
    parts = iter(zip(tensors, together.split([t.numel() for t in tensors]), strict=True))

    def plain(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        t, numbers = next(parts)
        back = numbers.reshape(t.shape)
        return (back if t.is_floating_point() else back.long()).tolist()

    found: dict[str, Any] = pytree.tree_unflatten([plain(value) for value in flat], spec)
    return found
