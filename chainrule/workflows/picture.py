"""Pictures of a run: decision regions, first weights, the error surface with the way down, signals at initialisation.

Observing works on copies: neither the run's folder nor its net is touched.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError, suggest
from chainrule.core.events import Event, Finished, Looked
from chainrule.core.files import writable, write_atomically
from chainrule.core.flow import Flow, flow_of
from chainrule.core.net import Net
from chainrule.core.registry import losses
from chainrule.core.rule import Learner
from chainrule.engine.plans.eager import copied
from chainrule.engine.randomness import Aside
from chainrule.job.build import LossLike
from chainrule.job.job import Job
from chainrule.job.trained import Trained
from chainrule.observe import surface as surfaces
from chainrule.observe.layers import first_weights
from chainrule.observe.signals import Signal, signals
from chainrule.plots.descent import surface as surface_picture
from chainrule.plots.evaluation import MOST_PICTURES, weight_pictures
from chainrule.plots.figure import drawn as file_of
from chainrule.plots.flow import flow as flow_picture
from chainrule.plots.signals import Spread
from chainrule.plots.signals import boundary as boundary_picture
from chainrule.plots.signals import histograms as histogram_picture
from chainrule.runs.folder import LOG, Folder
from chainrule.runs.validation import Validation
from chainrule.sinks import runlog
from chainrule.workflows import attribution, code_pictures, graph
from chainrule.workflows.drawing import check_suited
from chainrule.workflows.fantasies import draws_pictures, fantasies
from chainrule.workflows.options import Drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from chainrule.workflows.run import Run

GRID = 200              # points a side of a plane of two inputs
SURFACE = 41            # of a surface of the error
SURFACE_ROWS = 500
MOST_NUMBERS = 10**6    # of a net whose path is kept
MOST_STEPS, KEPT = 3000, 100
SIGNAL_ROWS = 500
MARGIN = 0.08


def boundary(run: Run) -> Figure:
    """The regions of a classifier of two inputs, with the training points. Raises InputError for other runs."""
    job = run.job
    data, inputs = job.data, job.data.encoder.inputs
    if not job.task.classes or data.input_shape != (2,) or data.train.y is None:
        raise InputError(f"a decision boundary is drawn for classes and two inputs; {run.name} has {job.task.name} from inputs of shape "
                         f"{data.input_shape}. Train on two columns, or use the kind surface.")
    points, y = data.train.x[:], job.trained.truth(data.train).cpu()          # (n, 2), (n,)
    low, high = points.amin(0), points.amax(0)
    room = (high - low) * MARGIN
    across, up = (torch.linspace(float(a), float(b), GRID) for a, b in zip(low - room, high + room, strict=True))
    grid = torch.stack(torch.meshgrid(across, up, indexing="xy"), -1).reshape(-1, 2)  # (up * across, 2)
    with _evaluating(job):
        answers = job.task.answer(job.trained.inference.plainly(grid), job.loss).reshape(GRID, GRID, -1)
    names = inputs.feature_names or ("first input", "second input")
    centre, factor = inputs.units
    raw = points.double() / factor + centre
    return boundary_picture(across.double() / factor[0] + centre[0], up.double() / factor[1] + centre[1], answers, raw, y, data.classes,
                            labels=(names[0], names[1]))


def weights(run: Run) -> Figure:
    """The weights into each unit of the first layer as pictures, by class where that layer is the only one. Raises InputError."""
    trained = run.trained
    shape = trained.encoder.inputs.picture_shape
    first = first_weights(trained.net.module, shape) if shape else None
    if first is None:
        raise InputError(f"weights are drawn as pictures where the inputs are pictures and the first layer reads them all; {run.name} has "
                         f"inputs of shape {run.job.data.input_shape}. Use the kind histograms.")
    rows, size = first                                                       # (units, channels, height, width)
    matrices = [p for p in run.job.net.params.values() if p.dim() >= 2]
    classes = run.job.data.classes
    titles = classes if len(matrices) == 1 and len(classes) == len(rows) else ()
    return weight_pictures(rows[: MOST_PICTURES].flatten(1), size, titles=titles[: MOST_PICTURES],
                           columns=5 if titles else 10)


def surface(run: Run, *, plane: str = Drawing.plane) -> Figure:
    """The training loss over a plane through the weights, with the way down replayed on a copy.

    A net of two numbers is drawn over these; any other over the two principal directions of its path (`path`) or over two random
    filter-normalised directions (`random`), on which a path would be a point. Raises InputError.
    """
    if plane not in ("path", "random"):
        raise InputError(f"There is no plane called '{plane}'. {suggest(plane, ('path', 'random'))}")
    job = run.job
    if job.loss is None or job.data.train.y is None:
        raise InputError(f"{job.rule_name} has no loss of targets to draw a surface of. Use a rule with targets, e.g. backprop.")
    if job.net.count() > MOST_NUMBERS:
        raise InputError(f"{job.net_name} has {job.net.count():,} numbers; a path of at most {MOST_NUMBERS:,} is kept. Draw a smaller net.")
    numbers = job.net.count()
    if plane == "random" and numbers != 2:
        chosen = surfaces.at_random({k: v.detach() for k, v in job.net.params.items()}, seed=job.options.seed)
        across = up = torch.linspace(-1, 1, SURFACE, dtype=torch.float64)
        labels, paths = ("first random direction (lengths of weights)", "second random direction"), {"the best weights": chosen.path}
    else:
        walked = descent(run.fresh_job(), _steps(run))
        chosen = surfaces.of_parameters(walked) if numbers == 2 else surfaces.of_path(walked)
        across, up = surfaces.around(chosen.path, SURFACE)
        labels, paths = _axes(job, chosen), {f"{job.options.optimizer}, {_walked(run)}": chosen.path}
    part, few = job.data.train, slice(0, SURFACE_ROWS)
    x, y = job.data.ready(part.x[few].to(job.device)), part.y[few].to(job.device)
    net, _ = copied(Learner(job.net, {}))
    net.module.eval()
    loss = job.loss
    heights = surfaces.heights(net, chosen, across, up, lambda at: loss.each(at(x), y).mean())
    title = f"{run.name}: training loss on {len(x)} rows"
    return surface_picture(across, up, heights, paths, labels=labels, height=f"{loss.name} loss", title=title,
                           end="end" if _steps(run) == _all_steps(run) else f"step {_steps(run):,}")


def _axes(job: Job, plane: surfaces.Plane) -> tuple[str, str]:
    if plane.shares is None:
        names = [name if p.numel() == 1 else f"{name} {i + 1}" for name, p in job.net.params.items() for i in range(p.numel())]
        return names[0], names[1]
    return (f"first principal direction of the path ({plane.shares[0]:.0%} of its variance)", f"second ({plane.shares[1]:.0%})")


def _all_steps(run: Run) -> int:
    """How many steps the run took; as many as are replayed where it has not ended."""
    ended = next((e for e in reversed(run.events) if isinstance(e, Finished)), None)
    return ended.steps if ended else MOST_STEPS


def _steps(run: Run) -> int:
    """How many of them are replayed."""
    return min(_all_steps(run), MOST_STEPS)


def _walked(run: Run) -> str:
    """How much of the way is drawn, in words."""
    done, whole = _steps(run), _all_steps(run)
    return f"{done:,} steps" if done == whole else f"the first {done:,} of {whole:,} steps"


def descent(job: Job, steps: int) -> list[dict[str, Tensor]]:
    """The parameters on the way, at most about a hundred times, from before the first step to the last: replayed eagerly on a copy."""
    every, path, done, epoch = max(1, steps // KEPT), [], 0, 0
    rule = job.reading(job.rule)
    feed = job.feed()
    with Aside(job.options.seed, job.device):
        net, _ = copied(Learner(job.net, {}))
        net.train()
        state = rule.init(net)
        path.append({k: v.detach().clone() for k, v in net.params.items()})
        while done < steps:
            for chunk in feed.chunks(epoch, 0, 1):
                net, state, _ = rule.step(net, state, chunk[0])
                done += 1
                if done % every == 0 or done == steps:
                    path.append({k: v.detach().clone() for k, v in net.params.items()})
                if done == steps:
                    break
            epoch += 1
    return path


def histograms(net: nn.Module | Net, x: Tensor, y: Tensor | None, loss: LossLike | Any) -> tuple[list[dict[str, Any]], Figure]:
    """Mean and standard deviation of every layer's activations and gradients on one batch, and their histograms.

    `loss` is a name, a `Loss`, or any function of (outputs, targets); None takes a random projection of the outputs. The net stays as is.
    """
    measured = signals(net.module if isinstance(net, Net) else net, x, y, _each(loss))
    return stats(measured), histogram_picture([Spread(s.name, s.activations, s.gradients) for s in measured])


def stats(measured: list[Signal]) -> list[dict[str, Any]]:
    """A row for each layer, the lowest first."""
    return [{"layer": s.name, "kind": s.kind, **s.figures} for s in measured]


def _each(loss: Any) -> Callable[[Tensor, Tensor | None], Tensor]:
    if loss is None:
        return lambda outputs, _: (outputs * torch.randn_like(outputs)).flatten(1).sum(1)
    chosen = losses.choose(loss).make() if isinstance(loss, str) else loss
    each: Callable[[Tensor, Tensor | None], Tensor] = chosen.each if hasattr(chosen, "each") else chosen
    return each


def signals_of(run: Run, when: str = Drawing.when) -> tuple[list[dict[str, Any]], Figure]:
    """The histograms of a run's net on rows of its training part: with the weights it keeps (`end`), or before its first step (`start`).

    Raises InputError for another time.
    """
    if when not in ("start", "end"):
        raise InputError(f"There is no time called '{when}'. {suggest(when, ('start', 'end'))}")
    job = run.fresh_job() if when == "start" else run.job
    part, few = job.data.train, slice(0, SIGNAL_ROWS)
    x = job.data.ready(part.x[few].to(job.device))
    y = None if part.y is None else part.y[few].to(job.device)
    with Aside(job.options.seed, job.device):
        rows, figure = histograms(job.net, x, y, job.loss if y is not None else None)
    time = "before the first step" if when == "start" else "the trained net"
    figure.suptitle(f"{run.name}: {time}, {len(x)} training rows", fontsize=10)
    return rows, figure


def flow(run: Run, drawing: Drawing) -> tuple[list[dict[str, Any]], Figure]:
    """A reading of every layer through training, beside that of the run in the folder `against` where one is named, on one scale.

    Raises InputError where a run was not looked at.
    """
    named = [(run.name, looked_at(run.path, run.events, drawing.reading))]
    if drawing.against is not None:
        other = Folder.find(drawing.against).path
        named.append((other.name, looked_at(other, runlog.read(other / LOG), drawing.reading)))
    figures = [{"run": name, "layer": layer, "step": one.steps[-1],
                drawing.reading: value if value is None or math.isfinite(value) else str(value)}
               for name, one in named for layer, value in zip(one.layers, one.at(), strict=True)]
    return figures, flow_picture(named)


def looked_at(path: Path, events: Sequence[Event], reading: str) -> Flow:
    """What the looks of a run read of its layers. Raises InputError where there were none."""
    flow = flow_of(events, reading)
    if flow is None:
        what = "was not looked at while it trained" if not any(isinstance(e, Looked) for e in events) else f"has no {reading} of any layer"
        raise InputError(f"{path} {what}, so nothing of its layers can be drawn. Train it again without --look off, or draw histograms.")
    return flow


class _evaluating:
    """The job's net in evaluation mode for a while, then as it was."""

    def __init__(self, job: Job):
        self.module = job.net.module

    def __enter__(self) -> None:
        self.was = self.module.training
        self.module.eval()

    def __exit__(self, *_: object) -> None:
        self.module.train(self.was)


def _of_codes(draw: Callable[[Trained, Validation], Figure]) -> Callable[[Run, Drawing], Figure]:
    return lambda run, _: draw(run.trained, run.validation)


def fantasies_of(run: Run) -> Figure:
    """What the net draws by itself. Raises InputError where that is no picture, or it draws nothing by a chain."""
    if not draws_pictures(run.trained):
        raise InputError(f"fantasies are drawn of nets that draw pictures by a Markov chain, as rbm; {run.name} has {run.trained.net_name} "
                         f"on inputs of shape {run.job.data.input_shape}. Use chainrule sample.")
    return fantasies(run.trained)


KINDS: dict[str, Callable[[Run, Drawing], Any]] = {
    "boundary": lambda run, _: boundary(run), "weights": lambda run, _: weights(run), **attribution.KINDS,
    **{kind: _of_codes(draw) for kind, draw in code_pictures.KINDS.items()},
    "surface": lambda run, drawing: surface(run, plane=drawing.plane), "histograms": lambda run, drawing: signals_of(run, drawing.when),
    "flow": flow,
    "fantasies": lambda run, _: fantasies_of(run), "graph": graph.of_run,
}


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A picture on disk, and the figures behind it."""

    path: Path
    figures: list[dict[str, Any]]

    @property
    def lines(self) -> list[str]:
        """The figures for people."""
        if any("node" in row for row in self.figures):
            return graph.lines(self.figures)
        if any("layer" in row and "gives" in row for row in self.figures):
            return graph.layer_lines(self.figures)
        return ["  ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
                for row in self.figures]


def picture(run: Run, kind: str, out: str | Path | None = None, *, plane: str = Drawing.plane, row: int | None = Drawing.row,
            layer: str | None = Drawing.layer, when: str = Drawing.when, reading: str = Drawing.reading, against: str | Path | None = None,
            overwrite: bool = False) -> Drawn:
    """Draw one of KINDS into a file, SVG where it is called so and else PNG, by default in the run's folder. Raises InputError.

    `plane` is that of a surface, `row` the row of the data and `layer` the layer that is looked at, `when` the time of histograms;
    a flow draws a `reading` of every layer, beside that of the run in the folder `against`.
    """
    if kind not in KINDS:
        raise InputError(f"There is no picture called '{kind}'. {suggest(kind, [*KINDS, 'paths'])}")
    drawing = Drawing(plane=plane, row=row, layer=layer, when=when, reading=reading,
                      against=None if against is None else Path(against))
    check_suited(kind, drawing)
    path = writable(Path(out), overwrite) if out else run.path / f"{kind}.png"
    drawn = KINDS[kind](run, drawing)
    figures, figure = drawn if isinstance(drawn, tuple) else ([], drawn)
    return Drawn(write(figure, path), figures)


def is_formula(what: str) -> bool:
    """Whether what is to be drawn is written as a formula, and no run has that name."""
    return not Path(what).exists() and any(sign in what for sign in "=+*^();")


def formula_picture(text: str, at: str | None, out: str | Path | None = None, *, overwrite: bool = False) -> Drawn:
    """Draw the computational graph of a formula where its variables have the values of `at`, `a=2,b=1`. Raises InputError."""
    figures, figure = graph.of_formula(text, at)
    return Drawn(write(figure, writable(Path(out or "graph.png"), overwrite)), figures)


def write(figure: Figure, path: Path) -> Path:
    """Raises InputError where the file cannot be written."""
    try:
        write_atomically(path, file_of(figure, path))
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}. Use another --out.") from None
    return path
