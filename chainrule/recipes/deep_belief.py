"""Deep belief nets on handwritten digits. Hinton, Osindero & Teh (2006), https://doi.org/10.1162/neco.2006.18.7.1527"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from chainrule.core.files import write_file
from chainrule.core.registry import recipes
from chainrule.observe.layers import first_weights
from chainrule.plots.evaluation import image_grid, weight_pictures
from chainrule.plots.figure import to_png
from chainrule.recipes.outcome import Figure, Outcome, Setting, Training, command, seeds_table, share_right, together, trainings
from chainrule.workflows.run import Run

SOURCE = "Hinton, Osindero & Teh (2006), https://doi.org/10.1162/neco.2006.18.7.1527"
TUNED = "Hinton (2007), https://doi.org/10.1016/j.tics.2007.09.004: 1.2 % by back-propagation from a deep belief net's weights"
LAYERS = "500x500x2000"
MACHINES = "sgd:rate=0.05,momentum=0.9"
FULL: dict[str, Any] = {"net": f"dbn:hidden={LAYERS}", "batch": 100, "split": "train=0.95,valid=0.05,test=0", "stages": "divergence",
                        "stage_optimizer": MACHINES, "stage_epochs": 50, "rule": "wake-sleep:steps=5",
                        "optimizer": "sgd:rate=0.02,momentum=0.9", "epochs": 300, "schedule": "linear"}
QUICK: dict[str, Any] = {**FULL, "stage_epochs": 15, "rule": "wake-sleep:steps=1", "optimizer": "sgd:rate=0.05,momentum=0.9", "epochs": 60}
BY_BACKPROP: dict[str, Any] = {"net": f"mlp:hidden={LAYERS},activation=sigmoid", "batch": 100, "stages": "divergence",
                               "stage_optimizer": MACHINES, "stage_epochs": 50, "rule": "backprop",
                               "optimizer": "sgd:rate=0.1,momentum=0.9", "epochs": 60, "schedule": "linear"}
SMALL: dict[str, Any] = {"net": "dbn:hidden=100x200", "batch": 20, "stage_epochs": 20, "epochs": 20, "split": None}
ROWS, ROUNDS = 10, 1000           # of the sheet of fantasies


@recipes("deep-belief", source=SOURCE)
def deep_belief(setting: Setting) -> Outcome:
    """784-500-500-2000 with ten label units, learned greedily, fine-tuned up and down; sheets of filters and of fantasies by class."""
    return _belief(setting, FULL, 1.25)


@recipes("deep-belief-quick", source=SOURCE)
def deep_belief_quick(setting: Setting) -> Outcome:
    """The same for twenty minutes of two cores."""
    return _belief(setting, QUICK, 1.8, "a form of at most 20 minutes")


@recipes("deep-belief-backprop", source=TUNED)
def deep_belief_backprop(setting: Setting) -> Outcome:
    """A perceptron of the same layers, learned greedily without labels, fine-tuned by back-propagation."""
    small = {**SMALL, "net": "mlp:hidden=100x200,activation=sigmoid"}
    return _outcome(setting, _trained(setting, BY_BACKPROP, small), BY_BACKPROP, 1.2, TUNED)


def _belief(setting: Setting, options: dict[str, Any], reach: float, source: str = SOURCE) -> Outcome:
    done = _trained(setting, options, SMALL)
    return _outcome(setting, done, options, reach, source, sheets(done[0].run, setting.out))


def _trained(setting: Setting, options: dict[str, Any], small: dict[str, Any]) -> list[Training]:
    return trainings(setting, "mnist", options, small=small)


def _outcome(setting: Setting, done: list[Training], options: dict[str, Any], reach: float, source: str,
             pictures: list[Path] | None = None) -> Outcome:
    """The share of errors over all seeds beside the figure to reach, with Wilson's interval."""
    ends = together(done)
    errors = 100 * (1 - sum(map(share_right, done)) / len(done))
    figure = Figure("test error %", errors, 100 * (1 - ends.high), 100 * (1 - ends.low), reach, source,
                    "none" if setting.short else "at most")
    seconds = sum(one.seconds for one in done) / len(done)
    return Outcome([figure], seeds_table({"mnist": done}), [command("mnist", options), f"{seconds / 60:.1f} minutes of training a seed"],
                   pictures or [])


def sheets(run: Run, out: Path) -> list[Path]:
    """Pictures of what a deep belief net's first units look for, and of what it makes with each class on, a row each."""
    trained = run.trained
    shape = trained.encoder.inputs.picture_shape
    first = first_weights(trained.net.module, shape) if shape is not None else None
    if first is None or shape is None:
        return []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        labels = torch.arange(len(trained.task.classes)).repeat_interleave(ROWS)
        fantasies = trained.net.module.sample_given(labels, steps=ROUNDS).reshape(-1, *shape)   # type: ignore[operator]
    weights, size = first
    return [written(out / "filters.png", to_png(weight_pictures(weights[:100].flatten(1), size))),
            written(out / "fantasies.png", to_png(image_grid(fantasies, columns=ROWS)))]


def written(path: Path, content: bytes) -> Path:
    """The path, with this content in it."""
    write_file(path, content)
    return path
