"""A look at data before it is trusted: labels, outliers, columns and parts that look wrong, each with its evidence and what to do.

Northcutt, Jiang & Chuang (2021), https://doi.org/10.1613/jair.1.12125 (labels, by nets that did not train on them)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.audit.columns import groups_of, repeating, saying, why_not
from chainrule.audit.duplicates import exact, keys, near, within
from chainrule.audit.finding import Finding, listed
from chainrule.audit.labels import Outliers, Suspects, contradiction, mislabelled, outliers
from chainrule.core.errors import Diverged, InputError, Interrupted
from chainrule.core.events import Finished
from chainrule.core.files import write_file
from chainrule.core.text import counted, table
from chainrule.data.giving_targets import giving_targets
from chainrule.data.prepare import prepare
from chainrule.data.row_contents import content_of
from chainrule.data.source import Data, Part, Source
from chainrule.data.splits import parse_split
from chainrule.engine.members.grouping import train_members
from chainrule.engine.members.groups import Member
from chainrule.engine.stop import Stop
from chainrule.evaluate.significance import mcnemar, p_value
from chainrule.job.build import LossLike, build
from chainrule.job.job import Job
from chainrule.job.options import Options
from chainrule.job.own import Own
from chainrule.plots.audit import Distances, Joint, suspicions
from chainrule.plots.evaluation import image_grid
from chainrule.plots.figure import to_png
from chainrule.runs.folder import Folder, test_set
from chainrule.workflows.options import Dataset
from chainrule.workflows.session import session_of
from chainrule.workflows.source import as_source, options_of, own_of

FOLDS = 5
FEWEST_ROWS = 50          # outside the test part; of fewer, five nets of four fifths each say little
FEWEST_OF_CLASS = 10      # rows of a class; of fewer, nobody can say what is unlike it
MOST_ROWS = 20_000        # compared by distance
MOST_APART = 5_000        # searched for outliers
SHARE_OF_EPOCHS = 3       # nets that learn until they know every label by heart doubt none; a third of the usual epochs is enough
SKILLED = 0.05            # probability of nets that know nothing doing as well against the most frequent class
SURE = 0.01               # probability of labels that are not wrong contradicting the nets as often
CHECK = "check.json"


@dataclass
class Check:
    """What was found in the data, the gravest first, and what was `skipped` and why. Rows are numbers in the source, from 0."""

    name: str
    path: Path
    rows: int
    findings: list[Finding] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[Finding]:
        """The findings of one kind: label, outlier, leak, duplicate, redundant, irrelevant."""
        return [f for f in self.findings if f.kind == kind]

    def to_dict(self) -> dict[str, Any]:
        return {"out": str(self.path), "data": self.name, "rows": self.rows, "findings": [dataclasses.asdict(f) for f in self.findings],
                "skipped": self.skipped, "notes": self.notes}

    def __str__(self) -> str:
        lines = [f"{self.name}: {counted(len(self.findings), 'finding')} in {counted(self.rows, 'row')} (counted from 1, below any "
                 f"header; as `rows` of {CHECK} from 0)"]
        for finding in self.findings:
            lines += ["", f"{finding.kind}: {finding.found}", f"  evidence: {finding.evidence}", f"  what to do: {finding.remedy}"]
            lines += table([list(finding.table[0].keys()), *[[str(v) for v in row.values()] for row in finding.table[:10]]],
                           left=()) if finding.table else []
        lines += ["", *[f"not checked: {line}" for line in self.skipped]] if self.skipped else []
        return "\n".join([*lines, *[f"note: {line}" for line in self.notes], f"All rows: {self.path / CHECK}"])


def check(data: Any = Dataset.data, *, net: str | nn.Module | None = None, loss: LossLike = None, data_dir: str | Path | None = None,
          out: str | Path | None = None, stop: Stop | None = None, **options: Any) -> Check:
    """Look for mislabelled rows, outliers, duplicates between parts, leaking, redundant and irrelevant columns; writes an `out` folder.

    `options` are those of `train`; five nets are trained on four fifths each of what is not test. The test part is opened for its inputs
    alone, and the opening is logged; its targets are not read. Raises InputError where there is nothing to look at.

    >>> import chainrule as cr
    >>> checked = cr.check("iris", net="softmax", epochs=3, plan="eager")
    >>> checked.name, checked.rows
    ('iris', 150)
    """
    asked, own, session = options_of(net, loss, options), own_of(net, loss), session_of(out=out, data_dir=data_dir, stop=stop)
    if asked.fold or asked.bootstrap:
        raise InputError("check divides the rows into folds by itself. Leave out --fold and --bootstrap.")
    Folder.check_free(session.out)
    source = as_source(data, asked, session.data_dir)
    looking = _Looking(source, asked, own, session.stop or Stop())
    folder = Folder.create(session.out, source.name, "check")
    report = Check(source.name, folder.path, len(source))
    looking.door_log(folder)
    pictures = looking.into(report)
    order = ("label", "leak", "duplicate", "outlier", "redundant", "irrelevant")
    report.findings.sort(key=lambda f: order.index(f.kind))
    folder.write_json(CHECK, report.to_dict())
    for name, png in pictures:
        write_file(folder.path / name, png)
    return report


# targets that are no number and no class
KINDS = {"steps": "a label at each step", "pairs": "a label for each pair of steps", "maps": "a map", "boxes": "boxes"}


class _Looking:
    """The data of one check, split once, and the nets of its folds, trained when first asked for."""

    def __init__(self, source: Source, asked: Options, own: Own, stop: Stop):
        self.source, self.own, self.stop = source, own, stop
        self.asked = asked
        self.job: Job | None = None
        self.data: Data
        if source.target_kind == "none":
            self.data = prepare(source, seed=asked.seed, split=parse_split(asked.split) if asked.split else None)
            return
        self.job = self._build(asked)
        self.data = self.job.data
        if asked.epochs is None and asked.steps is None and asked.seconds is None and self.job.options.epochs:
            self.asked = dataclasses.replace(asked, epochs=max(5, round(self.job.options.epochs / SHARE_OF_EPOCHS)))

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of rows; empty where rows have numbers or more than one class each."""
        return self.data.classes if self.data.target_kind in ("class", "sign") else ()

    def _build(self, options: Options) -> Job:
        return build(self.source, options, self.own.copied())

    def door_log(self, folder: Folder) -> None:
        content = content_of(self.source, self.data.door.rows)
        self.data.door.log = lambda reason: folder.open_log(test_set(self.data, self.source), content, reason)

    @cached_property
    def free(self) -> Tensor:
        """The rows of the source that are not test, ascending (n,)."""
        return torch.cat([self.data.train.rows, self.data.valid.rows]).sort().values

    @cached_property
    def folds(self) -> list[Job]:
        """Nets trained on the other folds; the last weights are kept, so that the held-out rows choose nothing."""
        jobs = [self._build(dataclasses.replace(self.asked, fold=f"{k}/{FOLDS}")) for k in range(1, FOLDS + 1)]
        members = []
        for job in jobs:
            job.keeps_last = True
            job.options = dataclasses.replace(job.options, patience=None)
            common, numbers = job.kind()
            members.append(Member(job.seat(None, self.stop), job.remaking(), numbers, common))
        for _, event in train_members(members):
            if isinstance(event, Finished) and event.reason == "diverged":
                raise Diverged("The loss of a net that checks the data stopped being finite. Use a lower rate, e.g. --optimizer "
                               "adam:rate=1e-4.")
        if self.stop.requested:
            raise Interrupted("Interrupted; nothing was written.", self.stop.requested)
        return jobs

    def into(self, report: Check) -> list[tuple[str, bytes]]:
        """Everything that can be looked at; the pictures to be written."""
        pictures: list[tuple[str, bytes]] = []
        report.findings += self.duplicates()
        x, rows = self.inputs(MOST_APART)                                     # (n, ...), (n,)
        apart = outliers(x.flatten(1), seed=self.asked.seed) if len(x) > FEWEST_ROWS else None
        if apart is None:
            report.skipped.append(f"outliers: {len(x)} rows outside the test part; at least {FEWEST_ROWS + 1} are needed.")
        else:
            report.findings += self.outlying(apart, rows)
        report.notes += self.data.encoder.inputs.notes
        names, groups = groups_of(self.data)
        report.findings += repeating(self.data, x, names)
        few = self._too_few()
        if few:
            report.skipped += [f"{part}: {few}" for part in ("mislabelled rows", "irrelevant columns", "leaking columns")]
            return pictures
        doubted: Suspects | None = None
        if self.classes:
            unsaid = self.no_verdict()
            if unsaid:
                report.skipped.append(f"mislabelled rows: {unsaid}")
            else:
                report.findings += self.labels()
                doubted = self.doubts[0]
        else:
            what = KINDS.get(self.data.target_kind, "a number")
            report.skipped.append(f"mislabelled rows: the target is {what}; confident learning is for a class a row.")
        if groups is None:
            report.skipped.append(f"irrelevant and leaking columns: {why_not(self.data)}")
        else:
            report.findings += saying(self.folds, self.data, groups, self.asked.seed)

        if doubted is not None or apart is not None:
            joint = None if doubted is None else Joint(doubted.joint, len(doubted.rows))
            distances = None if apart is None else Distances(apart.distance, apart.threshold, len(apart.rows), apart.how)
            pictures.append(("check.png", to_png(suspicions(joint, distances, self.data.classes))))
        shape = tuple(self.source.inputs.shape[1:]) if isinstance(self.source.inputs, Tensor) else ()
        if doubted is not None and len(doubted.rows) and len(shape) == 3 and shape[0] in (1, 3):
            pictures.append(("labels.png", self.seen(doubted)))
        return pictures

    def _too_few(self) -> str:
        """Why nets cannot be asked, or nothing."""
        if self.data.target_kind == "none":
            return f"{self.source.name} has no targets. {giving_targets(self.source)}."
        n = len(self.free)
        if n < FEWEST_ROWS:
            return f"{n} rows outside the test part; at least {FEWEST_ROWS} are needed."
        if self.classes:
            counts = self.source.targets[self.free].bincount(minlength=len(self.source.classes))
            least = int(counts[counts > 0].min())
            if least < FEWEST_OF_CLASS:
                return f"a class has {least} rows outside the test part; at least {FEWEST_OF_CLASS} are needed. Drop it with --classes."
        return ""

    def inputs(self, most: int) -> tuple[Tensor, Tensor]:
        """At most so many rows outside the test part as nets read them, evenly drawn, with their numbers in the source."""
        rows = self.free
        if len(rows) > most:
            drawn = torch.randperm(len(rows), generator=torch.Generator().manual_seed(self.asked.seed))[:most].sort().values
            rows = rows[drawn]
        return self.data.ready(self.data.encoder.inputs.encode(self.source, rows)[:]), rows

    @cached_property
    def unseen(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of all rows, by the nets that did not train on them: probabilities (n, c), labels (n,), the class that was most frequent where
        they trained (n,), and the row of the source (n,).
        """
        probabilities, labels, usual, rows = [], [], [], []
        for job in self.folds:
            part, train = job.data.valid, job.data.train
            assert part.y is not None
            assert train.y is not None
            probabilities.append(job.trained.predictions(part))
            labels.append(job.trained.truth(part).cpu())
            usual.append(job.trained.truth(train).cpu().mode().values.expand(len(part)))
            rows.append(part.rows)
        return torch.cat(probabilities), torch.cat(labels), torch.cat(usual), torch.cat(rows)

    @cached_property
    def doubts(self) -> tuple[Suspects, Tensor]:
        """What held-out probabilities say of the labels; and the row of the source of each case."""
        probabilities, labels, _, rows = self.unseen
        return mislabelled(probabilities, labels), rows

    def no_verdict(self) -> str:
        """Why the nets can call no label wrong, or nothing: they know too little, or what they doubt is only uncertain."""
        probabilities, labels, usual, _ = self.unseen
        wrong, without = probabilities.argmax(1) != labels, usual != labels
        spared, added = int((without & ~wrong).sum()), int((wrong & ~without).sum())
        p = mcnemar(spared, added)
        if spared <= added or p >= SKILLED:
            return (f"nets that did not train on them are wrong in {int(wrong.sum()):,} of {len(labels):,} rows, the most frequent class "
                    f"in {int(without.sum()):,} (exact McNemar, {p_value(p)}); without skill above that they can doubt no label. "
                    "Give inputs that tell the classes apart, or a better --net.")
        most = contradiction(probabilities, labels)
        if most.p >= SURE:
            return (f"the labels of {most.seen:,} of {len(labels):,} rows are at least {1 / most.odds:.0f} times less likely than another "
                    f"class, where nets that did not train on them expect {most.expected:.1f} ({p_value(most.p)}); the classes "
                    "overlap, and that explains the doubts.")
        return ""

    def labels(self) -> list[Finding]:
        suspects, cases = self.doubts
        if not len(suspects.rows):
            return []
        names, rows, n = self.data.classes, cases[suspects.rows], len(cases)
        lines = [{"row": int(r) + 1, "given": names[int(g)], "suggested": names[int(s)], "margin": round(float(m), 4)}
                 for r, g, s, m in zip(rows, suspects.labels, suspects.suggested, suspects.margin, strict=True)]
        return [Finding(
            "label", f"{len(rows)} of {n:,} labels look wrong ({len(rows) / n:.1%}), {listed(rows)} first.",
            f"nets that did not train on these rows find another class more probable; the calibrated confident joint puts the number of "
            f"wrong labels at {suspects.estimated:.0f} (Northcutt et al. 2021, {FOLDS} folds).",
            "look at these rows, the first ones first; correct what is wrong, keep what is only difficult.", rows.tolist(), table=lines)]

    def seen(self, suspects: Suspects) -> bytes:
        rows, names = self.doubts[1][suspects.rows[:24]], self.data.classes
        titles = [f"row {int(r) + 1}\n{names[int(g)]}: or {names[int(s)]}?"
                  for r, g, s in zip(rows, suspects.labels[:24], suspects.suggested[:24], strict=True)]
        images = self.source.inputs[rows]
        if images.dtype == torch.uint8:
            images = images.float() / self.data.encoder.inputs.maximum
        return to_png(image_grid(images, titles, columns=6))

    def outlying(self, apart: Outliers, rows: Tensor) -> list[Finding]:
        if not len(apart.rows):
            return []
        where = rows[apart.rows]
        lines = [{"row": int(r) + 1, "distance": f"{float(apart.distance[i]):.4g}"} for r, i in zip(where, apart.rows, strict=True)]
        return [Finding(
            "outlier", f"{len(where)} of {len(rows):,} rows lie apart from the others ({apart.share:.2%}), {listed(where)} first.",
            f"{apart.how} above {apart.threshold:.4g}: {apart.reason}; the farthest is at {float(apart.distance.max()):.4g}.",
            "look for errors of measurement or of units; rows that are right but rare belong in the training part.", where.tolist(),
            table=lines)]

    def duplicates(self) -> list[Finding]:
        """Rows that two parts share, and equal inputs with unequal targets; the test part's inputs alone are looked at."""
        parts: dict[str, Part] = {"train": self.data.train, "valid": self.data.valid}
        opened = 0
        if len(self.data.door):
            parts["test"] = self.data.door.open("check: inputs only, for rows that other parts hold too")
            opened = self.data.door.opened
        hashed = {name: [key for piece in _pieces(part) for key in keys(piece)] for name, part in parts.items()}
        every = [key for several in hashed.values() for key in several]
        few_kinds = len(set(every)) < len(every) / 2                         # so few different rows repeat by nature
        findings = list(self._conflicts(hashed["train"] + hashed["valid"]))
        for a, b in (("train", "valid"), ("train", "test"), ("valid", "test")):
            if b not in parts or few_kinds:
                continue
            pairs = exact(hashed[a], hashed[b])
            after = f" The test part was opened for its inputs, opening {opened} in this folder of runs." if b == "test" else ""
            if len(pairs):
                findings.append(self._shared(parts, a, b, pairs, "the same", f"their inputs are equal to the last bit.{after}"))
            close = near(_drawn(parts[a], self.data), _drawn(parts[b], self.data)) if max(map(len, parts.values())) <= MOST_ROWS else None
            if close is not None and len(close.pairs):
                evidence = ("they are nearer than chance puts any row of a part in one case of twenty; the closest are "
                            f"{float(close.distance[0]):.3g} apart, where the tenth neighbour is at {float(close.usual[0]):.3g}.{after}")
                findings.append(self._shared(parts, a, b, close.pairs, "nearly the same", evidence))
        return findings

    def _shared(self, parts: dict[str, Part], a: str, b: str, pairs: Tensor, how: str, evidence: str) -> Finding:
        mine, theirs = parts[a].rows[pairs[:, 0]], parts[b].rows[pairs[:, 1]]
        n = len(pairs)
        return Finding(
            "duplicate", f"{counted(n, 'row')} of the {b} part {'are' if n != 1 else 'is'} {how} as rows of the {a} part, "
            f"{listed(theirs)} among them.", evidence, f"keep copies in one part: remove them, or name what they share with --group; until "
            f"then the {b} part flatters.", theirs.tolist(),
            table=[{f"row of {a}": int(i) + 1, f"row of {b}": int(j) + 1} for i, j in zip(mine, theirs, strict=True)])

    def _conflicts(self, hashed: list[bytes]) -> Iterator[Finding]:
        if not self.classes:
            return
        rows = torch.cat([self.data.train.rows, self.data.valid.rows])
        labels = self.source.targets[rows]
        groups = [g for g in within(hashed) if len(set(labels[g].tolist())) > 1]
        if groups:
            at = rows[torch.tensor([i for g in groups for i in g])]
            yield Finding("label", f"{len(at)} rows with equal inputs have different labels, {listed(at)} among them.",
                          f"{counted(len(groups), 'set')} of inputs equal to the last bit bear more than one label "
                          "outside the test part.", "correct the labels, or add a column that tells these cases apart.", at.tolist())


def _pieces(part: Part) -> Iterator[Tensor]:
    for begin in range(0, len(part), 8192):
        yield part.x[begin : begin + 8192]


def _drawn(part: Part, data: Data) -> Tensor:
    return data.ready(part.x[:]) if len(part) else torch.empty(0, 1)

