"""Where a net looks at what it reads while it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from chainrule.core.abilities.sequences import Attends
from chainrule.core.errors import InputError
from chainrule.job.trained import Trained
from chainrule.plots.attention import attention as attention_picture
from chainrule.tasks.translation import LAST

if TYPE_CHECKING:
    from matplotlib.figure import Figure

END = "end"    # how the end of a string is shown, read or written


@torch.no_grad()
def attended(trained: Trained, x: Tensor) -> dict[str, Any]:
    """What there is to draw of where the net looks in stored rows (k, t) while it writes its answers; nothing where it looks nowhere."""
    module, known = trained.net.module, trained.encoder.inputs.vocabulary
    if not (isinstance(module, Attends) and module.attends) or known is None or not len(x):
        return {}
    answer = trained.predictions(x)
    shares = module.attend(trained.ready(x.to(trained.device)), answer.to(trained.device)).cpu()       # (k, l + 1, t)
    read = [[known.names[code] for code in row if code < known.padding] for row in x.tolist()]
    written = [[trained.encoder.target.classes[number] for number in row if number >= 0] for row in answer.tolist()]
    maps = [map_[: len(down) + 1, : len(along)] for map_, along, down in zip(shares, read, written, strict=True)]
    return {"shares": maps, "read": [[END if symbol == LAST else symbol for symbol in along] for along in read],
            "written": [[*down, END] for down in written]}


def drawn(trained: Trained, x: Tensor) -> Figure:
    """Where the net looks for each symbol that it writes, for stored rows (k, t). Raises InputError for a net that looks nowhere."""
    further = attended(trained, x)
    if not further:
        raise InputError(f"{trained.net_name} does not look back at what it reads. Train --net seq2seq:attention=yes on pairs of strings.")
    figure = attention_picture(torch.empty(0), torch.empty(0), (), **further)
    assert figure is not None
    return figure
