"""One page about a run or an ensemble, and the pictures of a test: what they show gathered, and written."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from chainrule.audit.coefficients import coefficients
from chainrule.core.abilities.densities import HasPath, HasSteps, Smooths
from chainrule.core.abilities.nets import HasRegimes
from chainrule.core.abilities.tasks import Calibrates, Continues, Decides, HasPosteriors, Ranks
from chainrule.core.errors import InputError
from chainrule.core.events import Event
from chainrule.core.files import write_atomically
from chainrule.core.registry import pictures
from chainrule.core.text import shown
from chainrule.data.source import Data, Part
from chainrule.evaluate.mistakes import WORST
from chainrule.evaluate.result import Result
from chainrule.evaluate.standing import Standing
from chainrule.job.record import read_threshold
from chainrule.job.trained import Trained
from chainrule.observe.graph import MOST_NODES
from chainrule.observe.layer_table import collapsed
from chainrule.observe.layers import layers
from chainrule.observe.wiring import folded, joined, wiring, within
from chainrule.plots.figure import to_file, to_png
from chainrule.report.ensemble import against, best_verdict, growth_picture, membership
from chainrule.report.facts import Facts, Picture, Table
from chainrule.report.page import write
from chainrule.report.pictures import expert_regimes, first_layer
from chainrule.runs.validation import Validation
from chainrule.runs.validation import shown as shown_rows
from chainrule.workflows import code_pictures, symbols
from chainrule.workflows.about import about, again, files_in, next_step, versions
from chainrule.workflows.attention import attended
from chainrule.workflows.columns import columns_at
from chainrule.workflows.fantasies import fantasies_of, on_the_way
from chainrule.workflows.panels import panels_of
from chainrule.workflows.prototypes import drawable
from chainrule.workflows.report_samples import pictures_drawn, samples_written
from chainrule.workflows.worst import mistakes_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEQUENCES = 4  # whose hidden states are drawn


def write_run_report(out: Path, path: Path, trained: Trained, events: Sequence[Event], timings: dict[str, float],
                     validation: Validation, tested: Result | None, record: dict[str, Any], data: Data | None = None) -> Path:
    """One self-contained HTML file about a run, from its folder alone, which keeps what is told of columns where `data` are at hand."""
    facts = Facts.of_log(events)
    inputs, module = trained.encoder.inputs, trained.net.module
    worst, mistaken = mistakes_of(trained, validation)
    return write(out, dataclasses.replace(
        facts,
        run=str(path),
        layers=[{**dataclasses.asdict(row.layer), "times": row.times} for row in collapsed(layers(module, inputs.input_shape))],
        graph=branched(trained),
        timings=timings or facts.timings,
        valid=None if validation.result is None else validation.result.to_dict(),
        test=tested.to_dict() if tested else None,
        warnings=list(dict.fromkeys([*facts.warnings, *inputs.notes])),  # a run log has the notes as well
        mistakes=worst, mistaken=mistaken,
        panels=panels_of(path, trained, validation, tested is not None),
        columns=columns_at(path, trained, data), compared="validation",
        weights=first_layer(module, inputs.picture_shape) if inputs.picture_shape else [],
        tables=[*operating_point(path), *weights_of(trained), *facts.tables, *samples_written(trained, events), *symbols.tables(trained)],
        samples=[*pictures_drawn(trained), *fantasies_of(trained), *on_the_way(events)],
        pictures=[*mistakes(trained, validation), *regimes_of(trained, validation), *drawn(trained, validation),
                  *states_of(trained, validation), *symbols.pictures_of(trained), *code_pictures.pictures_of(trained, validation)],
        versions=versions(), about=about(record), again=again(record), next=next_step(path, record, facts.diagnoses, tested),
        files=files_in(path),
    ))


def branched(trained: Trained) -> dict[str, Any] | None:
    """Which layer reads which, equal blocks once, of a net whose layers do not just follow one another; None for one whose do."""
    rows = trained.ready(trained.encoder.inputs.blank(2).to(trained.device))
    try:
        graph = within(folded(joined(wiring(trained.net.module, rows))), MOST_NODES)
    except (RuntimeError, TypeError, ValueError):                # a module of one's own that runs, but not while derivatives are followed
        return None
    if not graph.branches:
        return None
    return {"nodes": [{"name": node.name, "kind": node.kind, "shape": node.shape, "times": node.times} for node in graph.nodes],
            "edges": list(graph.edges)}


def write_ensemble_report(out: Path, path: Path, record: dict[str, Any], trained: Trained, *, validation: Validation, tested: Result | None,
                          standing: Standing, tested_standing: Standing | None, growth: tuple[dict[str, list[float]], str],
                          members: Sequence[tuple[str, str, int, str]], diagnoses: Sequence[Mapping[str, Any]]) -> Path:
    """One self-contained HTML file about a committee, from its folder and its members'."""
    settings = {name: record.get(name) for name in ("how", "by", "rule", "weights", "steps", "shrinkage")}
    data = {name: record["data"][name] for name in ("name", "n", "inputs", "classes")}
    scores, own = growth
    tables = [against(one, part) for one, part in ((tested_standing, "test"), (standing, "validation")) if one is not None]
    tables.append(membership(members, record["weights"] or record.get("steps"), bool(record["weights"])))
    worst, mistaken = mistakes_of(trained, validation)
    return write(out, Facts(
        title=f"{record['net']} on {record['data']['name']}", run=str(path), data=data, splits=record["data"]["splits"],
        settings={k: v for k, v in settings.items() if v is not None}, valid=validation.measured.to_dict(),
        test=tested.to_dict() if tested else None, tables=tables, mistakes=worst, mistaken=mistaken,
        verdicts=[best_verdict(tested_standing or standing)],
        diagnoses=[{key: str(one[key]) for key in ("code", "name", "layer", "evidence", "remedy")} | {"options": ""} for one in diagnoses],
        panels=panels_of(path, trained, validation, tested is not None),
        pictures=[*mistakes(trained, validation), growth_picture(scores, own, standing, record["how"] == "gradient")],
        versions=versions(), about=about(record), next=next_step(path, record, (), tested), files=files_in(path)))


def write_plots(trained: Trained, answer: Tensor, truth: Tensor, folder: Path, part: Part | None = None) -> list[Path]:
    """The pictures that the task has for a test, as PNG files; those that this part cannot give are left out.

    Of tasks that say which answers are worst, those are drawn on the rows of the `part`, where these are pictures.
    """
    task = trained.task
    further: dict[str, Any] = {"decided": task.decided(answer)} if isinstance(task, Decides) else {}
    further |= {} if part is None else beside(trained, part.x)
    if isinstance(task, Ranks) and part is not None and trained.encoder.inputs.picture_shape is not None:
        worst = task.grades(answer, truth).argsort()[:WORST]
        answer, truth = answer[worst], truth[worst]
        further = {"images": shown_rows(trained, part, worst), "classes": trained.encoder.target.classes}
    paths = []
    further |= drawable(trained, part)
    if part is not None:
        few = part.x[:SEQUENCES]
        further |= hidden_states(trained, few) | along_frames(trained, few) | attended(trained, few)
    for name, figure in figures(trained, "test", answer, truth, further):
        path = folder / f"{name}.png"
        try:
            write_atomically(path, to_png(figure))
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}. Free some space.") from None
        paths.append(path)
    return paths


def beside(trained: Trained, x: Any) -> dict[str, Any]:
    """What pictures of answers to stored rows may ask for: what went before in their series, how wide their intervals are, the shape of
    pictures that are given back.
    """
    task = trained.task
    known: dict[str, Any] = {"history": task.history(x[:])} if isinstance(task, Continues) else {}
    shape = trained.encoder.inputs.picture_shape
    known |= {} if shape is None else {"picture_shape": shape}
    return known | ({"widths": task.widths} if isinstance(task, Calibrates) else {})


def drawn(trained: Trained, validation: Validation) -> list[Picture]:
    """The pictures that the task has for a report and that ask for nothing else, of the validation rows that the run keeps."""
    n = min(len(validation.inputs), len(validation.answers))
    if validation.truth is None or not n:
        return []
    further = {**beside(trained, validation.inputs[:n]), **drawable(trained)}
    return [(f"On the validation part: {name}", to_file(figure))
            for name, figure in figures(trained, "report", validation.answers[:n], validation.truth[:n], further)]


def figures(trained: Trained, when: str, answer: Tensor, truth: Tensor, further: dict[str, Any]) -> list[tuple[str, Figure]]:
    """The pictures registered for the task and the occasion, by name, of answers, truth and what `further` there is that they ask for."""
    names, several = trained.task.names(answer.shape[-1]), []
    for entry in pictures.entries():
        if entry.traits.task == trained.task.name and when in entry.traits.when:
            parameters = inspect.signature(entry.make).parameters.values()
            if any(p.default is p.empty and p.name not in further for p in list(parameters)[3:]):
                continue
            figure = entry.make(answer, truth, names, **{p.name: further[p.name] for p in parameters if p.name in further})
            if figure is not None:
                several.append((entry.name, figure))
    return several


def mistakes(trained: Trained, validation: Validation) -> list[Picture]:
    """The validation pictures that the net answers worst, of tasks that say which these are and have pictures of their own for them."""
    worst = validation.mistakes
    if worst is None or trained.task.classes:
        return []
    further = {"images": worst.images, "classes": trained.encoder.target.classes}
    several = figures(trained, "report", worst.answers, worst.truth, further)
    return [(f"The validation pictures that it answers worst, the worst first: {name}", to_file(figure)) for name, figure in several]


@torch.no_grad()
def hidden_states(trained: Trained, x: Tensor) -> dict[str, Any]:
    """What there is to draw of the hidden states behind stored sequences (k, ...): nothing where a net has none."""
    module, inputs = trained.net.module, trained.encoder.inputs
    if not isinstance(module, HasSteps) or not len(x):
        return {}
    rows = trained.ready(x.to(trained.device))
    labels = inputs.vocabulary.symbols if inputs.vocabulary is not None else inputs.series.names if inputs.series is not None else ()
    further: dict[str, Any] = {"sequences": rows.cpu(), "exists": module.present(rows).cpu(), "labels": labels,
                               "symbols": inputs.vocabulary is not None}
    if isinstance(module, HasPath):
        further["paths"] = module.path(rows).cpu()
    if isinstance(module, Smooths):
        smoothed = module.smoothed(rows)
        further |= {"means": smoothed.means.cpu(), "deviations": smoothed.covariances.diagonal(dim1=2, dim2=3).clamp(min=0).sqrt().cpu()}
    return further


@torch.no_grad()
def along_frames(trained: Trained, x: Tensor) -> dict[str, Any]:
    """How probable each symbol is at every frame of stored sequences (k, ...): nothing where the task reads none."""
    if not isinstance(trained.task, HasPosteriors) or not len(x):
        return {}
    rows = trained.ready(x.to(trained.device))
    return {"frames": rows.cpu(), "posteriors": trained.task.posteriors(trained.net(rows), rows).cpu(),
            "labels": trained.encoder.target.classes}


def states_of(trained: Trained, validation: Validation) -> list[Picture]:
    """The hidden states behind the first sequences that the run's folder keeps, what is read along frames, and where the net looks."""
    few = validation.inputs[: min(SEQUENCES, len(validation.answers))]
    further = hidden_states(trained, few) | along_frames(trained, few) | attended(trained, few)
    if not further:
        return []
    truth = torch.empty(0) if validation.truth is None else validation.truth
    return [(f"The first sequences: {name.replace('-', ' ')}", to_file(figure))
            for name, figure in figures(trained, "report", validation.answers, truth, further)]


def operating_point(path: Path) -> list[Table]:
    """Where a class is answered from a probability of its own on: what that does to the validation part, with intervals."""
    chosen = read_threshold(path)
    if chosen is None:
        return []
    rows = [[f"{name} %", shown(share, True), f"{shown(getattr(chosen, name).low, True)} to {shown(getattr(chosen, name).high, True)}"]
            for name, share in chosen.shares.items()]
    return [Table(f"Operating point of '{chosen.name}'", ["on the validation part", "share", "95 % interval"],
                  [[f"probability from which on it is answered ({chosen.asked})", f"{chosen.threshold.value:.6g}", ""], *rows],
                  f"{chosen.cases[0]:,} positive and {chosen.cases[1]:,} other validation cases, on which it was chosen, so a little "
                  "flattering; predict and test obey it. Wilson intervals.")]


def weights_of(trained: Trained) -> list[Table]:
    """What a net of one layer has learned, in the units of the data."""
    learned = coefficients(trained)
    if learned is None:
        return []
    meaning = "its score" if trained.task.classes else "the target"
    note = f"In the units of the data: how much {meaning} changes with each unit of an input; the bias is its value where all are zero."
    return [Table("Weights", learned.heads, learned.rows, note)]


def regimes_of(trained: Trained, validation: Validation) -> list[Picture]:
    """Which expert is asked where, in the units of the data, for a mixture of experts over one or two inputs."""
    module, points = trained.net.module, validation.points
    if points is None or not isinstance(module, HasRegimes):
        return []
    centre, factor = trained.encoder.inputs.units

    def asked(at: Tensor) -> Tensor:
        stored = ((at - centre) * factor).float().to(trained.device)
        return module.regimes(trained.ready(stored))

    return [expert_regimes(asked, points, trained.encoder.inputs.feature_names)]

