"""Every registered rule on a small net of the family that it names first, with batches that it reads."""

from __future__ import annotations

import torch
from small_families import small_spec
from torch import Tensor

from chainrule.core import registry
from chainrule.core.batch import Batch
from chainrule.core.criterion import Stepwise, Supervised
from chainrule.core.descend import set_pace
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import losses
from chainrule.core.rule import Learner, Rule
from chainrule.core.tree import clone
from chainrule.job.by_part import ByPart
from chainrule.job.rule_spec import make_rule, parts_of

STEPS, ROWS, TIMES, FEATURES, CLASSES = 4, 12, 5, 6, 3
PICTURE = (1, 6, 6)
PACE = {"done": 5.0, "each": 1.0, "whole": 99.0}   # in the middle of a stage
PARTED = {name: parts for name in registry.rules.names() if (parts := parts_of(registry.rules.find(name)))}


def apart(name: str, parts: list[str]) -> str:
    """A rule with parts, each with an optimizer of its own."""
    rest = [f"{part}=momentum:rate=0.05" for part in parts[1:]]
    return f"{name}:{','.join([f'{parts[0]}=(adamw:rate=0.01,decay=0.1)', *rest])}"


RULES = registry.rules.names() + [apart(name, parts) for name, parts in PARTED.items()]


def readable(net: registry.Chosen) -> tuple[int, ...]:
    """The shape that a family reads: flat rows, pictures where it refuses these, or sequences."""
    for shape in ((FEATURES,), PICTURE):
        try:
            net.make(shape, CLASSES)
        except InputError:
            continue
        return shape
    return TIMES, FEATURES


def learner_and_batches(name: str, seed: int = 0) -> tuple[Rule, Learner, Batch]:
    """The rule on the family it names first (else an mlp), and four batches of the targets it reads."""
    entry = registry.rules.choose(name).entry
    target = entry.traits.target
    torch.manual_seed(seed)
    carries = entry.traits.carries
    net = registry.nets.choose(small_spec(entry.traits.nets[0]) if entry.traits.nets else "mlp:hidden=5,dropout=0.2")
    shape = (TIMES, FEATURES) if carries else readable(net)
    x = torch.rand(STEPS, ROWS, *shape)
    y: Tensor | None = torch.randint(CLASSES, x.shape[:3] if carries else x.shape[:2])
    outputs, loss = CLASSES, "cross-entropy"
    if target == "sign":
        y, outputs, loss = (y > 0).float() * 2 - 1, 1, "perceptron"
    elif target == "real":
        y, outputs, loss = torch.randn(STEPS, ROWS, CLASSES), CLASSES, "squared"
    elif target == "none":
        y = None
    module = net.make(x.shape[2:], outputs)
    for p in module.parameters():
        torch.nn.init.normal_(p, std=0.3) if p.dim() > 1 else None
    criterion = (Stepwise if carries else Supervised)(losses.choose(loss).make())
    rule = make_rule(registry.rules.choose(name), criterion, registry.optimizers.choose("adam:rate=0.01"),
                     ByPart.read(registry.schedules, "cosine"), lanes=ROWS)
    bound = Net.of(module)
    fresh = torch.zeros(STEPS, ROWS, dtype=torch.bool)
    fresh[0] = fresh[2, :5] = True
    state = clone(rule.init(bound))
    set_pace(state, PACE)
    return rule, Learner(bound, state), Batch(x, y, fresh=fresh if carries else None)
