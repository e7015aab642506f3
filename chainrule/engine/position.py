"""Where a run is, and how it runs: all that is not a tensor and must survive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chainrule.core.looking import Observer
from chainrule.core.rule import Learner
from chainrule.core.sampling import Sketch
from chainrule.core.schema import Count
from chainrule.engine.consult import Consulted
from chainrule.engine.plans.cache import Memory

Validate = Callable[[Learner], dict[str, float]]
Sample = Callable[[], Sketch]


@dataclass
class Position:
    """Where a run is: all that is not a tensor and must survive. `batch` is the next one of `epoch` in `stage`.

    `plan` lists the plans it has run under, each `made`, its `stage` and the step `since` which it runs there; `stage_steps` how many
    steps the stages before took, `shares` those of schedules by the clock: stage, step from which on, thousandths; `looks` is how often
    the run has been looked at, which took `looking` seconds, and `look_next` the step of the stage before which it is again;
    `rates` the steps from which on a command has multiplied the rate, and by how much.
    """

    stage: Count = 0
    epoch: Count = 0
    batch: Count = 0
    step: Count = 0
    stage_step: Count = 0
    at: Count = 0
    seconds: float = 0.0
    stage_began: float = 0.0
    loss_sum: float = 0.0
    loss_count: Count = 0
    waited: Count = 0
    best: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    plan: list[dict[str, Any]] = field(default_factory=list)
    stage_steps: list[Count] = field(default_factory=list)
    shares: list[list[int]] = field(default_factory=list)
    looks: int = 0
    look_next: int = 0
    looking: float = 0.0
    rates: list[list[float]] = field(default_factory=list)
    finished: str = ""


@dataclass(frozen=True)
class Settings:
    """How to run. `monitor` lists the validation measures that decide what is best, the later ones breaking ties.

    Where none of them is measured, the last weights are the best: so for rules whose loss says nothing of progress.
    """

    seed: int = 0
    plan: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    patience: int | None = None
    monitor: tuple[str, ...] = ("loss",)
    save_every: float | None = None      # seconds; None: as often as costs under 3 % of the time
    made: list[dict[str, Any]] | None = None  # plans recorded earlier, each to be used as it is, since the step that it names
    identity: str = ""                   # net and rule in words, under which measured plans are remembered
    memory: Memory = field(default_factory=Memory)
    snapshots: int = 0                   # into how many equal cycles a stage is cut, the weights at the end of each being kept
    ends: tuple[int, ...] = ()           # of a run that is repeated: after how many steps each stage ended
    samples: tuple[int, ...] = ()        # after which steps of the run samples of the net are recorded
    shares: tuple[tuple[int, ...], ...] = ()  # and the shares of its schedules, where they went by the clock
    rates: tuple[tuple[float, ...], ...] = ()  # and the rates that commands changed: step from which on, factor
    doctor: Consulted | None = None      # who is shown all events, and says what is wrong
    look: int | None = None              # how many steps lie between two looks; 0 for never, None where the time decides
    observer: Observer | None = None     # who looks; None for nobody
