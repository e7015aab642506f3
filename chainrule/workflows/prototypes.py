"""What pictures of nets of prototypes ask for: the units, their grid, and which class most of the rows have that each answers."""

from __future__ import annotations

from typing import Any

import torch

from chainrule.core.abilities.nets import HasGrid, HasPrototypes
from chainrule.data.source import Part
from chainrule.job.trained import Trained
from chainrule.tasks.prototypes import majority, nearest

ACROSS = 10     # prototypes without a grid, beside one another


@torch.no_grad()
def drawable(trained: Trained, part: Part | None = None) -> dict[str, Any]:
    """The units of a net, the shape of rows that are pictures, and by a `part` with classes the label of each unit; nothing of others."""
    module, inputs = trained.net.module, trained.encoder.inputs
    if not isinstance(module, HasPrototypes):
        return {}
    known: dict[str, Any] = {"prototypes": module.weight.detach().cpu(), "size": inputs.picture_shape, "across": ACROSS, "labels": ()}
    if isinstance(module, HasGrid):
        known |= {"grid": module.grid, "across": module.grid[1]}
    if part is not None and len(part) and part.y is not None and trained.encoder.target.kind == "class":
        units, classes = nearest(trained.inference, part)[0][:, 0], trained.encoder.target.classes
        most = majority(units, part.y)
        answering = set(units.tolist())
        known["labels"] = tuple(str(classes[int(most[unit])]) if unit in answering else "" for unit in range(len(module.weight)))
    return known
