"""The doctor at a run: beside it while it trains, over its log afterwards, and what follows where training ends for a fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chainrule.core.errors import ChainruleError
from chainrule.core.events import Diagnosed, Evaluated, Event, Finished, Joined, first_cause
from chainrule.core.text import table
from chainrule.engine.seat import DIAGNOSED
from chainrule.evaluate.standing import Standing
from chainrule.job.job import Job
from chainrule.job.options import Options
from chainrule.observe.doctor.doctor import Doctor, diagnosed, facts_in
from chainrule.observe.doctor.facts import NOTHING
from chainrule.observe.doctor.remedy import Remedy
from chainrule.runs.folder import COMMITTEE, LOG, SWEEP, Folder
from chainrule.sinks import runlog
from chainrule.workflows.ensemble_standing import VALID_STANDING, validation_standing_in
from chainrule.workflows.facts import facts_of

ATTEMPTS = 3                   # remedies, one after the other, that `mend` tries
MEND = "mend"
KEYS = ("code", "name", "layer", "evidence", "remedy", "step", "first", "numbers", "options")


def attended(job: Job) -> Job:
    """The job with a doctor beside it, who knows its data, its net and its options."""
    facts = facts_of(job)
    job.doctor, job.facts = Doctor(facts, job.options.doctor), facts.to_json()
    return job


@dataclass(frozen=True)
class Diagnoses:
    """What is wrong with a run, the first cause at the head; `several` are those of the members of a sweep or a committee, by folder."""

    path: Path
    listed: tuple[Mapping[str, Any], ...]
    several: Mapping[str, tuple[Mapping[str, Any], ...]]

    def __str__(self) -> str:
        if self.several:
            rows = [[name, *(_short(one[0]) if one else ("", "nothing is wrong"))] for name, one in self.several.items()]
            own = [line for one in self.listed for line in lines(one)]
            return "\n".join([*own, *table([["run", "code", "first cause"], *rows], left=(0, 1, 2))])
        if not self.listed:
            return f"{self.path}: nothing is wrong that its log shows."
        return "\n".join(line for one in self.listed for line in lines(one))

    def to_json(self) -> dict[str, Any]:
        """The keys that `chainrule doctor --json` prints."""
        return {"run": str(self.path), "diagnoses": [dict(one) for one in self.listed],
                **({"runs": {name: [dict(one) for one in some] for name, some in self.several.items()}} if self.several else {})}


def doctor(path: str | Path) -> Diagnoses:
    """What is wrong with a run, finished or not, by its folder alone; of a sweep or a committee, with each of its runs.

    Raises InputError where there is no run, or no log.

    >>> import chainrule as cr
    >>> run = cr.train("digits", epochs=5, plan="eager", progress=False)
    >>> [one["name"] for one in cr.doctor(run).listed if one["first"]]
    []
    """
    path = Path(path)
    for record in (SWEEP, COMMITTEE):
        if members := (Folder(path).read_json(record) or {}).get("members"):
            validated = validation_standing_in(Folder(path), VALID_STANDING) if record == COMMITTEE else None
            return Diagnoses(path, () if validated is None else of_members(validated.standing),
                             {one["folder"]: _of(path / one["folder"]) for one in members})
    return Diagnoses(path, _of(path), {})


def of_members(standing: Standing) -> tuple[Mapping[str, Any], ...]:
    """What is wrong with a committee as a whole, by how its members stand on the validation part."""
    alike = standing.agreement
    if alike is None:
        return ()
    return _keys(diagnosed([Joined(0, 0.0, len(standing.names), alike.share, alike.n, alike.counted)], NOTHING))


def _of(path: Path) -> tuple[Mapping[str, Any], ...]:
    events = runlog.read(Folder.find(path).path / LOG)
    return _keys(diagnosed(events))


def _keys(several: list[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    return tuple({key: one.get(key) for key in KEYS} for one in several)


def lines(one: Mapping[str, Any]) -> list[str]:
    """A diagnosis for people: the cause by its name, consequences set in under it."""
    head = "" if one["first"] else "  "
    remedy = [f"{head}  try: {one['remedy']}"] if one["remedy"] else []
    return [f"{head}{one['code']} {one['name']} ({one['layer']}): {one['evidence']}", *remedy]


def _short(one: Mapping[str, Any]) -> tuple[str, str]:
    return str(one["code"]), f"{one['name']} ({one['layer']})"


def ended_by(events: list[Event]) -> Diagnosed | None:
    """The first cause of a run that its doctor, or a number that is not finite, has ended; None of others."""
    end = next((e for e in reversed(events) if isinstance(e, Finished)), None)
    return first_cause(events) if end is not None and end.reason in (DIAGNOSED, "diverged") else None


def good(events: list[Event]) -> bool:
    """Whether the best weights of a run know more than a constant answer does, by the loss of the validation part; else it begins anew."""
    constant = facts_in(events).constant_loss
    losses = [e.valid["loss"] for e in events if isinstance(e, Evaluated) and "loss" in e.valid]
    return constant is not None and any(loss < constant for loss in losses)


def described(cause: Diagnosed) -> str:
    """`vanishing gradient in hidden1 at step 10: the gradient of ... Remedy: --init he.`"""
    return f"{cause.name} ({cause.layer}, step {cause.step:,}): {cause.evidence}. Remedy: {cause.remedy}"


def mending(record: Mapping[str, Any] | None) -> list[str]:
    """What a run says of the one that it mends."""
    if record is None:
        return []
    options = " ".join(f"--{name} {value}" for name, value in record["options"].items())
    return [f"Mends {record['run']}, which ended for {record['cause']}. Now with {options}."]


def mended(asked: Options, cause: Diagnosed, run: Path, good: bool) -> Options:
    """The options of the training that follows one that has ended for a cause: from the best weights, where there are `good` ones and the
    remedy is not another net or another beginning. Raises ChainruleError where the remedy is no option.
    """
    if not cause.options:
        raise ChainruleError(f"Ended by --doctor mend, which has no option for it: {described(cause)}. The weights so far are in {run}.")
    changed = {name.replace("-", "_"): value for name, value in cause.options.items()}
    typed: dict[str, Any] = {name: int(value) if name in ("batch", "epochs", "steps", "patience") else value for name,
                             value in changed.items()}
    on = good and not Remedy(cause.options).anew and asked.from_ is None
    return replace(asked, **{**typed, **({"from_": str(run)} if on else {})})
