"""What a user may set, and what is chosen, and said, where they set nothing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from chainrule.core.errors import InputError, suggest
from chainrule.data.resample import parse_fold


@dataclass(frozen=True)
class Options:
    """The settings of a run, as `run.json` keeps them. None means: choose from the kind and size of the data."""

    net: str | None = None
    rule: str | None = None
    loss: str | None = None
    optimizer: str | None = None
    schedule: str | None = None
    init: str | None = None
    epochs: int | None = None
    steps: int | None = None
    seconds: float | None = None
    batch: int | None = None
    target: str | None = None
    split: str | None = None
    split_seed: int | None = None
    group: str | None = None
    time: str | None = None
    weight: str | None = None
    classes: str | None = None
    fold: str | None = None
    bootstrap: int | None = None
    class_weights: str | None = None
    augment: str | None = None
    constraint: str | None = None
    stages: str | None = None
    snapshots: int | None = None
    seed: int = 0
    patience: int | None = None
    plan: str = "auto"
    precision: str = "auto"
    device: str = "auto"
    threads: int | None = None
    save_every: float | None = None

    def checked(self) -> Options:
        """Itself, once every number is in its range. Raises InputError naming the option."""
        for name in ("epochs", "steps", "batch", "threads", "patience", "bootstrap"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name} must be at least 1; got {value}. Leave it out to have one chosen.")
        if self.seconds is not None and not self.seconds > 0:
            raise InputError(f"--seconds must be above 0; got {self.seconds}.")
        if self.stages not in (None, "layers"):
            raise InputError(f"--stages is layers, or left out; got '{self.stages}'.")
        self._check_snapshots()
        if self.fold is not None:
            parse_fold(self.fold)
        for name in ("seed", "split_seed"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 2**63:
                raise InputError(f"--{name.replace('_', '-')} must be a whole number of at least 0; got {value}.")
        return self

    def _check_snapshots(self) -> None:
        if self.snapshots is None:
            return
        if self.snapshots < 2:
            raise InputError(f"--snapshots cuts training into at least 2 cycles; got {self.snapshots}. Leave it out to train in one.")
        for name in ("seconds", "patience", "stages"):
            if getattr(self, name) is not None:
                raise InputError(f"--snapshots cuts one training into cycles of equal length, which --{name} does not keep to. "
                                 "Leave one of them out, and say how long with --epochs or --steps.")
        if self.steps is not None and self.steps < self.snapshots:
            raise InputError(f"--snapshots {self.snapshots} needs a step for each; got --steps {self.steps}. Give more steps.")

    @property
    def division(self) -> int:
        """The seed that divides the rows into parts."""
        return self.seed if self.split_seed is None else self.split_seed

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Options:
        """Raises InputError where a key is not an option of this version."""
        names = [f.name for f in dataclasses.fields(cls)]
        for key in record:
            if key not in names:
                raise InputError(f"There is no option '{key}'. {suggest(key, names)}")
        return cls(**record)


