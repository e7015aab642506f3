"""Nets of prototypes: how far rows are from the units that answer them, whether a map keeps neighbours, how pure clusters are.

Kiviluoto (1996), https://doi.org/10.1109/ICNN.1996.548907; Manning, Raghavan & Schuetze (2008), Introduction to Information Retrieval, 16.3
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from chainrule.core.abilities.nets import HasGrid, HasPrototypes
from chainrule.data.source import Part
from chainrule.evaluate.measures import step_means
from chainrule.evaluate.result import Result
from chainrule.tasks.task import BLOCK_ROWS, Runner


@torch.no_grad()
def nearest(runner: Runner, part: Part) -> tuple[Tensor, Tensor]:
    """The two units (n, 2) nearest to each row of a part, and their distances (n, 2), as the net reads rows."""
    blocks = [runner.net.call("nearest", runner.ready(rows.to(runner.device))) for rows in part.x.split(BLOCK_ROWS)]
    return torch.cat([units for units, _ in blocks]).cpu(), torch.cat([distances for _, distances in blocks]).cpu()


def neighbours(units: Tensor, columns: int) -> Tensor:
    """Whether two units of a grid (n, 2), numbered row by row, touch each other, at a side or a corner: (n,)."""
    apart = (units[:, 0] // columns - units[:, 1] // columns).abs(), (units[:, 0] % columns - units[:, 1] % columns).abs()
    return torch.maximum(*apart) <= 1


def majority(winner: Tensor, classes: Tensor) -> Tensor:
    """The most frequent class (k,) among the rows that each unit has won; of class numbers (n,) and units (n,)."""
    counts = torch.zeros(int(winner.max()) + 1, int(classes.max()) + 1, dtype=torch.long)
    return counts.index_put((winner, classes), torch.ones_like(winner), accumulate=True).argmax(1)


def with_prototypes(result: Result, runner: Runner, part: Part, classes: Tensor | None) -> Result:
    """The result with the measures of a net of prototypes; purity where the class numbers (n,) of the rows are known."""
    module = runner.net.module
    if not isinstance(module, HasPrototypes) or not len(part):
        return result
    units, distances = nearest(runner, part)
    each: dict[str, Tensor] = {"quantisation_error": distances[:, 0].double()}
    if isinstance(module, HasGrid):
        each["topographic_error"] = 1 - neighbours(units, module.grid[1]).double()
    if classes is not None:
        each["purity"] = (majority(units[:, 0], classes)[units[:, 0]] == classes).double()
    notes = [] if classes is None else [f"Purity grows with the number of units, {len(module.weight)} here; one for each row has it all."]
    further = step_means(result.task, each)
    return replace(result, measures={**result.measures, **further.measures}, notes=(*result.notes, *notes))


def columns_of(runner: Runner, part: Part) -> dict[str, Any]:
    """Which unit answers each row, from 1, on a grid by its row and column, and how far it is; nothing for nets without units."""
    module = runner.net.module
    if not isinstance(module, HasPrototypes):
        return {}
    units, distances = nearest(runner, part)
    winner, distance = units[:, 0], distances[:, 0].numpy()
    if isinstance(module, HasGrid):
        across = module.grid[1]
        return {"unit": (winner + 1).numpy(), "map row": (winner // across + 1).numpy(), "map column": (winner % across + 1).numpy(),
                "distance": distance}
    return {"cluster": (winner + 1).numpy(), "distance": distance}
