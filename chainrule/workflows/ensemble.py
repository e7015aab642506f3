"""Committees: trained nets that answer together, kept in a folder that can be tested, compared and predicted with as a run can.

Hansen & Salamon (1990), https://doi.org/10.1109/34.58871; Breiman (1996), https://doi.org/10.1007/BF00058655 (bagging)
"""

from __future__ import annotations

import copy
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.loss import identity
from chainrule.core.net import Net
from chainrule.core.options import check, read
from chainrule.core.registry import losses
from chainrule.data.source import Part
from chainrule.engine import checkpoint
from chainrule.engine.store import SNAPSHOT
from chainrule.evaluate.combination import joined, shares
from chainrule.evaluate.standing import Standing
from chainrule.job.build import build
from chainrule.job.job import Job
from chainrule.job.own import NOTHING
from chainrule.job.trained import EVALUATION_ROWS
from chainrule.runs.folder import COMMITTEE, REPORT, SWEEP, Folder, describe_data, record_of
from chainrule.tasks.classification import probabilities
from chainrule.workflows.boosting_data import residual_source
from chainrule.workflows.ensemble_standing import growth_scores, standing
from chainrule.workflows.options import Joining
from chainrule.workflows.report import write_ensemble_report
from chainrule.workflows.run import Run, Snapshot
from chainrule.workflows.sweep import Sweep

if TYPE_CHECKING:
    from chainrule.evaluate.result import Result

FORMAT = 1
ROUNDS, STANDING = "rounds.safetensors", "standing.json"
Read = Callable[[Tensor], Tensor]


class Panel(nn.Module):
    """Nets joined by mean, product or vote: (n, ...) -> log probabilities (n, classes), or values (n, k).

    Where targets are signs, `signed`, it is half the log-odds of the second class (n, 1).
    """

    share: Tensor

    def __init__(self, members: Sequence[nn.Module], read: Sequence[Read], by: str, weights: Sequence[float] | None, classes: bool,
                 signed: bool):
        super().__init__()
        self.members, self.read, self.by = nn.ModuleList(members), list(read), by
        self.register_buffer("share", shares(weights, len(members)).float())        # (members,)
        self.classes, self.signed = classes, signed

    def each(self, x: Tensor) -> Tensor:
        """What every member says: probabilities or values (members, n, k)."""
        return torch.stack([read(member(x)) for member, read in zip(self.members, self.read, strict=True)])

    def forward(self, x: Tensor) -> Tensor:
        said = joined(self.each(x), self.by, self.share)
        if not self.classes:
            return said
        log = said.clamp(min=torch.finfo(said.dtype).tiny).log()
        return 0.5 * (log[:, 1:] - log[:, :1]) if self.signed else log


class Additive(nn.Module):
    """A start plus steps along what each net gives, as gradient boosting sums them: (n, ...) -> (n, outputs).

    The nets were fitted to standardised targets: `scale` and `shift` (members, outputs) undo it.
    """

    start: Tensor
    scale: Tensor
    shift: Tensor
    steps: Tensor

    def __init__(self, members: Sequence[nn.Module], start: Tensor, scale: Tensor, shift: Tensor, steps: Tensor, read: Read):
        super().__init__()
        self.members, self.read = nn.ModuleList(members), read
        for name, tensor in (("start", start), ("scale", scale), ("shift", shift), ("steps", steps)):
            self.register_buffer(name, tensor.float())

    def moves(self, x: Tensor) -> Tensor:
        """What each round adds: (members, n, outputs)."""
        return torch.stack([step * (member(x) * scale + shift) for member, scale, shift, step
                            in zip(self.members, self.scale, self.shift, self.steps, strict=True)])

    def each(self, x: Tensor) -> Tensor:
        """Probabilities or values after each round: (members, n, k)."""
        return self.read(self.start + self.moves(x).cumsum(0))

    def forward(self, x: Tensor) -> Tensor:
        return self.start + self.moves(x).sum(0)


class Committee(Run):
    """A committee's folder: its members are run folders, its own net joins them. It tests, predicts and compares as a run does.

    Data that existed only in the program's memory must be given again, `data=`; so must members that a folder alone does not restore.
    """

    def __init__(self, path: str | Path, *, data: Any = None, members: Sequence[Run] | None = None):
        self.folder = Folder(Path(path))
        self.path = self.folder.path
        record = self.folder.read_json(COMMITTEE)
        if record is None:
            raise InputError(f"There is no committee in {path}. chainrule committee makes one of runs, chainrule boost trains one.")
        if record.get("format") != FORMAT:
            raise InputError(f"{self.path / COMMITTEE} has format {record.get('format')}; this version reads format {FORMAT}. Use the "
                             "version of chainrule that wrote it.")
        self.record = record
        self._own_data, self._given = data, list(members) if members else None
        self._job, self._own = None, NOTHING

    def __repr__(self) -> str:
        return f"Committee({str(self.path)!r}: {self.record['net']} on {self.record['data']['name']})"

    def __len__(self) -> int:
        return len(self.record["members"])

    def __iter__(self) -> Iterator[Run]:
        return iter(self.members)

    @cached_property
    def members(self) -> list[Run]:
        """The runs that it is made of. Raises InputError where one is gone or was trained anew."""
        if self._given:
            return self._given
        how, found, source = self.record["how"], list[Run](), None
        kept: dict[str, Tensor] = checkpoint.read(self.path / ROUNDS)[0] if how != "joined" else {}
        whole: dict[Path, Run] = {}   # snapshots are of one run
        if how == "gradient":
            source = self.base.source
        for number, told in enumerate(self.record["members"]):
            folder = self.path / told["folder"]
            if folder in whole:
                found.append(Snapshot(whole[folder], told["snapshot"]))
                continue
            if how == "gradient":
                data = residual_source(self.base.source, self.base.data, kept["targets"][number], number + 1)
                run = Run(folder, data=data)
            else:
                run = Run(folder, data=source or self._own_data, weights=kept["weights"][number] if how == "samme" else None)
                source = run.source
            if run.record["run"] != told["run"]:
                raise InputError(f"{folder} holds another run than when {self.path} was made. Make the committee again.")
            if "snapshot" in told:
                whole[folder] = run
            found.append(Snapshot(run, told["snapshot"]) if "snapshot" in told else run)
        return found

    @property
    def trained(self) -> list[Run]:
        """The runs whose training made its weights: each of its members, or the one run whose snapshots they are."""
        return list({run.path: run for member in self.members for run in member.trained}.values())

    @cached_property
    def base(self) -> Job:
        """The job whose data and targets are the committee's."""
        if self.record["how"] != "gradient":
            return self.members[0].job
        return build(Run.source.func(self), self.options)  # type: ignore[attr-defined]

    @cached_property
    def source(self) -> Any:
        return self.base.source

    @cached_property
    def job(self) -> Job:
        """The base job with the committee for a net, and a door of its own that counts openings as the committee's."""
        base, record = self.base, self.record
        signed = base.target == "sign"
        classes = bool(base.task.classes)
        modules = [run.net for run in self.members]
        if record["how"] == "gradient":
            scale, shift = _scales([run.job for run in self.members])
            read: Read = partial(torch.softmax, dim=-1) if classes else identity
            panel: nn.Module = Additive(modules, torch.tensor(record["start"]), scale, shift, torch.tensor(record["steps"]), read)
        else:
            panel = Panel(modules, [_read(run.job) for run in self.members], record["by"], record["weights"], classes, signed)
        door = copy.copy(base.data.door)
        door.log, door.opened = self._opened, 0
        loss = base.loss if signed else losses.choose("cross-entropy" if classes else "squared").make()
        panel.to(base.device).eval()
        trained = replace(base.trained, net=Net.of(panel), net_name=record["net"], loss=loss)
        return replace(base, trained=trained, data=replace(base.data, door=door))

    def fresh_job(self) -> Job:
        raise InputError(f"{self.path} is a committee, which is not trained itself; its members are. Name one of them.")

    def each(self, part: Part) -> Tensor:
        """What every member, or the sum after each round, says of a part: probabilities or values (members, n, k)."""
        job = self.job
        with torch.no_grad():
            found = [job.net.call("each", job.data.ready(rows.to(job.device))).cpu() for rows in part.x.split(EVALUATION_ROWS)]
        said = torch.cat(found, 1)
        return said if job.task.classes else torch.stack([job.data.encoder.unscale(one) for one in said])

    def standing(self, part: Part | None = None) -> Standing:
        """The committee against each member and against the best of them, on the same cases; of validation where no part is given."""
        part = self.job.data.valid if part is None else part
        names = [f"after round {i + 1}" if self.record["how"] == "gradient" else run.name for i, run in enumerate(self.members)]
        return standing(names, self.job.trained.predictions(part), self.each(part), self.truth(part), part.rows, seed=self.options.seed)

    def growth(self, part: Part | None = None) -> tuple[dict[str, list[float]], str]:
        """Errors of the first 1, 2, ... members by each way of combining, and the own way; of validation where no part is given."""
        part = self.job.data.valid if part is None else part
        return growth_scores(self.each(part), self.truth(part), self.record)

    def test(self, reason: str = "test") -> Result:
        """Open the test part, once, and measure; `tested_standing` tells how the members did on the same cases."""
        result = super().test(reason)
        stored = self.folder.read_predictions()
        assert stored is not None
        rows, data = stored[0]["rows"], self.job.data
        part = Part(data.encoder.inputs(data.source, rows), data.encoder.targets(data.source, rows), rows)
        self.folder.write_json(STANDING, self.standing(part).to_dict())
        return result

    @property
    def tested_standing(self) -> Standing | None:
        """The committee against its members on the cases of the last test; None where there was none."""
        stored = self.folder.read_json(STANDING)
        return None if stored is None else Standing.from_dict(stored)

    @property
    def places(self) -> list[str]:
        """Where each member is: the folder of a run, or the file of a snapshot."""
        return [str(_place(self.path, member)) for member in self.record["members"]]

    def report(self, out: str | Path | None = None) -> Path:
        """One self-contained HTML file about the committee."""
        members = [(run.name, run.record["net"], run.record["parameters"], place)
                   for run, place in zip(self.members, self.places, strict=True)]
        return write_ensemble_report(Path(out) if out else self.path / REPORT, self.path, self.record, self.job, valid=self.valid,
                                     tested=self.tested, standing=self.standing(), tested_standing=self.tested_standing,
                                     growth=self.growth(), members=members)

    def summary(self) -> dict[str, Any]:
        """The keys that `chainrule committee --json` prints."""
        tested = self.tested
        return {"committee": str(self.path), "how": self.record["how"], "by": self.record["by"],
                "members": self.places, "weights": self.record["weights"],
                "valid": self.standing().to_dict(), "test": tested.to_dict() if tested else None}


def committee(*several: Run | Sweep | str | Path, by: str = Joining.by, out: str | Path | None = None) -> Committee:
    """A committee of runs, and of the runs of sweeps, or of the snapshots of one run, that answer by `mean`, `product` or `vote`.

    Its members must have been trained on one division of one data set, read in one way. Raises InputError that says which were not.
    """
    check(read(Joining, {"by": by}))
    members = _members(several)
    if len(members) < 2:
        raise InputError(f"A committee needs at least two members; got {len(members)}. Train some with chainrule sweep DATA --over "
                         "bootstrap=1..16, or one run that has several with chainrule train DATA --snapshots 5.")
    first = members[0]
    if first.job.data.train.y is None:
        raise InputError(f"{first.path} has no targets to answer for. Make a committee of nets that classify or predict values.")
    if not first.job.task.classes and by != "mean":
        raise InputError(f"A committee for values answers by their mean; got --by {by}. Leave --by out.")
    _agreeing(members)
    folder = Folder.create(out, first.record["data"]["name"], first.record["net"].split(":")[0], "committee")
    return found(folder, how="joined", by=by, members=members, weights=None, base=first.job,
                 net=f"{by} of {len(members)} {'snapshots' if isinstance(first, Snapshot) else 'nets'}")


def found(folder: Folder, *, how: str, by: str, members: Sequence[Run], weights: Sequence[float] | None, net: str, base: Job,
          data: Any = None, **more: Any) -> Committee:
    """Write down who belongs to a committee, and give it back; `more` is what its `how` has to say besides."""
    told = [{"folder": os.path.relpath(run.path, folder.path), "run": run.record["run"],
             **({"snapshot": run.number} if isinstance(run, Snapshot) else {})} for run in members]
    first = record_of(base.source, base.options, net=net, rule=how, asked=base.options)
    first["data"] |= describe_data(base)
    folder.write_json(COMMITTEE, {"format": FORMAT, **first, "run": uuid.uuid4().hex[:12], "how": how, "by": by, "members": told,
                                       "weights": None if weights is None else list(weights), **more})
    return Committee(folder.path, data=data, members=members)


def _members(several: Sequence[Run | Sweep | str | Path]) -> list[Run]:
    """The runs that were named, those of sweeps among them, all reading one source where they are read from their folders."""
    members: list[Run] = []
    for one in several:
        if isinstance(one, Run):
            members.append(one)
        elif isinstance(one, Sweep) or (Path(one) / SWEEP).exists():
            members += one.runs if isinstance(one, Sweep) else Sweep(one).runs
        else:
            members.append(Run(one))
    for run in members:
        if isinstance(run, Committee):
            raise InputError(f"{run.path} is a committee itself. Name its members.")
    if len(members) == 1 and members[0].options.snapshots:
        return _all_snapshots(members[0])
    for run in members[1:]:  # the rows are held once
        if run._job is None and run._own_data is None and run.record["data"]["fingerprint"] == members[0].record["data"]["fingerprint"]:
            run._own_data = members[0].source
    return members


def _all_snapshots(run: Run) -> list[Run]:
    found, wanted = run.snapshots, run.options.snapshots
    if len(found) != wanted:
        raise InputError(f"{run.path} has {len(found)} of its {wanted} snapshots: its training did not come to its end. Finish it with "
                         f"chainrule resume {run.path}, then make the committee.")
    return found


def _place(path: Path, member: dict[str, Any]) -> Path:
    """Where a member is: the folder of a run, or the file of a snapshot."""
    folder = Path(os.path.normpath(path / member["folder"]))
    return folder / SNAPSHOT.format(member["snapshot"]) if "snapshot" in member else folder


def _agreeing(members: Sequence[Run]) -> None:
    """Raises InputError unless all members held out the same rows of the same data, and read and answer in the same way."""
    first, own = members[0], members[0].job.data
    for run in members[1:]:
        data, where = run.job.data, f"{first.path} and {run.path}"
        if run.job.source.fingerprint != first.job.source.fingerprint:
            raise InputError(f"{where} were trained on different data. A committee needs members of one data set.")
        if not (torch.equal(data.door.rows, own.door.rows) and torch.equal(data.valid.rows, own.valid.rows)):
            raise InputError(f"{where} held out different rows (their seeds or folds divide the data differently), so that some members "
                             "have learned what others are judged by. Train them on one division: chainrule sweep DATA --over "
                             "bootstrap=1..16, or --over seed=0..15 --split-seed 0.")
        task = run.job.task.name
        if (task, data.classes, run.job.target) != (first.job.task.name, own.classes, first.job.target):
            raise InputError(f"{where} answer differently: {task} of {', '.join(data.classes) or 'values'}. A committee needs one "
                             "target.")
        (mine, how), (theirs, their_how) = own.encoder.to_state(), data.encoder.to_state()
        if {**how, "notes": 0} != {**their_how, "notes": 0} or any(not torch.equal(mine[k], theirs[k]) for k in mine):
            raise InputError(f"{where} read their inputs differently (scaled or flattened). Make a committee of runs whose rules read "
                             "alike.")


def _read(job: Job) -> Read:
    """What makes a member's raw scores probabilities, or values; it holds none of its data, so that a panel can be copied."""
    assert job.loss is not None
    link = job.loss.link
    return partial(probabilities, signed=job.target == "sign", link=link) if job.task.classes else link


def _scales(jobs: Sequence[Job]) -> tuple[Tensor, Tensor]:
    """What undoes the standardising of each member's targets: a factor and what is added, each (members, outputs)."""
    zero = torch.zeros(1, jobs[0].data.outputs, dtype=torch.float64)
    shift = torch.stack([job.data.encoder.unscale(zero)[0] for job in jobs])
    return torch.stack([job.data.encoder.unscale(zero + 1)[0] for job in jobs]) - shift, shift
