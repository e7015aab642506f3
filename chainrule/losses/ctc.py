"""Connectionist temporal classification: a string is read off frames along any alignment that says it.

Graves, Fernandez, Gomez & Schmidhuber (2006), https://doi.org/10.1145/1143844.1143891
"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.loss import Loss, softmax
from chainrule.core.registry import losses

NEVER = -1e30  # the log of no probability: finite, so that slopes are


@losses("ctc", source="Graves, Fernandez, Gomez & Schmidhuber (2006), https://doi.org/10.1145/1143844.1143891")
def ctc() -> Loss:
    """Minus the log probability of a string, over all alignments: runs of a symbol count once, and the last output is the blank."""
    return Loss("ctc", alignment_costs, softmax, ("labels",))


def alignment_costs(outputs: Tensor, y: Tensor) -> Tensor:
    """Minus the log probability (n,) that frames (n, t, symbols + 1) say strings (n, l), which end where numbers are below 0.

    Forward over the string with a blank before, between and after its symbols, of which one may be passed over between two that differ.
    """
    logs = outputs.log_softmax(2)                                                        # (n, t, symbols + 1)
    blank, length = outputs.shape[2] - 1, y.shape[1]
    symbols = torch.where(y < 0, blank, y)                                               # (n, l)
    places = torch.full((len(y), 2 * length + 1), blank, device=y.device)                # (n, s): blank, symbol, blank, ...
    places = torch.stack([places[:, :length], symbols], 2).flatten(1)
    places = torch.cat([places, torch.full_like(symbols[:, :1], blank)], 1)
    emitted = logs.gather(2, places[:, None].expand(-1, logs.shape[1], -1))                 # (n, t, s)
    before = torch.nn.functional.pad(places, (2, 0), value=blank)[:, :-2]                # two places earlier
    skips = (places != blank) & (places != before)
    first = torch.arange(places.shape[1], device=y.device) < 2
    joint = torch.where(first, emitted[:, 0], NEVER)
    for frame in emitted[:, 1:].unbind(1):
        one = torch.nn.functional.pad(joint, (1, 0), value=NEVER)[:, :-1]
        two = torch.where(skips, torch.nn.functional.pad(joint, (2, 0), value=NEVER)[:, :-2], NEVER)
        joint = torch.stack([joint, one, two], 2).logsumexp(2) + frame
    ends = 2 * (y >= 0).sum(1, keepdim=True)                                             # the blank after the last symbol
    last = joint.gather(1, ends).squeeze(1)
    symbol = torch.where(ends.squeeze(1) > 0, joint.gather(1, (ends - 1).clamp(min=0)).squeeze(1), NEVER)
    return -torch.stack([last, symbol], 1).logsumexp(1)
