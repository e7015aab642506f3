"""How like rows a net's samples are: the Frechet distance of what a classifier makes of both, or of their numbers themselves."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.sampling import Drawn
from chainrule.data.encode.decoding import unscaled
from chainrule.evaluate.generation import frechet
from chainrule.job.record import RECORD
from chainrule.job.trained import Trained
from chainrule.runs.folder import COMMITTEE
from chainrule.workflows.predict import rows_of
from chainrule.workflows.run import Run

LEAST = 50         # samples, and rows, that a distance is measured by; a thousand say more
BLOCK = 500        # rows at a time


class Likeness(NamedTuple):
    """The squared Frechet distance of samples from rows, that of one half of the rows from the other, and by what they are compared."""

    distance: float
    halves: float
    by: str

    def __str__(self) -> str:
        return (f"Frechet distance {self.distance:.4g} from the rows, by {self.by}; one half of the rows is {self.halves:.4g} from the "
                "other half. Both grow smaller with more samples and rows.")


def likeness(trained: Trained, drawn: Drawn, against: str) -> Likeness:
    """The squared Frechet distance of a net's samples from rows: Heusel et al. (2017), https://arxiv.org/abs/1706.08500.

    Against a run the features are what its last dense layer reads, and the rows those of its validation part; against data they are the
    numbers of its rows themselves. Raises InputError for texts, fewer than fifty samples or rows, a run that reads other rows, has no dense
    layer, or is a committee.
    """
    if drawn.rows is None:
        raise InputError(f"{trained.net_name} writes texts, and --against compares rows of numbers. Leave it out.")
    if len(drawn) < LEAST:
        raise InputError(f"--against expects at least {LEAST} samples; got {len(drawn)}. Write e.g. --n 1000.")
    if (Path(against) / COMMITTEE).exists():
        raise InputError(f"--against expects one run or data; {against} is a committee. Name one of its members.")
    if (Path(against) / RECORD).exists():
        return _by_features(Run(against), drawn.rows)
    inputs = trained.encoder.inputs
    rows = inputs.ready(rows_of(trained, against).x[:])
    rows = rows if inputs.features is not None else unscaled(inputs, rows.double())
    return _compared(drawn.rows, rows, "their numbers themselves")


def _by_features(judge: Run, samples: Tensor) -> Likeness:
    inputs, module, data = judge.trained.encoder.inputs, judge.net, judge.job.data
    rows = samples.round().clamp(0, inputs.maximum).to(torch.uint8) if inputs.kind == "pixels" else samples
    x = rows_of(judge.trained, rows.numpy()).x[:]
    first, second = (features(module, data.ready(some)) for some in (x, data.valid.x[:]))
    return _compared(first, second, f"what the last dense layer of {judge.path} reads")


def _compared(samples: Tensor, rows: Tensor, by: str) -> Likeness:
    if len(rows) < LEAST:
        raise InputError(f"--against expects at least {LEAST} rows; got {len(rows)}. Name more of them.")
    first, second = samples.flatten(1), rows.flatten(1)
    if first.shape[1] != second.shape[1]:
        raise InputError(f"samples have {first.shape[1]} numbers each, and the rows {second.shape[1]}. Name rows such as the net learned "
                         "from.")
    return Likeness(frechet(first, second), frechet(second[::2], second[1::2]), by)


@torch.no_grad()
def features(module: nn.Module, x: Tensor) -> Tensor:
    """What the last dense layer of a net reads of rows (n, ...): (n, units). Raises InputError where it has none."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise InputError(f"{type(module).__name__} has no dense layer, whose inputs are what is compared. Name a run of lenet, or of "
                         "another classifier.")
    read: list[Tensor] = []
    handle = layers[-1].register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].flatten(1)))
    training = module.training
    module.eval()
    try:
        for some in x.split(BLOCK):
            module(some)
    finally:
        handle.remove()
        module.train(training)
    return torch.cat(read)
