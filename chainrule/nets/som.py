"""The self-organising map: Kohonen (1982), https://doi.org/10.1007/BF00337288"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.prototypes import Code, Prototypes


@nets("som", source="Kohonen (1982), https://doi.org/10.1007/BF00337288", rule="kohonen", init="plane", kind="memory",
      tasks=("reconstruction",))
class Map(Prototypes):
    """Units on a rectangular grid, neighbours of which learn together: (n, ...) -> the nearest unit's place (n, d).

    Codes are the position (n, 2) of the unit that answers, its row and column from 0 to 1, or a 1 in its column, or the distances
    (n, rows * columns) to all units. Units are numbered row by row.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, rows: int = 10, columns: int = 10, code: Code = "position"):
        if rows < 1 or columns < 1 or rows * columns < 2:
            raise InputError(f"som needs a grid of at least two units; got rows={rows}, columns={columns}. Write som:rows=10,columns=10.")
        super().__init__(inputs, rows * columns, code)
        self.sides = rows, columns

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.sides

    def positions(self) -> Tensor:
        """The row and column of each unit, from 0 to 1: (rows * columns, 2)."""
        along = [torch.linspace(0, 1, side, dtype=self.weight.dtype, device=self.weight.device) for side in self.sides]
        return torch.cartesian_prod(*along)

    def extra_repr(self) -> str:
        return f"rows={self.sides[0]}, columns={self.sides[1]}, features={self.weight.shape[1]}"
