"""What `check` says of columns: redundant, irrelevant, or leaking the target; each named, with its evidence."""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.audit.finding import Finding
from chainrule.audit.redundancy import Importance, importances, permutation_importance, redundant, skill_alone
from chainrule.core.errors import InputError
from chainrule.core.text import counted
from chainrule.data.source import Data, Part
from chainrule.job.job import Job

MOST_COLUMNS = 200        # asked one by one
MOST_COMPARED = 2000      # compared with each other
MOST_ROWS = 5000
LITTLE = 0.01             # of the loss: a rise whose interval stays below it, and holds zero, is none
PERFECT, NEARLY_ALL, SOME, RUNNER_UP = 0.98, 0.95, 0.5, 0.5

Groups = dict[str, list[int]]


def groups_of(data: Data) -> tuple[list[str], Groups | None]:
    """What each encoded number is called, and the encoded numbers of each column; None where inputs are no columns."""
    inputs = data.encoder.inputs
    if inputs.features is not None:
        groups = _of_table(data)
        return list(inputs.feature_names), groups if len(groups) <= MOST_COLUMNS else None
    if inputs.kind == "array" and len(inputs.shape) == 1:
        names = [f"input {i}" for i in range(1, inputs.shape[0] + 1)]
        return names, {name: [i] for i, name in enumerate(names)} if len(names) <= MOST_COLUMNS else None
    if inputs.kind == "pixels" and len(inputs.shape) == 3:
        c, h, w = inputs.shape
        of = [f" of channel {k + 1}" if c > 1 else "" for k in range(c)]
        return [f"pixel {i + 1}, {j + 1}{channel}" for channel in of for i in range(h) for j in range(w)], None
    return [], None


def why_not(data: Data) -> str:
    """Why the columns are not asked one by one."""
    inputs = data.encoder.inputs
    if inputs.features is not None or (inputs.kind == "array" and len(inputs.shape) == 1):
        return f"there are more than {MOST_COLUMNS} columns; keep the likeliest of them."
    return "a single pixel or symbol is no column; a net reads them together."


def repeating(data: Data, x: Tensor, names: list[str]) -> list[Finding]:
    """Constant columns, columns alike, columns that are sums of others, in rows (n, ...) as nets read them."""
    flat = x.flatten(1)
    if not names or flat.shape[1] > MOST_COMPARED or len(flat) < 3:
        return []
    inputs = data.encoder.inputs
    pictures, remaining = inputs.features is None and len(inputs.shape) > 1, list(range(len(names)))
    if inputs.features is not None:                                        # the last category follows from the other inputs
        last = {indices[len(c.categories) - 1] for c, indices in zip(inputs.features.columns, _of_table(data).values(), strict=True)
                if c.kind == "categorical" and len(c.categories) + c.indicator > 1}
        remaining = [i for i in remaining if i not in last]
    redundancy, n = redundant(flat[:, remaining]), len(flat)
    names = [names[i] for i in remaining]
    findings = []
    if redundancy.constant:
        some = [names[i] for i in redundancy.constant]
        findings.append(Finding(
            "redundant", f"{_several(some)} {'is' if len(some) == 1 else 'are'} constant.", f"one value in all {n:,} rows looked at.",
            "nothing is lost without pixels that never change; a net learns to pass over them." if pictures else
            "drop it: a constant cannot tell cases apart.", columns=some))
    for i, j, correlation in [] if pictures else redundancy.alike:
        findings.append(Finding("redundant", f"'{names[j]}' repeats '{names[i]}'.",
                                f"their correlation over {n:,} rows is {correlation:.6f}.", "keep one of the two.",
                                columns=[names[i], names[j]]))
    for column, terms, coefficients in [] if pictures else redundancy.dependent:
        formula = " ".join(f"{'-' if c < 0 else '+'} {abs(c):.3g} x {names[t]}" for t, c in zip(terms[:6], coefficients[:6], strict=True))
        findings.append(Finding("redundant", f"'{names[column]}' is a sum of {counted(len(terms), 'other column')}.",
                                f"in columns as the net reads them, it is {formula.removeprefix('+ ')}{' ...' * (len(terms) > 6)} and a "
                                "constant, to single precision.",
                                "drop it: linear rules cannot tell what each of these columns does.",
                                columns=[names[column], *(names[t] for t in terms)]))
    return findings


def _of_table(data: Data) -> Groups:
    groups: Groups = {}
    at = 0
    for column in data.encoder.inputs.features.columns:
        groups[column.name] = list(range(at, at + len(column.outputs)))
        at += len(column.outputs)
    return groups


def saying(folds: list[Job], data: Data, groups: Groups, seed: int) -> list[Finding]:
    """Columns that nets can do without, and columns that alone say nearly everything."""
    rises, plain = _rises(folds, list(groups), seed)
    by_column = dict(zip(groups, importances(rises), strict=True))
    leaks = _leaks(folds, data, groups, by_column)
    leaking = {name for f in leaks for name in f.columns}
    idle = [name for name, i in by_column.items() if i.low <= 0 and i.high < LITTLE * max(plain, 1e-12) + 1e-12 and name not in leaking]
    if not idle:
        return leaks
    shown = [{"column": name, "rise of the loss": f"{i.mean:.3g}", "95 % interval": f"{i.low:.3g} to {i.high:.3g}"}
             for name, i in by_column.items() if name in idle]
    return [*leaks, Finding(
        "irrelevant", f"the nets make nothing of {_several(idle)}.",
        f"permuting {'it' if len(idle) == 1 else 'one of them'} among {len(rises):,} rows that the nets did not train on raises the loss "
        f"({plain:.3g}) by less than {LITTLE:.0%}, with an interval that holds zero.",
        f"train without {'it' if len(idle) == 1 else 'them'} and compare; a column that repeats another looks idle as well.", columns=idle,
        table=shown)]


def _rises(folds: list[Job], names: list[str], seed: int) -> tuple[Tensor, float]:
    """The rise of each held-out row's loss by column (n, columns), and the mean loss."""
    rises, plain = [], []
    for job in folds:
        own, part = groups_of(job.data)[1] or {}, job.data.valid
        assert part.y is not None
        assert job.loss is not None
        rows = slice(0, MOST_ROWS // len(folds))
        x, y, loss = part.x[rows], part.y[rows].to(job.device), job.loss
        job.net.module.eval()

        def losses(x: Tensor, job: Job = job, y: Tensor = y, each: object = loss.each) -> Tensor:
            costs: Tensor = each(job.trained.inference.plainly(x), y).detach().cpu().reshape(len(x))  # type: ignore[operator]
            return costs

        rises.append(permutation_importance(losses, x, [own.get(name, []) for name in names], seed=seed))
        plain.append(losses(x))
    return torch.cat(rises), float(torch.cat(plain).mean())


def _leaks(folds: list[Job], data: Data, groups: Groups, importance: dict[str, Importance]) -> list[Finding]:
    rows, at = [], 0
    places = []
    for job in folds:
        some = job.data.valid.rows[: MOST_ROWS // len(folds)]
        rows.append(some)
        places.append(torch.arange(at, at + len(some)))
        at += len(some)
    every = torch.cat(rows)
    x, y = data.encoder.inputs.encode(data.source, every)[:], data.encoder.target.encode(data.source, every)
    classes = len(folds[0].task.classes)
    if classes:
        y = folds[0].trained.truth(Part(x, y, every))
    skills = dict(zip(groups, skill_alone(x, y, places, list(groups.values()), classes=classes), strict=True))
    together = _skill_of_nets(folds)
    order = sorted(skills, key=lambda name: -skills[name])
    best, second = skills[order[0]], skills[order[1]] if len(order) > 1 else 0.0
    everything = max(together, best)
    leaking = [name for name in order if skills[name] >= PERFECT]
    if not leaking and len(order) > 1 and best >= SOME and best >= NEARLY_ALL * everything and second <= RUNNER_UP * best:
        leaking = order[:1]
    total = sum(max(i.mean, 0.0) for i in importance.values())
    what = "errors of always guessing the most frequent class avoided" if classes else "variance explained"
    findings = []
    for name in leaking:
        share = max(importance[name].mean, 0.0) / total if total > 0 else 0.0
        findings.append(Finding(
            "leak", f"'{name}' may leak the target: alone it says nearly all that can be said.",
            f"share of {what} on rows held out: {skills[name]:.1%} by this column alone, {together:.1%} by nets that read all columns, "
            f"{second if name == order[0] else best:.1%} by the next best column alone; it has {share:.0%} of the permutation importance.",
            "ask whether it is known before the target is; if it is made from the target, or measured after it, drop it.", columns=[name]))
    return findings


def _skill_of_nets(folds: list[Job]) -> float:
    """The share of errors, or of variance, that the nets spare on rows they did not train on."""
    wrong = without = 0.0
    for job in folds:
        train, valid = job.data.train, job.data.valid
        assert train.y is not None
        assert valid.y is not None
        predictions = job.trained.predictions(valid)
        if job.task.classes:
            truth, usual = job.trained.truth(valid).cpu(), job.trained.truth(train).cpu().mode().values
            wrong += float((predictions.argmax(1) != truth).sum())
            without += float((truth != usual).sum())
        else:
            unscale = job.data.encoder.target.unscale
            wrong += float((predictions - unscale(valid.y)).square().sum())
            without += float((unscale(train.y).mean(0) - unscale(valid.y)).square().sum())
    if not without:
        raise InputError("the target does not vary; there is nothing to predict. Pick another with --target.")
    return 1 - wrong / without


def _several(names: list[str], most: int = 6) -> str:
    listed = ", ".join(f"'{name}'" for name in names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more columns"
