"""What a report shows of a run, gathered: measures with intervals, worst mistakes, first-layer weights and regimes as pictures."""

from __future__ import annotations

import dataclasses
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import chainrule
from chainrule.core.errors import InputError

if TYPE_CHECKING:
    from chainrule.data.source import Part
    from chainrule.run import Run

WORST, MOST_WEIGHTS, MOST_POINTS = 24, 50, 2000
Picture = tuple[str, bytes]


def write_report(run: Run, out: Path) -> Path:
    """One self-contained HTML file about `run`, from its log, its checkpoints and its validation part; the test part stays shut."""
    from chainrule.observe.layers import layers
    from chainrule.sinks.report import Facts, write

    job, tested = run.job, run.tested
    facts = Facts.of_log(run.events)
    return write(out, dataclasses.replace(
        facts,
        run=str(run.path),
        layers=[dataclasses.asdict(row) for row in layers(job.net.module, job.data.input_shape)],
        timings=run.summary()["seconds"] or facts.timings,
        valid=run.valid.to_dict(),
        test=tested.to_dict() if tested else None,
        warnings=[*facts.warnings, *getattr(job.data.encoder, "notes", ())],
        mistakes=worst_mistakes(run),
        weights=first_layer(run),
        pictures=asked_where(run),
        versions={"chainrule": chainrule.__version__, "torch": torch.__version__, "python": platform.python_version()},
    ))


def write_plots(run: Run, part: Part, folder: Path) -> list[Path]:
    """The pictures of a test as PNG files: confusion matrix, ROC, precision-recall and calibration, or errors of regression."""
    from chainrule.evaluate import calibration, curves, plots

    said, truth = run.job.predictions(part), run.truth(part)
    if run.job.data.task == "regression":
        names = run.job.data.encoder.target_names
        drawn = {"predicted": plots.predicted_against_true(said, truth, names), "residuals": plots.residuals(said, truth, names)}
    else:
        classes = run.job.data.classes
        matrix = torch.zeros(len(classes), len(classes), dtype=torch.int64)
        matrix.index_put_((truth, said.argmax(1)), torch.tensor(1), accumulate=True)
        present = [c for c in range(len(classes)) if 0 < int((truth == c).sum()) < len(truth)]
        points = {classes[c]: curves.operating_points(said[:, c], truth == c) for c in (present[1:] if len(classes) == 2 else present)}
        drawn = {"confusion": plots.confusion_matrix(matrix.tolist(), classes),
                 "calibration": plots.reliability(calibration.reliability(said, truth))}
        if points:
            drawn |= {"roc": plots.roc(points), "precision-recall": plots.precision_recall(points)}
    paths = []
    for name, figure in drawn.items():
        path = folder / f"{name}.png"
        try:
            path.write_bytes(plots.to_png(figure))
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}. Free some space.") from None
        paths.append(path)
    return paths


def worst_mistakes(run: Run) -> list[Picture]:
    """The validation pictures the net was surest of and wrong about, with what it said and what they are."""
    job = run.job
    shape = pixels_of(run)
    if shape is None or job.data.task != "classification" or not len(job.data.valid):
        return []
    from chainrule.evaluate import plots

    said, truth = job.predictions(job.data.valid), run.truth(job.data.valid)
    sureness = said.amax(1) * (said.argmax(1) != truth)                      # (n,)
    worst = [int(i) for i in sureness.argsort(descending=True)[:WORST] if sureness[i] > 0]
    if not worst:
        return []
    images = job.data.ready(job.data.valid.x[torch.tensor(worst)]).reshape(-1, *shape)     # (k, channels, height, width)
    names = job.data.classes
    titles = [f"{names[int(truth[i])]} taken for {names[int(said[i].argmax())]}, {float(said[i].max()):.0%}" for i in worst]
    figure = plots.image_grid(images, titles, columns=6)
    return [(f"The {len(worst)} validation pictures it was surest of and wrong about", plots.to_png(figure))]


def first_layer(run: Run) -> list[Picture]:
    """The first layer's weights or filters as pictures, where the input is a picture."""
    from chainrule.evaluate import plots
    from chainrule.observe.layers import first_weights

    shape = pixels_of(run)
    found = first_weights(run.job.net.module, shape) if shape else None
    if found is None:
        return []
    weights, size = found                                                    # (k, channels, height, width)
    figure = plots.weight_pictures(weights[:MOST_WEIGHTS].flatten(1), size)
    shown = f"the first {MOST_WEIGHTS} of {len(weights)}" if len(weights) > MOST_WEIGHTS else f"all {len(weights)}"
    return [(f"Weights of the first layer, {shown}", plots.to_png(figure))]


def asked_where(run: Run) -> list[Picture]:
    """Which expert is asked where, in the units of the data, for a mixture of experts over one or two inputs."""
    job, data = run.job, run.job.data
    gate: Any = getattr(job.net.module, "regimes", None)
    if gate is None or data.input_shape not in ((1,), (2,)):
        return []
    from chainrule.evaluate import plots
    from chainrule.evaluate.regimes import regimes

    shown = torch.linspace(0, len(data.train) - 1, min(len(data.train), MOST_POINTS)).long()
    centre, factor = units_of(data.encoder)
    points = data.train.x[shown].double() / factor + centre                  # (shown, d)

    def asked(at: Tensor) -> Tensor:
        stored = ((at - centre) * factor).float().to(job.device)
        found: Tensor = gate(data.ready(stored))
        return found

    figure = regimes(asked, points, data.encoder.feature_names or ("first input", "second input"))
    return [("Which expert is asked where", plots.to_png(figure))]


def units_of(encoder: Any) -> tuple[Tensor, Tensor]:
    """Centre and factor (d,) by which the columns of rows (n, d) were scaled; 0 and 1 where they are not one number a column."""
    if encoder.features is not None and all(len(c.outputs) == 1 for c in encoder.features.columns):
        centre, factor = encoder.features.scale[:, 0], encoder.features.scale[:, 1]
    elif encoder.scale is not None:
        centre, factor = encoder.scale[0], encoder.scale[1]
    else:
        size = encoder.input_shape[0]
        return torch.zeros(size, dtype=torch.float64), torch.ones(size, dtype=torch.float64)
    return centre.double(), torch.where(factor == 0, 1.0, factor.double())


def pixels_of(run: Run) -> tuple[int, int, int] | None:
    """The shape of a picture (channels, height, width), also where a rule reads it as a flat row; None for other inputs."""
    inputs: Any = run.job.source.inputs
    shape = tuple(inputs.shape[1:]) if hasattr(inputs, "shape") else ()  # in memory or on disk
    return shape if len(shape) == 3 and shape[0] in (1, 3) else None
