"""The pictures of docs/diagnoses: a faulty program of the benchmark beside its healthy twin, each trained for the picture.

`python scripts/diagnosis_pictures.py [CODE...]` draws those of these codes, or all; `scripts/diagnoses.py` links them.
"""

from __future__ import annotations

import math
import re
import sys
import tempfile
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from chainrule.core.errors import Diverged, InputError
from chainrule.core.events import Diagnosed, Evaluated, Event, Judged, Looked
from chainrule.core.files import write_atomically
from chainrule.core.threads import torch_threads
from chainrule.data.source import Source
from chainrule.plots.figure import to_svg
from chainrule.plots.style import COLOURS, FAINT, INK, figure_of, make_plain
from chainrule.recipes.faults import healthy as twin
from chainrule.recipes.faults import user_code as own
from chainrule.recipes.faults.data import source
from chainrule.recipes.faults.faulty import FAULTY
from chainrule.recipes.faults.programs import Program
from chainrule.recipes.faults.runs import unhurried
from chainrule.workflows.train import train

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = Path(__file__).parents[1] / "docs" / "diagnoses"
SICK, WELL = COLOURS[1], COLOURS[0]
SEED = 0
WIDE, HIGH = 6.4, 3.3        # inches
MOST_POINTS = 160            # of a line
LOW = 1e-12                  # what is drawn at the foot of a logarithmic axis
Line = Sequence[tuple[float, float]]


@dataclass
class Seen:
    """What one training showed: its events, and how good it was on the validation and, where that is asked, the test part."""

    events: list[Event] = field(default_factory=list)
    accuracies: dict[str, float] = field(default_factory=dict)

    @property
    def looks(self) -> list[tuple[int, dict[str, Any]]]:
        return [(e.step, e.looks) for e in self.events if isinstance(e, Looked)]

    @property
    def judged(self) -> dict[str, Any]:
        return next((e.answers for e in reversed(self.events) if isinstance(e, Judged)), {})

    def said(self, code: str) -> Diagnosed | None:
        """What was said with a code, the first time."""
        return next((e for e in self.events if isinstance(e, Diagnosed) and e.code == code), None)

    def losses(self) -> Line:
        """Training, by step: of the rows that are looked at."""
        return [(step, float(look["loss"])) for step, look in self.looks if look.get("loss") is not None]

    def evaluated(self, name: str, part: str = "valid") -> Line:
        return [(e.step, float(getattr(e, part)[name])) for e in self.events if isinstance(e, Evaluated) and name in getattr(e, part)]


Draw = Callable[[Any, Seen, Seen], None]


@dataclass(frozen=True)
class Subject:
    """A faulty program, its healthy twin, how both are drawn, and the figure in words."""

    program: Program
    healthy: Program
    draw: Draw
    caption: str


def losses(words: str = "loss", *, valid: bool = False, logarithmic: bool = True, signed: bool = False) -> Draw:
    """The training loss by step, with `valid` that of validation dashed; `signed` for one that goes far to both sides of zero."""

    def draw(figure: Figure, sick: Seen, well: Seen) -> None:
        axes = figure.subplots()
        for seen, name, colour in ((well, "healthy", WELL), (sick, "faulty", SICK)):
            _line(axes, seen.losses(), name, colour, logarithmic)
            if valid:
                _line(axes, seen.evaluated("loss"), f"{name}, validation", colour, logarithmic, dashed=True)
        _finish(axes, "step", words, logarithmic)
        if signed:
            axes.set_yscale("symlog")

    return draw


def by_epoch(name: str, words: str, *, constant: bool = False) -> Draw:
    """A validation measure by step, with `constant` beside what a constant answer has."""

    def draw(figure: Figure, sick: Seen, well: Seen) -> None:
        axes = figure.subplots()
        for seen, which, colour in ((well, "healthy", WELL), (sick, "faulty", SICK)):
            _line(axes, seen.evaluated(name), which, colour, False)
        if constant:
            axes.axhline(1 - sick.judged["constant_score"] / sick.judged["n"], color=FAINT, linestyle="--", label="constant answer")
        _finish(axes, "step", words, False)

    return draw


def over_steps(key: str, words: str, *, logarithmic: bool = False, of: Callable[[Sequence[float]], float] = max) -> Draw:
    """A reading by step, of several layers their greatest."""

    def draw(figure: Figure, sick: Seen, well: Seen) -> None:
        axes = figure.subplots()
        for seen, name, colour in ((well, "healthy", WELL), (sick, "faulty", SICK)):
            values = [(step, _numbers(look.get(key))) for step, look in seen.looks]
            _line(axes, [(step, of(several)) for step, several in values if several], name, colour, logarithmic)
        _finish(axes, "step", words, logarithmic)

    return draw


def profile(key: str, words: str, across: str = "layer", *, look: int = 0, logarithmic: bool = True) -> Draw:
    """A reading along the layers, or along time, at one look."""

    def draw(figure: Figure, sick: Seen, well: Seen) -> None:
        axes = figure.subplots()
        for seen, name, colour in ((well, "healthy", WELL), (sick, "faulty", SICK)):
            several = [(one["layers"], one[key]) for _, one in seen.looks if _numbers(one.get(key))]
            names, values = several[min(look, len(several) - 1)]
            line = [(i, float(v)) for i, v in enumerate(values) if v is not None]
            _line(axes, line, name, colour, logarithmic, marked=True)
            if across == "layer" and len(names) <= 12:
                axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
        _finish(axes, across if across != "layer" else "", words, logarithmic)

    return draw


def bars(of: Callable[[Seen], Mapping[str, float]], words: str, across: str) -> Draw:
    """Numbers under names."""

    def draw(figure: Figure, sick: Seen, well: Seen) -> None:
        axes = figure.subplots()
        for k, (seen, name, colour) in enumerate(((well, "healthy", WELL), (sick, "faulty", SICK))):
            values = of(seen)
            axes.bar([i + 0.4 * k - 0.2 for i in range(len(values))], list(values.values()), 0.38, color=colour, label=name)
            axes.set_xticks(range(len(values)), list(values))
        _finish(axes, across, words, False)

    return draw


def unit_weights(figure: Figure, sick: Seen, well: Seen) -> None:
    """The weights of the first layer's first units at the last look, a row for each unit."""
    for axes, seen, name in zip(figure.subplots(1, 2), (well, sick), ("healthy", "faulty"), strict=True):
        units = torch.tensor(next(iter([look["units"] for _, look in seen.looks if look.get("units")][-1].values()))).flatten(1)
        most = float(units.abs().max()) or 1.0
        axes.imshow(units.numpy(), cmap="RdBu", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
        axes.set_title(name, fontsize=9, color=WELL if name == "healthy" else SICK)
        axes.set_xlabel("weight", color=INK, fontsize=9)
        axes.set_ylabel("unit", color=INK, fontsize=9)
        axes.tick_params(labelsize=8, colors=INK)


def difference(figure: Figure, sick: Seen, well: Seen) -> None:
    """By how much each is better than a constant answer, with its interval."""
    axes = figure.subplots()
    for place, (seen, name, colour) in enumerate(((well, "healthy", WELL), (sick, "faulty", SICK))):
        low, high, n = -seen.judged["high"], -seen.judged["low"], seen.judged["n"]
        axes.errorbar([(low + high) / 2], [place], xerr=[[(high - low) / 2], [(high - low) / 2]], color=colour, marker="o", capsize=5,
                      linewidth=1.6, label=f"{name}, {n:,.0f} rows")
    axes.set_yticks([])
    axes.set_ylim(-0.8, 1.8)
    _finish(axes, "share of rows answered better than by a constant answer", "", False)


def _numbers(value: Any) -> list[float]:
    several = value if isinstance(value, list | tuple) else [value]
    return [float(one) for one in several if one is not None and math.isfinite(float(one))]


def _line(axes: Axes, line: Line, name: str, colour: str, logarithmic: bool, *, dashed: bool = False, marked: bool = False) -> None:
    fine = [(x, y) for x, y in line if math.isfinite(y)]
    every = max(1, math.ceil(len(fine) / MOST_POINTS))
    some = fine[::every]
    axes.plot([x for x, _ in some], [max(y, LOW) if logarithmic else y for _, y in some], color=colour, label=name, linewidth=1.6,
              linestyle="--" if dashed else "-", marker="o" if marked else None, markersize=4)
    if len(fine) < len(line):
        axes.plot([fine[-1][0]] if fine else [0], [fine[-1][1]] if fine else [1], marker="X", markersize=9, color=colour, linestyle="none",
                  label="not finite from here on")


def _finish(axes: Axes, across: str, words: str, logarithmic: bool) -> None:
    if logarithmic:
        axes.set_yscale("log")
        axes.minorticks_off()
    axes.set_xlabel(across, color=INK, fontsize=9)
    axes.set_ylabel(words, color=INK, fontsize=9)
    axes.tick_params(labelsize=8, colors=INK)
    make_plain(axes)
    axes.legend(fontsize=8, frameon=False)


def spoilt(value: float) -> Source:
    """The digits, with a value in a pixel of every two hundredth row."""
    digits = source("digits")
    x = digits.inputs.clone().float()
    x[::200, ..., :, :] = value
    return replace(digits, inputs=x)


SPOILT: Mapping[str, float] = {"digits with gaps": math.nan, "digits far off": -1e4}


class Few(nn.Module):
    """A net whose weights have the digits of bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = own.dense().bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        return self.inside(x.bfloat16()).float()


def parts(seen: Seen) -> Mapping[str, float]:
    return seen.accuracies


def small(name: str, healthy: Program, **options: Any) -> Program:
    """A program for a picture alone: a healthy one with other options."""
    return healthy.faulty(name, "", **options)


def subject(name: str, draw: Draw, caption: str) -> Subject:
    program = FAULTY[name]
    return Subject(program, twin.HEALTHY[program.twin], draw, caption)


# What no training of some seconds was told here. Tried were, for D16, recurrent nets with orthogonal weights times 1.4 to 4, whose gradient
# is too long from the start (D13) or never; for D34, machines of 256 and 500 units on 20 to 100 digits, whose gap stays below 4 nats.
# D38 is told of committees, and of no training.
WITHOUT = frozenset({"D16", "D34", "D38"})
LINEAR, LONG = twin.HEALTHY["linear-regression"], twin.HEALTHY["converged-adam"]
SUBJECTS: Mapping[str, Subject] = {
    "D01": Subject(small("data-invalid", twin.MLP, data="digits with gaps"), twin.MLP, losses(),
                   "The loss of a training whose rows hold a number that is none: there is none to draw beside the healthy one."),
    "D02": Subject(small("input-scale", twin.MLP, data="digits far off", scale="unit"), twin.MLP, losses(logarithmic=False),
                   "The loss where nine rows far off have squeezed all others into one end of the range, and where inputs are scaled."),
    "D03": subject("range-relu", losses(valid=True), "The loss where outputs cannot reach the targets, and where they can."),
    "D05": subject("leaking-half", bars(parts, "accuracy", "part"),
                   "What the validation part promises and the test part gives, of rows that are in both and of rows that are in one."),
    "D06": subject("collapsed-to-one-class", bars(lambda seen: seen.judged["recall"], "share recognised", "class"),
                   "Which share of each class is recognised: of the rare one next to nothing."),
    "D07": subject("output-softmax", losses(), "The loss of a net that ends with softmax before a loss that applies it again."),
    "D08": subject("sign-cross-entropy", losses(logarithmic=False, signed=True),
                   "A loss that goes below zero without end, beside one that ends there."),
    "D09": subject("cut-detach", profile("update", "update by weight", look=3),
                   "By how much a step changes each layer: nothing below the place where the gradient is cut."),
    "D11": subject("linear-circles", by_epoch("accuracy", "validation accuracy"),
                   "Accuracy on two rings, which no straight line parts, of layers without an activation and with one."),
    "D12": subject("symmetric-constant", unit_weights,
                   "The weights into the first units after training: units that begin alike stay alike, others do not."),
    "D13": subject("exploding-normal", profile("activation_sd", "spread of what a layer gives"),
                   "How far what each layer gives spreads before the first step: growing from layer to layer, and even."),
    "D14": subject("vanishing-sigmoid-small", profile("gradient", "gradient, RMS"),
                   "The gradient at each layer before the first step: vanishing toward the input, and even."),
    "D15": subject("forgetting-rnn-half", profile("through_time", "gradient, norm", "steps back from the end"),
                   "The gradient by each earlier step of a sequence: shorter with every step back, and lasting."),
    "D17": subject("dead-all-layers", over_steps("dead", "share of dead units, worst layer"),
                   "The share of units that are zero for every row, in the layer with most of them."),
    "D18": subject("saturated-tanh", over_steps("saturated", "share at the flat ends, worst layer"),
                   "The share of activations at the flat ends of tanh, in the layer with most of them."),
    "D19": subject("rate-5", losses(), "The loss at a rate that is too high, and at one that is not."),
    "D20": subject("creeping-sgd", losses(logarithmic=False), "The loss at a rate that is too low, and at one that is not."),
    "D21": subject("nan-logarithm", losses(), "The loss up to the step at which numbers are no longer finite, beside the healthy one."),
    "D22": subject("decay-sgd", over_steps("weight", "norm of the weights, largest layer", logarithmic=True),
                   "The weights under a decay that draws them to zero, and without it."),
    "D23": subject("stale-statistics", losses(valid=True),
                   "Loss in training and in validation: apart where running statistics are stale, together where they are not."),
    "D24": subject("overfit", losses(valid=True, logarithmic=True),
                   "Loss in training and in validation: the first goes on falling while the second rises."),
    "D25": subject("labels-permuted-conv", losses(valid=True),
                   "Loss in training and in validation with labels that were permuted: what is learned by heart holds nowhere else."),
    "D26": subject("targets-shuffled-regression", losses(logarithmic=False),
                   "The loss where nothing is to be learned, and where something is."),
    "D28": subject("collapsed-posterior", profile("divergence", "nats of each number of the code", "number of the code", look=-1,
                                                  logarithmic=False),
                   "How much each number of the code says of a row: nothing where the posterior has collapsed."),
    "D29": subject("game-discriminator-wins", over_steps("balance", "share called by their name", of=max),
                   "The share of rows and samples that the discriminator tells apart: all where it has won, about half in a fair game."),
    "D30": subject("labels-permuted-lstm", by_epoch("accuracy", "validation accuracy", constant=True),
                   "Accuracy beside that of a constant answer: no better where inputs do not tell the targets, far better where they do."),
    "D31": subject("collapsed-rarer", bars(lambda seen: seen.judged["answered"], "share of the answers", "class"),
                   "Which share of the answers each class has: one of them has all."),
    "D32": Subject(small("still-improving", LONG, steps=120), LONG, losses(valid=True),
                   "Loss in training and in validation of a budget that ended while both were falling, and of one that was enough."),
    "D33": Subject(small("interval-too-wide", twin.IRIS, net="mlp:hidden=8"), twin.MLP, difference,
                   "By how much a net is better than a constant answer, with the 95 % interval: of few rows that validate, and of more."),
    "D35": Subject(small("exploding-through-time", twin.RNN_RECALL, init="orthogonal:gain=1.85", steps=100), twin.RNN_RECALL,
                   profile("through_time", "gradient, norm", "steps back from the end"),
                   "The gradient by each earlier step of a sequence: longer with every step back, and shorter."),
    "D36": Subject(small("rounded-away", twin.OWN, net=Few, optimizer="sgd:rate=0.003"),
                   small("not-rounded-away", twin.OWN, optimizer="sgd:rate=0.003"), losses(logarithmic=False),
                   "The loss at a small rate of weights in bfloat16, which steps leave where they are, and of weights in float32."),
    "D37": Subject(small("above-curvature", LINEAR, optimizer="sgd:rate=2"), LINEAR, losses(),
                   "The loss at a rate above 2 over the largest curvature, where every step leads farther away, and at one below."),
}


@torch_threads(1)
def train_and_watch(program: Program) -> Seen:
    """Train a program as the benchmark does, and keep what it showed."""
    seen = Seen()
    torch.manual_seed(SEED)
    options = {**program.all_options(), "seed": SEED}
    module = program.net() if program.net is not None else options.pop("net", None)
    loss = program.loss or options.pop("loss", None)
    data = spoilt(SPOILT[program.data]) if program.data in SPOILT else source(program.data)
    with tempfile.TemporaryDirectory() as folder, unhurried():
        try:
            run = train(data, net=module, loss=loss, out=Path(folder) / "run", progress=False, sinks=[seen.events.append], **options)
        except Diverged:
            return seen
        if program.measure == "honesty":
            seen.accuracies = {"validation": run.valid.accuracy or 0.0, "test": run.test().accuracy or 0.0}
    return seen


def picture(code: str) -> bytes:
    """The bytes of the SVG of a diagnosis, for which both programs are trained. Raises InputError as `drawn` does."""
    return drawn(code, *(train_and_watch(program) for program in (SUBJECTS[code].program, SUBJECTS[code].healthy)))


def drawn(code: str, sick: Seen, well: Seen) -> bytes:
    """The same of two trainings. Raises InputError where the faulty program is not told so, or the healthy one is."""
    one, said = SUBJECTS[code], sick.said(code)
    if said is None or well.said(code) is not None:
        codes = sorted({e.code for e in sick.events if isinstance(e, Diagnosed)})
        raise InputError(f"{one.program.name} is to be told {code} and its twin is not; it is told {', '.join(codes) or 'nothing'}. Take "
                         "another program.")
    figure = figure_of(WIDE, HIGH)
    one.draw(figure, sick, well)
    where = f" in {said.layer}" if said.layer else ""
    words = textwrap.wrap(f"{code} {said.name.replace('-', ' ')}{where}: {said.evidence}", 92)[:3]
    figure.suptitle("\n".join(words), fontsize=8.5, color=INK)
    return slim(to_svg(figure).decode()).encode()


def slim(svg: str) -> str:
    """An SVG with two decimals of places, not of what is written, and without what is for tools and for the eye of an editor."""
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d+\.\d\d)\d+", r"\1", tag[0]), svg)
    return re.sub(r">\s+<", ">\n<", re.sub(r"[ \t]*\n\s*", "\n", svg))


def main(codes: Sequence[str]) -> int:
    worst = 0
    for code in codes or SUBJECTS:
        try:
            content = picture(code)
        except InputError as error:
            print(error, file=sys.stderr, flush=True)
            worst = 1
            continue
        write_atomically(FOLDER / f"{code}.svg", content)
        print(f"{code}.svg: {len(content):,} bytes", flush=True)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
