"""What the JSON files of a run, a committee and a boosting say, as dataclasses: what is read is checked against them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from chainrule.core.loss import OwnLoss
from chainrule.core.schema import Count, Natural, Within


@dataclass(frozen=True)
class Origin:
    """Where data came from: what it is called there, and the columns with a role."""

    kind: Literal["named", "file", "folder", "memory"]
    what: str
    target: str | int | None = None
    group: str | int | None = None
    time: str | int | None = None
    weight: str | int | None = None
    data_dir: str | None = None
    streamed: bool = False
    reading: dict[str, Any] | None = None


@dataclass(frozen=True)
class FromData:
    """The data that something was trained on."""

    name: str
    origin: Origin
    fingerprint: str


@dataclass(frozen=True)
class Splits:
    """How many rows are in each part."""

    train: Count
    valid: Count
    test: Count


@dataclass(frozen=True)
class Divided(FromData):
    """The data of a run, and how it was divided and read."""

    n: Count
    splits: Splits
    inputs: tuple[Count, ...]
    classes: tuple[str, ...]
    task: str


@dataclass(frozen=True)
class Compared:
    """A net that was tried before the run."""

    name: str
    loss: float


@dataclass(frozen=True)
class Selection:
    """What the net was chosen among."""

    chosen: str
    folds: Natural
    rows: Count
    candidates: tuple[Compared, ...]


@dataclass(frozen=True)
class Begun:
    """The weights that a run began with: where they are from, which layers were taken, begun anew and fixed."""

    from_: str
    path: str
    taken: Annotated[tuple[str, ...], Within(1)]
    anew: tuple[str, ...]
    fixed: str | None
    net: str | None = None
    own_net: bool = False


@dataclass(frozen=True)
class Trained:
    """What a run and a committee have in common."""

    run: Annotated[str, Within(1)]
    created: str
    net: Annotated[str, Within(1)]
    rule: str
    own_net: bool
    own_loss: bool
    own_weights: bool
    data: Divided
    options: dict[str, Any]
    asked: dict[str, Any]


@dataclass(frozen=True)
class RunRecord(Trained):
    """`run.json`."""

    parameters: Count
    loss: str | None
    selection: Selection | None = None
    start: Begun | None = None
    own_loss_as: OwnLoss | None = None
    plan: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class MemberRecord:
    """A member of a committee: where its folder is from the committee's, which run that holds, and which of its snapshots it is."""

    folder: Annotated[str, Within(1)]
    run: str
    snapshot: Natural | None = None


@dataclass(frozen=True)
class CommitteeRecord(Trained):
    """`committee.json`."""

    how: Literal["joined", "samme", "gradient"]
    by: Literal["mean", "product", "vote", "sum"]
    members: Annotated[tuple[MemberRecord, ...], Within(1)]
    weights: tuple[float, ...] | None
    start: tuple[float, ...] = ()
    steps: tuple[float, ...] = ()
    shrinkage: float | None = None


@dataclass(frozen=True)
class BoostingRecord:
    """`boosting.json`."""

    boosting: dict[str, Any]
    options: dict[str, Any]
    data: FromData


@dataclass(frozen=True)
class SweptRecord:
    """A member of a sweep: its folder in the sweep's, and what it was given."""

    folder: Annotated[str, Within(1)]
    settings: dict[str, str]


@dataclass(frozen=True)
class SweepRecord:
    """`sweep.json`."""

    sweep: str
    over: tuple[str, ...]
    members: Annotated[tuple[SweptRecord, ...], Within(1)]


@dataclass(frozen=True)
class Summary:
    """`summary.json`."""

    seconds: dict[str, float]


@dataclass(frozen=True)
class Rows:
    """Beside the hashes of the rows of each part: what the test rows are called by their source, and by what they hold."""

    test_set: str
    content: str = ""
