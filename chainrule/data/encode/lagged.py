"""A series cut into windows: so many steps behind an origin are read, and so many steps ahead of it are foretold.

Delay taps: Takens (1981), https://doi.org/10.1007/BFb0091924; rolling origins: Tashman (2000), https://doi.org/10.1016/S0169-2070(00)00065-0
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.data.clock import Clock
from chainrule.data.dates import Part, turn
from chainrule.data.encode.flattened import flattened
from chainrule.data.encode.moments import Moments

USUAL_LAGS = 24          # at least, and whole seasons
MOST_SHARE = 4           # no more lags than one in so many steps, where they are chosen


@dataclass(frozen=True)
class Lagging:
    """What the columns of a series are and how it is cut; with it further steps are read as those of training were.

    `targets` are foretold, `others` beside them are read, as is where each stamp stands in the turns of `parts`. `fill` says how gaps are
    closed. `errors` (targets,) are the mean absolute errors of the naive forecast one step ahead, in training.
    """

    targets: tuple[str, ...]
    others: tuple[str, ...]
    clock: Clock
    lags: int
    horizon: int
    parts: tuple[Part, ...] = ()
    fill: str | None = None
    errors: tuple[float, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What each column of a window is."""
        turns = (f"{wave} of the {part}" for part in self.parts for wave in ("sine", "cosine"))
        return (*self.targets, *self.others, *turns)

    @property
    def answers(self) -> tuple[str, ...]:
        """What each number that is foretold is: every target one step ahead, then every target two steps ahead."""
        return tuple(f"{name} +{step}" for step in range(1, self.horizon + 1) for name in self.targets)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "clock": self.clock.to_json()}


@dataclass(frozen=True)
class Lagged:
    """The `values` (t, columns) of a series at regular `stamps` (t,), its targets first, read as windows (n, lags, columns).

    Row r ends at step lags - 1 + r, its origin, and has the targets of the `horizon` steps after it. With `ends` the only row is the last
    window, after which nothing is known.
    """

    values: Tensor
    stamps: Tensor
    form: Lagging
    ends: bool = False

    @classmethod
    def of(cls, values: Tensor, stamps: Tensor, form: Lagging) -> Lagged:
        """The series of targets and other columns (t, d), with the turns of its stamps beside them."""
        turns = [wave for part in form.parts for wave in turn(stamps, part)]
        return cls(torch.cat([values.double(), *(wave[:, None] for wave in turns)], 1), stamps, form)

    def __len__(self) -> int:
        rows = len(self.values) - self.form.lags - self.form.horizon + 1
        return int(len(self.values) >= self.form.lags) if self.ends else max(0, rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self), self.form.lags, self.values.shape[1]

    @property
    def origins(self) -> Tensor:
        """The last known step of each row, (n,)."""
        return torch.arange(len(self)) + (len(self.values) - 1 if self.ends else self.form.lags - 1)

    def windows(self, values: Tensor) -> Tensor:
        """Values (t, d) of these steps as windows (n, lags, d): views of them, without a copy."""
        first = len(values) - self.form.lags if self.ends else 0
        return values[first:].unfold(0, self.form.lags, 1)[: len(self)].transpose(1, 2)

    def ahead(self) -> Tensor:
        """What is to be foretold of each row, (n, horizon * targets), in the order of `form.answers`."""
        of_targets = self.values[self.form.lags :, : len(self.form.targets)]                       # (t - lags, k)
        return of_targets.unfold(0, self.form.horizon, 1).transpose(1, 2).reshape(-1, self.form.horizon * len(self.form.targets))

    def cut(self, horizon: int | None, lags: int | None) -> Lagged:
        """The same steps with another horizon, or other lags, where they are given."""
        return replace(self, form=replace(self.form, horizon=horizon or self.form.horizon, lags=lags or self.form.lags))

    def covered(self, rows: Tensor) -> Tensor:
        """The steps that windows of these rows and what follows them take up, ascending."""
        edges = torch.zeros(len(self.values) + 1, dtype=torch.int64)
        edges.index_add_(0, rows, torch.ones_like(rows))
        edges.index_add_(0, rows + self.form.lags + (0 if self.ends else self.form.horizon), -torch.ones_like(rows))
        return (edges.cumsum(0)[:-1] > 0).nonzero()[:, 0]

    def scaling(self, rows: Tensor) -> Tensor:
        """Centre and factor (2, columns) of the steps that rows take up. Raises InputError for a target that is constant there."""
        steps = self.values[self.covered(rows)]
        centre, factor = Moments.of(steps).scaling("standard")
        constant = (factor[: len(self.form.targets)] == 0).nonzero()[:, 0].tolist()
        if constant:
            raise InputError(f"the target '{self.form.targets[constant[0]]}' is constant ({float(steps[0, constant[0]]):.6g}) in all "
                             f"{len(steps):,} steps of training; there is nothing to foretell. Pick another with --target.")
        return torch.stack([centre, factor])

    def remarks(self, rows: Tensor) -> list[str]:
        """What is said of columns that one step makes flat."""
        at = self.covered(rows)
        steps = self.values[at]                                                                     # (steps, columns)
        return [lone.sentence(f"'{self.form.names[column]}'", int(at[lone.first]), "if it is right, give its logarithm", unit="step")
                for column, lone in flattened(Moments.of(steps), lambda column: [steps[:, column]])]

    def errors(self, rows: Tensor) -> tuple[float, ...]:
        """The mean absolute change (targets,) from one step to the next, over the steps that rows take up."""
        steps = self.covered(rows)
        neighbours = steps[1:][steps.diff() == 1]
        change = self.values[neighbours, : len(self.form.targets)] - self.values[neighbours - 1, : len(self.form.targets)]
        return tuple(change.abs().mean(0).tolist())


def usual_lags(clock: Clock, steps: int) -> int:
    """How many steps are read where nobody says: two seasons or more, at least 24, but at most a quarter of all steps."""
    season = clock.season
    wanted = max(2 * season, -(-USUAL_LAGS // season) * season)
    most = max(1, steps // MOST_SHARE)
    return wanted if wanted <= most else max(1, most // season * season) if most >= season else most
