"""Boosting: nets trained one after the other, each on what the ones before it do badly; every round is an ordinary run.

Freund & Schapire (1997), https://doi.org/10.1006/jcss.1997.1504; Zhu, Zou, Rosset & Hastie (2009),
https://doi.org/10.4310/SII.2009.v2.n3.a8; Friedman (2001), https://doi.org/10.1214/aos/1013203451
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chainrule.core.errors import ChainruleError, InputError
from chainrule.core.events import Sink
from chainrule.core.options import check, read
from chainrule.core.registry import tasks
from chainrule.core.text import resuming
from chainrule.data.encode.moments import Moments
from chainrule.data.source import Part, Source, validated
from chainrule.engine.stop import Stop
from chainrule.evaluate.boosting import line_search, negative_gradient, samme_round, start_of
from chainrule.job.build import build
from chainrule.job.job import Job
from chainrule.job.options import Options
from chainrule.job.own import Own
from chainrule.job.record import RECORD
from chainrule.job.records import BoostingRecord
from chainrule.runs.folder import BOOSTING, Folder
from chainrule.workflows.boosting_data import residual_source, spread_over
from chainrule.workflows.ensemble import ROUNDS, Committee, write_committee
from chainrule.workflows.options import Boosting, Dataset
from chainrule.workflows.run import Run
from chainrule.workflows.session import Session, session_of
from chainrule.workflows.source import as_source, source_again
from chainrule.workflows.train import resume_run, train_job

FORMAT = 1
OF_THE_BASE = ("target", "split", "group", "time", "classes", "fold", "loss")   # rounds of gradient boosting are given their rows and loss


def boost(data: Any = Dataset.data, *, rounds: int = Boosting.rounds, by: str = Boosting.by, shrinkage: float = Boosting.shrinkage,
          net: str | None = None, out: str | Path | None = None, progress: bool = True, sinks: Iterable[Sink] = (),
          stop: Stop | None = None, data_dir: str | Path | None = None, **options: Any) -> Committee:
    """A committee of at most so many nets, trained in turn by `samme` (samples weighted) or `gradient` (residuals fitted).

    `options` are those of `train`, for every round. SAMME ends early where a net is no better than chance, or never wrong in training;
    gradient boosting takes, after each round, `shrinkage` times the step that lowers the training loss most, and ends where none
    does, or where nothing is left to fit. After every round what there is is a whole committee. Raises InputError, and what `train` raises.

    >>> import chainrule as cr
    >>> boosted = cr.boost("wine", rounds=2, by="gradient", net="mlp:hidden=4", epochs=1, plan="eager", progress=False)
    >>> 1 <= len(boosted) <= 2
    True
    """
    boosting = read(Boosting, {"rounds": rounds, "by": by, "shrinkage": shrinkage})
    if net is not None and not isinstance(net, str):
        raise InputError(f"boost makes a new net each round and needs its name; got {type(net).__name__}. Write e.g. net='mlp:hidden=8'.")
    asked = Options.from_json({**options, "net": net}).checked()
    session = session_of(out=out, data_dir=data_dir, progress=progress, sinks=sinks, stop=stop)
    _check(boosting, asked)
    _check_free(session.out)
    source = as_source(data, asked, session.data_dir)
    if source.weights is not None:
        raise InputError(f"Boosting weighs the rows of {source.name} itself; got weights from the column '{source.origin.get('weight')}'. "
                         "Leave --weight out, or use chainrule train.")
    base = build(source, asked)
    if not tasks.find(base.task.name).traits.rowwise:
        raise InputError(f"boost adds up nets that give a class or numbers for each row; {source.name} asks for {base.task.name}. Use "
                         "chainrule train.")
    if base.data.train.y is None or (by == "samme" and not base.task.classes):
        raise InputError(f"boost --by {by} needs {'classes' if by == 'samme' else 'targets'} to predict; {source.name} has "
                         f"{'none' if base.data.train.y is None else 'numbers'}. Use --by gradient for numbers, or name a --target.")
    validated(base.data, "boosting")
    if len(base.data.train) < 2 * base.data.outputs:
        raise InputError(f"{source.name} leaves {len(base.data.train)} training rows; boosting needs at least {2 * base.data.outputs}. "
                         "Give more rows, or train one net.")
    folder = Folder.create(session.out, source.name, base.net_name.split(":")[0], by)
    folder.write_json(BOOSTING, {"format": FORMAT, "boosting": asdict(boosting), "options": asked.to_json(),
                                 "data": {"name": source.name, "origin": dict(source.origin), "fingerprint": source.fingerprint}})
    return _rounds(folder, boosting, asked, base, session)


def _check_free(out: Path | None) -> None:
    """Raises InputError where `out` is a file, or holds a boosting or a run already."""
    if out is not None and (out / BOOSTING).exists():
        raise InputError(f"{out} already holds a boosting. Use another --out, or {resuming(out)}.")
    Folder.check_free(out)


def resume_boosting(path: Path, session: Session) -> Committee:
    """Go on with a boosting that was interrupted: rounds that ended are taken as they are, the one that did not is finished.

    Raises InputError where the data is gone or was given in memory, CorruptFile where the record is not whole.
    """
    folder = Folder(path)
    record = folder.read_typed(BOOSTING, BoostingRecord, FORMAT)
    if record is None:
        raise InputError(f"There is no boosting in {path}. chainrule boost makes one.")
    boosting, asked = read(Boosting, record["boosting"]), Options.from_json(record["options"]).checked()
    check(boosting)
    return _rounds(folder, boosting, asked, build(source_again(path, record, asked, None), asked), session)


def _rounds(folder: Folder, boosting: Boosting, asked: Options, base: Job, session: Session) -> Committee:
    """The nets one after the other; those that a folder already holds are not trained again. Raises what training raises."""
    by = boosting.by
    series: Samme | Gradient = Samme(base, asked) if by == "samme" else Gradient(base, asked, boosting.shrinkage)
    members: list[Run] = []
    committee: Committee | None = None
    remark = ""
    while len(members) < boosting.rounds and not series.over:
        run = _round(folder, folder.path / f"round-{len(members) + 1}", *series.task(), session)
        remark, joins = series.learn(run)
        if session.progress:
            print(f"round {len(members) + 1}: {remark}", file=sys.stderr)
        if joins:
            members.append(run)
            folder.write_tensors(ROUNDS, {series.by_round_name: torch.stack(series.by_round)}, {"kind": "rounds"})
            committee = write_committee(folder, how=by, by=series.by, members=members, base=members[0].job if by == "samme" else base,
                         net=f"{by} of {len(members)} nets", data=base.source, **series.record)
    if committee is None:
        raise ChainruleError(f"The first net, {folder.path / 'round-1'}, is no better than a guess: {remark}. Give it more --epochs, or a "
                             "larger --net.")
    committee.keep_validation()
    return committee


def _round(folder: Folder, place: Path, source: Source, weights: Tensor | None, settings: dict[str, Any], session: Session) -> Run:
    """One net, trained, or finished where its training was interrupted. Raises what training raises, naming the whole to go on with."""
    try:
        if (place / RECORD).exists():
            run = Run(place, data=source, weights=weights)
            return run if run.folder.complete else resume_run(run, session)
        began, settled, own = time.perf_counter(), Options(**settings), Own(weights=weights)
        return train_job(build(source, settled, own), settled, own, replace(session, out=place), began)
    except ChainruleError as error:
        error.args = (str(error).replace(resuming(place), resuming(folder.path)),)
        raise


def _check(boosting: Boosting, asked: Options) -> None:
    check(boosting)
    if asked.bootstrap is not None:
        raise InputError("Boosting weights every training row, and --bootstrap draws some of them. Leave one out.")
    if boosting.by == "gradient" and asked.loss not in (None, "cross-entropy", "squared"):
        raise InputError(f"Gradient boosting lowers cross-entropy for classes and the squared loss for numbers; got --loss {asked.loss}. "
                         "Leave --loss out.")


Task = tuple[Source, Tensor | None, dict[str, Any]]


class Samme:
    """Rounds that weight the samples the nets before got wrong; the nets vote, better ones with more weight.

    What `--class-weights` make of the samples is where their weights begin, so that nets are judged by it as they are trained by it.
    """

    by, by_round_name = "vote", "weights"

    def __init__(self, base: Job, asked: Options):
        part = base.data.train
        assert part.y is not None
        self.base, self.over = base, False
        self.truth = base.trained.truth(part)                                     # (n,)
        importance = torch.ones(len(part)) if part.weight is None else part.weight
        self.weights = importance.double().cpu() / float(importance.double().sum())  # (n,)
        self.votes: list[float] = []
        self.by_round: list[Tensor] = []
        self.settings = {name: value for name, value in asdict(asked).items() if value is not None and name != "class_weights"}

    def task(self) -> Task:
        """What the next round trains on: data, weights of its samples, options."""
        weights = spread_over(self.base.source, self.base.data.train.rows, self.weights * len(self.weights), 1.0)
        return self.base.source, weights, self.settings

    def learn(self, run: Run) -> tuple[str, bool]:
        """What is to be said of a round's net, and whether it joins."""
        weights = self.task()[1]
        assert weights is not None
        wrong = run.job.trained.predictions(self.base.data.train).argmax(1) != self.truth
        error, vote, self.weights = samme_round(self.weights, wrong, len(self.base.data.classes))
        if vote <= 0:
            self.over = True
            return f"a weighted error of {error:.4f}, which chance has too; it is left out, and boosting ends", False
        self.over = error == 0
        self.votes, self.by_round = [*self.votes, vote], [*self.by_round, weights]
        return f"weighted error {error:.4f}, vote {vote:.3f}" + (", and nothing is left to weight" if self.over else ""), True

    @property
    def record(self) -> dict[str, Any]:
        return {"weights": self.votes}


class Gradient:
    """Rounds that fit the slope of the loss at every sample; what the nets say is summed, each with a step found along it."""

    by, by_round_name = "sum", "targets"

    def __init__(self, base: Job, asked: Options, shrinkage: float):
        self.base, self.shrinkage, self.over = base, shrinkage, False
        self.parts = (base.data.train, base.data.valid)
        self.y = [_targets(base, part) for part in self.parts]
        self.start = start_of(self.y[0], base.data.outputs)                         # (k,)
        self.outputs = [self.start.expand(len(part), -1) for part in self.parts]    # (n, k) of each part
        self.steps: list[float] = []
        self.by_round: list[Tensor] = []
        self.settings = {name: value for name, value in asdict(asked).items() if value is not None and name not in OF_THE_BASE}

    def targets(self) -> Tensor:
        """The numbers (rows of the source, k) that the next round fits."""
        slopes = torch.cat([negative_gradient(o, y) for o, y in zip(self.outputs, self.y, strict=True)])
        return spread_over(self.base.source, torch.cat([part.rows for part in self.parts]), slopes, 0.0)

    def task(self) -> Task:
        """What the next round trains on: data, weights of its samples, options."""
        return residual_source(self.base.source, self.base.data, self.targets(), len(self.steps) + 1), None, self.settings

    def learn(self, run: Run) -> tuple[str, bool]:
        """What is to be said of a round's net, and whether it joins."""
        targets = self.targets()
        moves = [run.job.trained.predictions(part).double() for part in self.parts]
        step = self.shrinkage * line_search(self.outputs[0], moves[0], self.y[0])
        if step <= 0:
            self.over = True
            return "no step along it lowers the loss; it is left out, and boosting ends", False
        self.outputs = [o + step * move for o, move in zip(self.outputs, moves, strict=True)]
        self.steps, self.by_round = [*self.steps, step], [*self.by_round, targets]
        left = Moments.of(negative_gradient(self.outputs[0], self.y[0]))
        self.over = bool((left.high == left.low).any())                             # a constant cannot be standardised, nor fitted better
        return f"step {step:.3f}" + (", and nothing is left to fit" if self.over else ""), True

    @property
    def record(self) -> dict[str, Any]:
        return {"weights": None, "start": self.start.tolist(), "steps": self.steps, "shrinkage": self.shrinkage}


def _targets(base: Job, part: Part) -> Tensor:
    """Class numbers (n,), or the standardised values (n, k), of a part."""
    assert part.y is not None
    return base.trained.truth(part) if base.task.classes else part.y.double()

