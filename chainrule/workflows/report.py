"""One page about a run or an ensemble, and the pictures of a test: what they show gathered, and written."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import chainrule
from chainrule.core.abilities import HasRegimes
from chainrule.core.errors import InputError
from chainrule.core.events import Event
from chainrule.core.registry import pictures
from chainrule.data.encode.encoder import units_of
from chainrule.data.source import Part
from chainrule.evaluate.result import Result
from chainrule.evaluate.standing import Standing
from chainrule.job.job import Job
from chainrule.observe.layers import layers, picture_shape
from chainrule.plots.figure import to_png
from chainrule.report.ensemble import against, growth_picture, membership
from chainrule.report.page import Facts, write
from chainrule.report.pictures import (
    Picture,
    expert_regimes,
    first_layer,
    worst_mistakes,
    worst_rows,
)


def write_run_report(out: Path, path: Path, job: Job, events: Sequence[Event], timings: dict[str, float], valid: Result,
                     tested: Result | None) -> Path:
    """One self-contained HTML file about a run, from its log, its checkpoints and its validation part; the test part stays shut."""
    facts = Facts.of_log(events)
    shape = picture_shape(job.source.inputs)
    return write(out, dataclasses.replace(
        facts,
        run=str(path),
        layers=[dataclasses.asdict(row) for row in layers(job.net.module, job.data.input_shape)],
        timings=timings or facts.timings,
        valid=valid.to_dict(),
        test=tested.to_dict() if tested else None,
        warnings=[*facts.warnings, *job.data.encoder.notes],
        mistakes=mistakes(job),
        weights=first_layer(job.net.module, shape) if shape else [],
        pictures=regimes_of(job),
        versions=versions(),
    ))


def write_ensemble_report(out: Path, path: Path, record: dict[str, Any], job: Job, *, valid: Result, tested: Result | None,
                          standing: Standing, tested_standing: Standing | None, growth: tuple[dict[str, list[float]], str],
                          members: Sequence[tuple[str, str, int, str]]) -> Path:
    """One self-contained HTML file about a committee, from its members' folders and the validation part; the test part stays shut."""
    settings = {name: record.get(name) for name in ("how", "by", "rule", "weights", "steps", "shrinkage")}
    data = {name: record["data"][name] for name in ("name", "n", "inputs", "classes")}
    scores, own = growth
    tables = [against(one, part) for one, part in ((tested_standing, "test"), (standing, "validation")) if one is not None]
    tables.append(membership(members, record["weights"] or record.get("steps"), bool(record["weights"])))
    return write(out, Facts(
        title=f"{record['net']} on {record['data']['name']}", run=str(path), data=data, splits=record["data"]["splits"],
        settings={k: v for k, v in settings.items() if v is not None}, valid=valid.to_dict(), test=tested.to_dict() if tested else None,
        tables=tables, mistakes=mistakes(job), pictures=[growth_picture(scores, own, standing, record["how"] == "gradient")],
        versions=versions()))


def write_plots(job: Job, part: Part, truth: Tensor, folder: Path) -> list[Path]:
    """The pictures that the task has for a test, as PNG files; those that this part cannot give are left out."""
    answer = job.trained.predictions(part)
    names = job.task.names(answer.shape[-1])
    drawn = {entry.name: figure for entry in pictures.entries() if entry.traits.task == job.task.name and "test" in entry.traits.when
             if (figure := entry.make(answer, truth, names)) is not None}
    paths = []
    for name, figure in drawn.items():
        path = folder / f"{name}.png"
        try:
            path.write_bytes(to_png(figure))
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}. Free some space.") from None
        paths.append(path)
    return paths


def mistakes(job: Job) -> list[Picture]:
    """The validation pictures the net was surest of and wrong about, with what it answered and what they are."""
    shape, part = picture_shape(job.source.inputs), job.data.valid
    if shape is None or not job.task.classes or part.y is None or not len(part):
        return []
    answer, truth = job.trained.predictions(part), job.task.truth(part.y)
    rows = torch.tensor(worst_rows(answer, truth), dtype=torch.int64)
    if not len(rows):
        return []
    images = job.data.ready(part.x[rows]).reshape(-1, *shape)                # (k, channels, height, width)
    return [worst_mistakes(images, answer[rows], truth[rows], job.data.classes)]


def regimes_of(job: Job) -> list[Picture]:
    """Which expert is asked where, in the units of the data, for a mixture of experts over one or two inputs."""
    data = job.data
    module = job.net.module
    if not isinstance(module, HasRegimes) or data.input_shape not in ((1,), (2,)):
        return []
    centre, factor = units_of(data.encoder)

    def asked(at: Tensor) -> Tensor:
        stored = ((at - centre) * factor).float().to(job.device)
        return module.regimes(data.ready(stored))

    return [expert_regimes(asked, data.train.x[:].double() / factor + centre, data.encoder.feature_names)]


def versions() -> dict[str, str]:
    return {"chainrule": chainrule.__version__, "torch": torch.__version__, "python": platform.python_version()}
