"""What is known of a training before its first step: of the data, of the net as it begins, and of the options."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Facts:
    """A plain record, stored with the event that begins a run, so that a log can be diagnosed without its data.

    `own_loss` says that the loss is a function of the user's own; `net`, `rule`, `loss`, `optimizer`, `schedule` and `init` are spelled as
    options of `train`, `usual` is the optimizer that net and rule have where none is named. `rate` and `momentum` are the optimizer's,
    `decay` is what it or the rule takes off the weights a step, over the rate. `recurrent` says whether a layer reads itself. `shares`
    (classes,) are those of the training part. `inputs` and `targets` describe numbers as a step reads them: mean, sd, low,
    high, not_finite (rows), bits (how many a row is told from another by); `spread` is False where inputs are codes or mostly zero by
    nature. `duplicates` counts validation rows that are training rows too, `repeated` is the share of training rows with a twin in
    training. `last` is the activation behind the output layer, `weights` gives the number of weights of each layer by its module's name,
    `zero` those that begin at zero, `alike` hidden layers all units of which begin equal and are read equally, `merged` pairs of layers
    with nothing between them, `frozen` layers that are not trained. `activation` is that of the hidden layers, `normalised` whether batch
    statistics are learned, `statistics` the least share by which running ones move at a step. `steps` are those that are planned.
    `curvature` is the largest eigenvalue of the loss's second derivative where it is known before training: a single linear layer under the
    squared loss. `constant_loss` is the loss of the constant answer: the entropy of the labels for cross-entropy. `budget` is the option
    that ends training.
    """

    task: str = ""
    net: str = ""
    rule: str = ""
    loss: str = ""
    own_loss: bool = False
    optimizer: str = ""
    usual: str = ""
    recurrent: bool = False
    schedule: str = ""
    init: str = ""
    precision: str = ""
    rate: float | None = None
    momentum: float = 0.0
    decay: float = 0.0
    batch: int = 0
    rows: int = 0
    validating: int = 0
    budget: str = "epochs"
    monitored: bool = True
    pictures: bool = False
    classes: int = 0
    shares: tuple[float, ...] = ()
    inputs: Mapping[str, float] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=dict)
    spread: bool = True
    duplicates: int = 0
    repeated: float = 0.0
    last: str = ""
    activation: str = ""
    weights: Mapping[str, int] = field(default_factory=dict)
    zero: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    dropout: float = 0.0
    normalised: bool = False
    statistics: float | None = None
    steps: int = 0
    curvature: float | None = None
    constant_loss: float | None = None

    @property
    def chance(self) -> float:
        """How often the most frequent class is right; nan where there are no classes."""
        return max(self.shares, default=math.nan)

    @property
    def judged(self) -> bool:
        """Whether accuracy or errors of numbers say how well it goes."""
        return self.classes > 0 or self.task in ("regression", "forecast")

    @property
    def scale(self) -> float:
        """By what gradients of numbers grow beside those of classes: the deviation of the targets where that is above one."""
        return 1.0 if self.classes else max(1.0, self.targets.get("sd", 1.0))

    def to_json(self) -> dict[str, Any]:
        """Without what is as by default."""
        usual = dataclasses.asdict(NOTHING)
        return {name: value for name, value in dataclasses.asdict(self).items() if value != usual[name]}

    @classmethod
    def from_json(cls, record: Mapping[str, Any] | None) -> Facts:
        """Of any version: what it does not know is left out, and what is missing is as by default."""
        known = {one.name for one in dataclasses.fields(cls)}
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in (record or {}).items()
                                  if name in known}
        return cls(**values)


NOTHING = Facts()
