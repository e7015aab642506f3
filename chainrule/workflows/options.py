"""Options of the workflows beside those of training: names, types, defaults, help and ranges, once. Imports nothing slow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chainrule.core.options import option

FEWEST_STEPS = 20   # of a range test: of fewer no slope is to be seen


@dataclass(frozen=True)
class Dataset:
    """Which data, and where named sets are kept."""

    data: str = option("digits", "A named set (chainrule list data), a file, or a folder of images by class.", positional=True)
    data_dir: Path | None = option(None, "Where data sets are kept; otherwise CHAINRULE_DATA and a cache folder.")


@dataclass(frozen=True)
class Siblings:
    """Nets of consecutive seeds."""

    members: int | None = option(None, "Train so many nets, of consecutive seeds, side by side.", least=1,
                                 advice="Leave it out to train one net.")


@dataclass(frozen=True)
class Boosting:
    """Nets trained one after the other, each on what the ones before it do badly."""

    rounds: int = option(10, "How many nets at most.", least=1)
    by: str = option("samme", "samme (samples weighted, for classes) or gradient (residuals fitted).", words=("samme", "gradient"))
    shrinkage: float = option(0.5, "The share of the best step that gradient boosting takes.", above=0, most=1,
                              bounds="is above 0 and at most 1")


@dataclass(frozen=True)
class Joining:
    """How trained nets answer together."""

    by: str = option("mean", "mean (mixture), product (geometric mean) or vote.", words=("mean", "product", "vote"))


@dataclass(frozen=True)
class RateRange:
    """The rates that a range test goes through."""

    steps: int = option(100, "Steps of the test.", least=FEWEST_STEPS, bounds=f"must be at least {FEWEST_STEPS} to see a slope",
                        advice="Use --steps 100.")
    lowest: float = option(1e-6, "The rate it begins with.")
    highest: float = option(10.0, "The rate it ends with.")


@dataclass(frozen=True)
class Sampling:
    """Predictions drawn from a net whose dropout is left on."""

    samples: int | None = option(None, "Passes of a net whose dropout is left on: their mean and its uncertainty.")


@dataclass(frozen=True)
class Flagging:
    """Which rows are pointed out as strange."""

    anomaly: float | None = option(None, "Beside each row its score, and whether it is stranger than this share of the rows that "
                                   "validated, e.g. 0.99.", above=0, most=1, bounds="is above 0 and below 1", advice="Use --anomaly 0.99.")


@dataclass(frozen=True)
class Coding:
    """Which codes of rows are wanted, and what beside them."""

    layer: str | None = option(None, "What this layer gives, by its name as describe prints it; the net's own code where left out.")
    neighbours: int | None = option(None, "Beside each code the numbers of so many rows whose codes are nearest.", least=1,
                                    advice="Leave it out for the codes alone.")


@dataclass(frozen=True)
class Searching:
    """How answers that are written symbol by symbol are sought."""

    beam: int | None = option(None, "Of strings written symbol by symbol: how many are followed at once, the likeliest of which is the "
                              "answer. Left out, the likeliest symbol at each place.", least=1)


@dataclass(frozen=True)
class Drawing:
    """What else a picture of a run depends on, and a race of optimizers."""

    plane: str = option("path", "For surface: path or random directions.")
    row: int | None = option(None, "For activations, saliency, occlusion, attention and graph: a row of the data, from 0; the first that "
                             "validate if left out.", least=0)
    layer: str | None = option(None, "For filters and activations: a layer's name, as describe prints it; the first if left out.")
    when: str = option("end", "For histograms: end (the trained net) or start (before its first step).", words=("end", "start"))
    reading: str = option("gradient", "For flow: gradient, update (over weights), activation-sd or dead (share of units).",
                          words=("gradient", "update", "activation-sd", "dead"))
    against: Path | None = option(None, "For flow: another run folder, drawn beside it on the same scale.")
    optimizers: str = option("sgd,momentum,adam", "For paths: which race, e.g. sgd,momentum,adam:rate=0.3.")
    on: str = option("rosenbrock", "For paths: bowl or rosenbrock.")
    at: str | None = option(None, "For graph of a formula: the values of its variables, e.g. a=2,b=1.", example="a=2,b=1")


@dataclass(frozen=True)
class OperatingPoint:
    """Where on its ROC a class is to be answered: one of the four, chosen on the validation part."""

    recall: float | None = option(None, "At least this share of its cases is to be found.", least=0, most=1)
    precision: float | None = option(None, "At least this share of what is taken for it is to be right.", least=0, most=1)
    fpr: float | None = option(None, "At most this share of the other cases may be taken for it.", least=0, most=1)
    at: float | None = option(None, "From this probability on.", least=0, most=1)


@dataclass(frozen=True)
class Solving:
    """What is sought of a formula, and by which way."""

    find: str = option("minimum", "minimum, maximum or root.", words=("minimum", "maximum", "root"))
    by: str = option("newton", "newton (Newton-Raphson, exact Hessian), gradient (descent, or ascent) or bisection (one variable).",
                     words=("newton", "gradient", "bisection"))
    start: str | None = option(None, "Where newton and gradient begin, e.g. x=1,y=-2; otherwise at zero.", example="x=1,y=-2")
    low: float | None = option(None, "For bisection: the lower end.")
    high: float | None = option(None, "For bisection: the upper end.")
    rate: float = option(0.1, "For gradient: the size of a step, times the gradient.", above=0)
    most: int = option(10_000, "Steps at most.", least=1)


@dataclass(frozen=True)
class Experiment:
    """How often a published experiment is run."""

    seeds: int = option(3, "How many runs the figure is the mean of.", least=1)
