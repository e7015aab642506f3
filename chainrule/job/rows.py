"""What is to be known of training rows that a net is to give back: between which ends they lie, and whether its code can sum them up."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from chainrule.core.abilities.nets import HasCodes
from chainrule.data.source import Data

ROWS = 4096    # looked at in a block


def ends_of(data: Data) -> tuple[float, float]:
    """The least and the greatest number of the training rows, as a net reads them."""
    ends = [data.ready(rows).aminmax() for rows in data.train.x.split(ROWS)]
    return min(float(e.min) for e in ends), max(float(e.max) for e in ends)


def in_unit_range(data: Data) -> bool:
    """Whether all numbers of the training rows lie in [0, 1], as a net reads them."""
    low, high = ends_of(data)
    return low >= 0 and high <= 1


def raw_ends(data: Data) -> tuple[float, float] | None:
    """The least and the greatest number of the training rows before they are scaled from these to 0 and 1; None of rows that are not."""
    inputs = data.encoder.inputs
    scale = inputs.scale if inputs.kind == "array" else inputs.features.scale[:, :2].T if inputs.features is not None else None
    if scale is None:
        return None
    low, factor = scale.double()
    high = low + torch.where(factor > 0, 1 / factor, 0.0)
    return float(low.min()), float(high.max())


@torch.no_grad()
def with_notes(data: Data, module: nn.Module) -> Data:
    """The data with a note where a net to which it is given has more codes than there are rows, or columns of it are constant."""
    notes = []
    if isinstance(module, HasCodes) and len(data.train):
        device = next(module.parameters()).device
        width = module.encode(data.ready(data.train.x[:2].to(device))).shape[1]
        if width > len(data.train):
            notes.append(f"A code of {width} numbers for {len(data.train)} training rows can learn each row by heart: a smaller code says "
                         "more of what they share.")
    inputs = data.encoder.inputs
    if inputs.features is not None and len(data.train):
        blocks = [data.ready(rows).flatten(1).aminmax(dim=0) for rows in data.train.x.split(ROWS)]
        width_of = torch.stack([b.max for b in blocks]).amax(0) - torch.stack([b.min for b in blocks]).amin(0)
        still = [inputs.feature_names[i] for i in (width_of == 0).nonzero()[:, 0].tolist()]
        if still:
            plural = "is" if len(still) == 1 else "are"
            notes.append(f"{', '.join(still[:5])}{' and others' * (len(still) > 5)} {plural} constant in training, given back as they "
                         "were, and no part of what is learned.")
    return _noted(data, notes)


def with_range(data: Data) -> Data:
    """The data with a note where numbers outside [0, 1] are scaled to lie there, as units that are on or off want them."""
    ends = raw_ends(data) if data.encoder.inputs.range == "unit" else None
    if ends is None or (ends[0] >= 0 and ends[1] <= 1):
        return data
    return _noted(data, [f"The numbers of {data.name} go from {ends[0]:.4g} to {ends[1]:.4g}; the net reads each scaled to lie from 0 to "
                         "1. Use --scale standardised with a net that reads numbers of any size, e.g. rbm:units=gaussian."])


def _noted(data: Data, notes: list[str]) -> Data:
    if not notes:
        return data
    inputs = data.encoder.inputs
    inputs = replace(inputs, notes=(*inputs.notes, *notes))
    return replace(data, encoder=replace(data.encoder, inputs=inputs))
