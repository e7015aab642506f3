"""Four ways of joining the layers of a deep net, from few layers to many: plain, residual, highway and dense.

He, Zhang, Ren & Sun (2016), https://arxiv.org/abs/1512.03385; Srivastava, Greff & Schmidhuber (2015), https://arxiv.org/abs/1507.06228;
Huang, Liu, van der Maaten & Weinberger (2017), https://arxiv.org/abs/1608.06993
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import chainrule
from chainrule.core.files import write_atomically
from chainrule.core.registry import recipes
from chainrule.plots.depth import slopes_by_layer
from chainrule.plots.figure import to_png
from chainrule.recipes.outcome import Figure, Outcome, Setting, command, share_right, trainings
from chainrule.workflows.picture import signals_of
from chainrule.workflows.run import Run

SOURCE = "He et al. (2016), https://arxiv.org/abs/1512.03385, figure 6 and table 6"
QUARTET = "lecture; Juliani (2016), ResNets, HighwayNets, and DenseNets, Oh My!, chatbotslife.com"
DEPTHS, SHORT_DEPTHS = (8, 20, 32, 56), (8, 14)
CONVOLUTIONS = 25                 # of the quartet
FORMS = ("plain", "residual", "highway", "dense")
OPTIONS: dict[str, Any] = {"optimizer": "nesterov:rate=0.1,decay=0.0001", "schedule": "one-cycle", "batch": 128, "epochs": 6,
                           "augment": "crop+flip"}


class Tried(NamedTuple):
    """A form at a depth: its run, its test error in per cent, its training loss, and the gradient at each layer before the first step."""

    run: Run
    error: float
    loss: float
    slopes: list[float]
    seconds: float

    @property
    def weights(self) -> int:
        return sum(p.numel() for p in self.run.net.parameters())


@recipes("depth", source=SOURCE)
def depth(setting: Setting) -> Outcome:
    """Plain, residual, highway and dense nets of 8, 20, 32 and 56 layers and half the width on CIFAR-10, one seed, six epochs each.

    Dense nets have 3 n + 4 layers, so one fewer. The gradients are those of the first batch's losses, before the first step: sixteen
    trainings, some six hours of two cores, or a quarter of an hour of a GPU.
    """
    depths = SHORT_DEPTHS if setting.short else DEPTHS
    tried = {(form, layers): _tried(setting, form, layers) for form in FORMS for layers in depths}
    shallow, deep, judged = depths[min(1, len(depths) - 2)], depths[-1], not setting.short
    verdicts = [f"{form}: {chainrule.compare(tried[form, shallow].run, tried[form, deep].run).pairs[0].verdict}" for form in FORMS]
    figures = [Figure(f"error % of the {form} net of {deep} layers less that of {shallow}",
                      tried[form, deep].error - tried[form, shallow].error, published=0, source=SOURCE,
                      goal="none" if not judged else "at least" if form == "plain" else "at most")
               for form in FORMS]
    picture = _drawn(setting, {f"{form}, {deep}": tried[form, deep].slopes for form in FORMS})
    return Outcome(figures, _table({f"{form}, {layers}": one for (form, layers), one in tried.items()}),
                   [*verdicts, command("cifar10", {"net": _net("highway", deep, short=False), **OPTIONS})], [picture])


@recipes("quartet", source=QUARTET)
def quartet(setting: Setting) -> Outcome:
    """Twenty-five convolutions on CIFAR-10, joined in four ways: regular, residual, highway and dense; six epochs and one seed each.

    Four trainings, an hour and a half of two cores.
    """
    layers = SHORT_DEPTHS[-1] if setting.short else CONVOLUTIONS + 1
    tried = {form: _tried(setting, form, layers) for form in FORMS}
    plain, judged = tried["plain"], not setting.short
    figures = [Figure(f"error % of the {form} net less that of the plain one", tried[form].error - plain.error, published=0, source=QUARTET,
                      goal="at most" if judged else "none") for form in FORMS[1:]]
    verdicts = [f"plain against {form}: {chainrule.compare(plain.run, tried[form].run).pairs[0].verdict}" for form in FORMS[1:]]
    return Outcome(figures, _table(tried), [*verdicts, command("cifar10", {"net": _net("dense", layers, short=False), **OPTIONS})],
                   [_drawn(setting, {form: one.slopes for form, one in tried.items()})])


def _net(form: str, layers: int, *, short: bool) -> str:
    """The net of a form with so many layers, its output layer among them; a dense net of the most layers that are no more."""
    width = 0.125 if short else 0.5
    if form == "dense":
        return f"densenet:depth={layers - (layers - 4) % 3},growth={4 if short else 8}"
    return {"plain": f"plain:depth={layers},width={width}", "residual": f"resnet:depth={layers},width={width}",
            "highway": f"highway:form=staged,depth={layers},width={width}"}[form]


def _tried(setting: Setting, form: str, layers: int) -> Tried:
    one, = trainings(replace(setting, seeds=1), "cifar10", {**OPTIONS, "net": _net(form, layers, short=setting.short)},
                     small={"plan": "eager"}, folder=f"{form}-{layers}")
    signals, _ = signals_of(one.run)
    slopes = [layer["gradient_sd"] for layer in signals if "gate" not in layer["layer"].split(".")]
    return Tried(one.run, 100 - 100 * share_right(one), one.run.history[-1]["train_loss"], slopes, one.seconds)


def _table(tried: dict[str, Tried]) -> list[list[str]]:
    heading = ["net", "weights", "training loss", "test error %", "gradient's sd, first layer", "a quarter up", "half", "three quarters",
               "last", "training"]
    rows = [[name, f"{one.weights:,}", f"{one.loss:.3f}", f"{one.error:.2f}", *(f"{slope:.1e}" for slope in _quarters(one.slopes)),
             f"{one.seconds:.0f} s"] for name, one in tried.items()]
    return [heading, *rows]


def _quarters(values: Sequence[float]) -> list[float]:
    """The first, the last, and those at a quarter, a half and three quarters of the way between."""
    return [values[round(k * (len(values) - 1) / 4)] for k in range(5)]


def _drawn(setting: Setting, slopes: dict[str, list[float]]) -> Any:
    path = setting.out / "gradients.png"
    write_atomically(path, to_png(slopes_by_layer(slopes)))
    return path
