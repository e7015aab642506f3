"""Cross-validation inside an ensemble: who learns from which row, and who validates it.

Stone (1974), https://doi.org/10.1111/j.2517-6161.1974.tb00994.x; members trained on all folds but one: Krogh & Vedelsby (1995), NIPS 7
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from chainrule.core.abilities.nets import HasMembers
from chainrule.core.errors import InputError
from chainrule.data.source import Data


def shared_out(data: Data, module: nn.Module, folds: int) -> Data:
    """`data`, whose masks number the folds (n,), with masks (n, members): member m learns from all but fold m modulo `folds`.

    The validation part holds the same rows, each answered by the members that did not learn from it. Raises InputError for a net that
    is no ensemble, or has fewer members than there are folds.
    """
    if not isinstance(module, HasMembers):
        raise InputError(f"--folds needs a net of several members, and this is a single one. Use --net ensemble, or --fold 1/{folds}.")
    with torch.no_grad():
        members = module.members(data.ready(data.train.x[:1])).shape[1]
    if members < folds:
        raise InputError(f"--folds {folds} needs a member for each fold; the net has {members}. Use --net ensemble:members={folds}.")
    assert data.train.mask is not None
    out = data.train.mask[:, None] == torch.arange(members) % folds                            # (n, members)
    return replace(data, train=replace(data.train, mask=~out), valid=replace(data.valid, mask=out))
