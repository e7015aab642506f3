"""Committees: trained nets that answer together, kept in a folder that can be tested, compared and predicted with as a run can.

Hansen & Salamon (1990), https://doi.org/10.1109/34.58871; Breiman (1996), https://doi.org/10.1007/BF00058655 (bagging)
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.files import writable
from chainrule.core.net import Net
from chainrule.core.options import check, read
from chainrule.core.registry import losses, tasks
from chainrule.core.schema import intelligible
from chainrule.core.text import resuming
from chainrule.data.source import Part, Source, validated
from chainrule.engine import checkpoint
from chainrule.engine.store import SNAPSHOT
from chainrule.evaluate.result import Result
from chainrule.evaluate.standing import Standing
from chainrule.job.build import build
from chainrule.job.job import Job
from chainrule.job.record import REMEDY, read_encoder
from chainrule.job.records import CommitteeRecord
from chainrule.job.trained import EVALUATION_ROWS, Trained
from chainrule.runs.folder import COMMITTEE, REPORT, SWEEP, Folder, describe_data, record_of
from chainrule.runs.validation import Validation
from chainrule.workflows.boosting_data import residual_source
from chainrule.workflows.doctor import Diagnoses, of_members
from chainrule.workflows.ensemble_net import ensemble_net
from chainrule.workflows.ensemble_standing import (
    VALID_STANDING,
    agreement,
    cases_by,
    growth_scores,
    standing,
    standing_in,
    validation_standing_in,
)
from chainrule.workflows.evaluation import measured_on, open_test
from chainrule.workflows.options import Joining
from chainrule.workflows.report import write_ensemble_report
from chainrule.workflows.run import Run
from chainrule.workflows.snapshot import Snapshot
from chainrule.workflows.source import source_again
from chainrule.workflows.sweep import Sweep
from chainrule.workflows.trained_folder import TrainedFolder

FORMAT = 3
ROUNDS, STANDING = "rounds.safetensors", "standing.json"
Member = Run | Snapshot


class Committee(TrainedFolder):
    """A committee's folder: its members are run folders, its own net joins them. It tests, predicts and compares as a run does.

    Data that existed only in the program's memory must be given again, `data=`; so must members that a folder alone does not restore.
    """

    def __init__(self, path: str | Path, *, data: Any = None, members: Sequence[Member] | None = None):
        self.folder = Folder(Path(path))
        self.path = self.folder.path
        record = self.folder.read_typed(COMMITTEE, CommitteeRecord, FORMAT)
        if record is None:
            raise InputError(f"There is no committee in {path}. chainrule committee makes one of runs, chainrule boost trains one.")
        self.record, self._own_data, self._given = record, data, list(members) if members else None

    def __repr__(self) -> str:
        return f"Committee({str(self.path)!r}: {self.record['net']} on {self.record['data']['name']})"

    def __len__(self) -> int:
        return len(self.record["members"])

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    @cached_property
    def members(self) -> list[Member]:
        """The runs and snapshots that it is made of. Raises InputError where one is gone or was trained anew."""
        if self._given:
            return self._given
        runs: dict[Path, Run] = {}   # snapshots are of one run
        members: list[Member] = []
        for number, about in enumerate(self.record["members"]):
            folder = self.path / about["folder"]
            if folder not in runs:
                runs[folder] = self._member(folder, number)
            run = runs[folder]
            if run.record["run"] != about["run"]:
                raise InputError(f"{folder} holds another run than when {self.path} was made. Make the committee again.")
            members.append(Snapshot(run, about["snapshot"]) if "snapshot" in about else run)
        return members

    def _member(self, folder: Path, number: int) -> Run:
        """A run of its own; what a round of boosting was trained on is made when it is asked for."""
        how = self.record["how"]
        if how == "joined":
            return Run(folder, data=self._own_data)
        tensors = checkpoint.read(self.path / ROUNDS)[0]
        with intelligible(self.path / ROUNDS, REMEDY):
            if how == "samme":
                return Run(folder, data=lambda: self.source, weights=tensors["weights"][number])
            of_round = tensors["targets"][number]
            return Run(folder, data=lambda: residual_source(self.source, self.base.data, of_round, number + 1))

    @cached_property
    def trainings(self) -> list[Run]:
        """The runs whose training made its weights: its members, or the one run whose snapshots they are."""
        runs = list({run.path: run for member in self.members for run in member.trainings}.values())
        for run in runs[1:] if self.record["how"] == "joined" else []:
            run.share(runs[0].source)
        return runs

    @cached_property
    def source(self) -> Source:
        """The data, read again. Raises InputError where it is gone, or is no longer what it was."""
        if self.record["how"] == "joined":
            return self.trainings[0].source
        return source_again(self.path, self.record, self.options, self._own_data, "cr.Committee")

    @cached_property
    def base(self) -> Job:
        """The job whose data and targets are the committee's."""
        return build(self.source, self.options) if self.record["how"] == "gradient" else self.trainings[0].job

    @cached_property
    def trained(self) -> Trained:
        """The members joined into one net, with all that its answers need; the data may be gone."""
        record, several = self.record, [member.trained for member in self.members]
        encoder, constant = read_encoder(self.path, record["run"])
        task = tasks.find(record["data"]["task"]).make(encoder)
        signed, classes = encoder.target.kind == "sign", task.probabilistic
        loss = several[0].loss if signed else losses.choose("cross-entropy" if classes else "squared").make()
        device = several[0].device
        with intelligible(self.path / COMMITTEE, REMEDY):
            module = ensemble_net(record, several, classes, signed).to(device).eval()
        return Trained(Net.of(module), record["net"], encoder, task, loss, device, self.options.precision, self.options.seed,
                       constant=constant)

    @cached_property
    def job(self) -> Job:
        """The base job with the committee for a net, and a door of its own that counts openings as the committee's."""
        door = copy.copy(self.base.data.door)
        door.log, door.opened = self.log_opening, 0
        return replace(self.base, trained=self.trained, data=replace(self.base.data, door=door))

    def each(self, part: Part) -> Tensor:
        """What every member, or the sum after each round, says of a part: probabilities or values (members, n, k), or of steps."""
        trained = self.trained
        if not tasks.find(trained.task.name).traits.rowwise:                   # answers at steps, which may depend on those before
            return torch.stack([member.trained.predictions(part) for member in self.members])
        with torch.no_grad():
            blocks = [trained.net.call("each", trained.ready(rows.to(trained.device))).cpu() for rows in part.x.split(EVALUATION_ROWS)]
        answers = torch.cat(blocks, 1)
        return answers if trained.task.classes else torch.stack([trained.encoder.target.unscale(one) for one in answers])

    @cached_property
    def validation(self) -> Validation:
        """What the folder keeps of the validation part; of one whose boosting did not come to its end, from the data."""
        return Validation.read(self.folder, self.record["run"]) or Validation.of(self.trained, self.base.data)

    def standing(self, part: Part | None = None) -> Standing:
        """The committee against each member and against the best of them, on the same cases; of validation where no part is given."""
        stored = None if part is not None else validation_standing_in(self.folder, VALID_STANDING)
        if stored is not None:
            return stored.standing
        part = self.job.data.valid if part is None else part
        names = [f"after round {i + 1}" if self.record["how"] == "gradient" else run.name for i, run in enumerate(self.members)]
        each, alike = self.each(part), self.record["how"] == "joined"         # rounds of boosting are no members of one kind
        return standing(names, self.trained.predictions(part), each, cases_by(self.trained, part), seed=self.options.seed,
                        agreement=agreement(self.trained, each, part) if alike else None)

    @property
    def diagnoses(self) -> Diagnoses:
        """What is wrong with it as a whole; `chainrule doctor` tells what is wrong with its members too."""
        return Diagnoses(self.path, of_members(self.standing()), {})

    def growth(self, part: Part | None = None) -> tuple[dict[str, list[float]], str]:
        """Errors of the first 1, 2, ... members by each way of combining, and the own way; of validation where no part is given."""
        stored = None if part is not None else validation_standing_in(self.folder, VALID_STANDING)
        if stored is not None:
            return stored.growth
        part = self.job.data.valid if part is None else part
        return growth_scores(self.each(part), cases_by(self.trained, part), self.record, self.trained.task.probabilistic)

    def keep_validation(self) -> None:
        """Write what a report and an export need, for when the data is gone."""
        Validation.of(self.trained, self.base.data).write(self.folder, self.record["run"])
        self.folder.write_json(VALID_STANDING, {"standing": self.standing().to_dict(), "growth": self.growth()})

    def test(self, reason: str = "test") -> Result:
        """Open the test part, once, and measure; `tested_standing` tells how the members did on the same cases."""
        result = open_test(self, reason)
        stored = self.folder.read_predictions()
        assert stored is not None
        rows, data = stored[0]["rows"], self.job.data
        inputs, targets = data.encoder.inputs, data.encoder.target
        part = Part(inputs.encode(data.source, rows), targets.encode(data.source, rows), rows, mask=targets.mask(data.source, rows))
        self.folder.write_json(STANDING, self.standing(part).to_dict())
        return result

    def test_on(self, what: Any) -> Result:
        """Measure on other data with targets, in the form its members were trained on; the test part stays shut."""
        return measured_on(self.trained, self.options, what, Folder(self.members[0].path))

    @property
    def tested_standing(self) -> Standing | None:
        """The committee against its members on the cases of the last test; None where there was none."""
        return standing_in(self.folder, STANDING)

    @property
    def places(self) -> list[str]:
        """Where each member is: the folder of a run, or the file of a snapshot."""
        return [str(_place(self.path, member)) for member in self.record["members"]]

    def report(self, out: str | Path | None = None, overwrite: bool = False) -> Path:
        """One self-contained HTML file about the committee."""
        members = [(run.name, run.record["net"], run.record["parameters"], place)
                   for run, place in zip(self.members, self.places, strict=True)]
        return write_ensemble_report(writable(Path(out), overwrite) if out else self.path / REPORT, self.path, self.record, self.trained,
                                     validation=self.validation, tested=self.tested, standing=self.standing(),
                                     tested_standing=self.tested_standing, growth=self.growth(), members=members,
                                     diagnoses=self.diagnoses.listed)

    def summary(self) -> dict[str, Any]:
        """The keys that `chainrule committee --json` prints."""
        result = self.tested
        return {"committee": str(self.path), "how": self.record["how"], "by": self.record["by"],
                "members": self.places, "weights": self.record["weights"],
                "valid": self.standing().to_dict(), "test": result.to_dict() if result else None,
                "diagnoses": [dict(one) for one in self.diagnoses.listed]}


def committee(*several: Member | Sweep | str | Path, by: str = Joining.by, out: str | Path | None = None) -> Committee:
    """A committee of runs, and of the runs of sweeps, or of the snapshots of one run, that answer by `mean`, `product` or `vote`.

    Its members must have been trained on one division of one data set, read in one way. Raises InputError that says which were not.

    >>> import chainrule as cr
    >>> several = cr.sweep("iris", over={"bootstrap": (1, 2, 3)}, net="mlp:hidden=4", epochs=1, plan="eager", progress=False)
    >>> len(cr.committee(several, by="vote"))
    3
    """
    check(read(Joining, {"by": by}))
    members = _members(several)
    if len(members) < 2:
        raise InputError(f"A committee needs at least two members; got {len(members)}. Train some with chainrule sweep DATA --over "
                         "bootstrap=1..16, or one run that has several with chainrule train DATA --snapshots 5.")
    first = members[0]
    if first.job.data.train.y is None:
        raise InputError(f"{first.path} has no targets to answer for. Make a committee of nets that classify or predict values.")
    traits = tasks.find(first.job.task.name).traits
    if not (traits.rowwise or traits.steps):
        raise InputError(f"{first.path} was trained for {first.job.task.name}; a committee is of nets that classify samples or steps, or "
                         "predict values. Name such runs.")
    if not first.job.task.probabilistic and by != "mean":
        raise InputError(f"A committee for values answers by their mean; got --by {by}. Leave --by out.")
    if (averaging := next((run for run in members if run.options.views is not None), None)) is not None:
        raise InputError(f"{averaging.path} answers by the mean over views of each row, and members of a committee by rows as they are. "
                         "Train it without --views.")
    validated(first.job.data, "a committee")
    _agreeing(members)
    folder = Folder.create(out, first.record["data"]["name"], first.record["net"].split(":")[0], "committee")
    try:
        joined = write_committee(folder, how="joined", by=by, members=members, weights=None, base=first.job,
                                 net=f"{by} of {len(members)} {'snapshots' if isinstance(first, Snapshot) else 'nets'}")
        joined.keep_validation()
    except BaseException:                                # so that the same command can be given again
        (folder.path / COMMITTEE).unlink(missing_ok=True)
        raise
    return joined


def write_committee(folder: Folder, *, how: str, by: str, members: Sequence[Member], weights: Sequence[float] | None, net: str, base: Job,
                    data: Any = None, **more: Any) -> Committee:
    """Write down who belongs to a committee, and give it back; `more` is what its `how` has to say besides."""
    described = [{"folder": os.path.relpath(run.path, folder.path), "run": run.record["run"],
                  **({"snapshot": run.number} if isinstance(run, Snapshot) else {})} for run in members]
    first = record_of(base.source, base.options, net=net, rule=how, asked=base.options)
    first["data"] |= describe_data(base)
    folder.write_encoder(base.trained, first["run"])
    folder.write_json(COMMITTEE, {"format": FORMAT, **first, "how": how, "by": by, "members": described,
                                  "weights": None if weights is None else list(weights), **more})
    return Committee(folder.path, data=data, members=members)


def _members(several: Sequence[Member | Sweep | str | Path]) -> list[Member]:
    """The runs that were named, those of sweeps among them, all reading one source where they are read from their folders."""
    members: list[Member] = []
    for one in several:
        if isinstance(one, Committee):
            raise InputError(f"{one.path} is a committee itself. Name its members.")
        if isinstance(one, Run | Snapshot):
            members.append(one)
        elif isinstance(one, Sweep) or (Path(one) / SWEEP).exists():
            members += one.runs if isinstance(one, Sweep) else Sweep(one).runs
        else:
            members.append(Run(one))
    if len(members) == 1 and isinstance(members[0], Run) and members[0].options.snapshots:
        return [*_all_snapshots(members[0])]
    for member in members[1:]:
        for run in member.trainings:
            run.share(members[0].source)
    return members


def _all_snapshots(run: Run) -> list[Snapshot]:
    snapshots, wanted = run.snapshots, run.options.snapshots
    if len(snapshots) != wanted:
        raise InputError(f"{run.path} has {len(snapshots)} of its {wanted} snapshots: its training did not come to its end. Finish it with "
                         f"{resuming(run.path)}, then make the committee.")
    return snapshots


def _place(path: Path, member: dict[str, Any]) -> Path:
    """Where a member is: the folder of a run, or the file of a snapshot."""
    folder = Path(os.path.normpath(path / member["folder"]))
    return folder / SNAPSHOT.format(member["snapshot"]) if "snapshot" in member else folder


def _same_state(one: tuple[dict[str, Tensor], dict[str, Any]], other: tuple[dict[str, Tensor], dict[str, Any]]) -> bool:
    """Whether two encoders read alike, whatever they noted."""
    (mine, how), (theirs, their_how) = one, other
    return {**how, "notes": 0} == {**their_how, "notes": 0} and all(torch.equal(mine[k], theirs[k]) for k in mine)


def _agreeing(members: Sequence[Member]) -> None:
    """Raises InputError unless all members held out the same rows of the same data, and read and answer in the same way."""
    first, own = members[0], members[0].job.data
    for run in members:
        if run.job.options.folds:
            raise InputError(f"{run.path} is a cross-validated ensemble, which learned from all rows that are not test: none are left to "
                             "judge a committee by. Train its members with --net mlp, or another net.")
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
        parts = ((own.encoder.inputs, data.encoder.inputs), (own.encoder.target, data.encoder.target))
        if not all(_same_state(one.to_state(), other.to_state()) for one, other in parts):
            raise InputError(f"{where} read their inputs differently (scaled or flattened). Make a committee of runs whose rules read "
                             "alike.")
