"""Several characters at once: a net trained on single ones, moved over wider pictures as a convolution, and read at the best places.

Matan, Burges, LeCun & Denker (1992), Multi-digit recognition using a space displacement neural network, NIPS 4:488
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.data.source import Source
from chainrule.evaluate.alignment import aligned
from chainrule.evaluate.measures import step_means
from chainrule.evaluate.result import Result
from chainrule.job.trained import Trained
from chainrule.nets.layers.fully_convolutional import fully_convolutional

NEAREST, FARTHEST = 0.85, 1.0      # of the width of a character, how far apart the middles of two neighbours are
BLOCK_ROWS = 200


def present(trained: Trained, source: Source) -> bool:
    """Whether rows are wider pictures of what a net classifies, with the classes of several in each."""
    shape, x = trained.encoder.inputs.picture_shape, source.inputs
    return (source.target_kind == "steps" and bool(trained.task.classes) and shape is not None and isinstance(x, Tensor) and x.dim() == 4
            and x.shape[1:3] == shape[:2] and x.shape[3] > shape[2])


@torch.no_grad()
def read(trained: Trained, x: Tensor, count: int) -> Tensor:
    """The `count` characters (n, count), as class numbers, of pictures (n, c, h, width) that are as high as those that were trained on.

    The net answers at every place along the width in one pass; of all places that are about a character's width apart those are taken at
    which its greatest scores have the greatest sum. Raises InputError for a net that cannot be moved, and pictures too narrow.
    """
    inputs = trained.encoder.inputs
    width, example = inputs.shape[2], trained.ready(x[:2, ..., : inputs.shape[2]].to(trained.device))
    moved = fully_convolutional(trained.net.module, example)
    blocks = (moved(trained.ready(rows.to(trained.device))) for rows in x.split(BLOCK_ROWS))     # (rows, classes, h', places)
    scores = torch.cat([block.amax(2).cpu() for block in blocks])                                 # (n, classes, places)
    places = scores.shape[2]
    if places < 2:
        raise InputError(f"pictures {x.shape[3]} wide leave one place for characters of {width}. Give wider ones, of {count} characters.")
    stride = (x.shape[3] - width) / (places - 1)
    least, most = max(1, round(NEAREST * width / stride)), max(1, round(FARTHEST * width / stride))
    at = aligned(scores.amax(1), count, least, most)
    return scores.argmax(1).gather(1, at)


def measured(trained: Trained, source: Source) -> Result:
    """The share of pictures that are read right throughout, `exact`, and of characters, `accuracy`: of its test part, where it has one."""
    rows = source.parts.get("test", torch.arange(len(source)))
    truth = trained.encoder.target.encode(source, rows)                                              # (n, count)
    right = read(trained, source.inputs[rows], truth.shape[1]) == truth
    result = step_means(trained.task.name, {"exact": right.all(1).double(), "accuracy": right.double().mean(1)})
    apart = f" of its test part, of {len(source):,}" if len(rows) < len(source) else ""
    note = (f"{truth.shape[1]} characters at once: the net, trained on single ones, was moved over {len(rows):,} pictures of "
            f"{source.inputs.shape[2]} x {source.inputs.shape[3]}{apart}.")
    return dataclasses.replace(result, notes=(*result.notes, note))
