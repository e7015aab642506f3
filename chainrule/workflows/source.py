"""What a command is given, as a source of data and as options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from chainrule.core.errors import InputError
from chainrule.data.load import load
from chainrule.data.source import Source
from chainrule.job.build import LossLike
from chainrule.job.options import Options


def as_source(data: Any, options: Options, data_dir: str | Path | None = None) -> Source:
    if not isinstance(data, Source):
        return load(data, target=options.target, data_dir=data_dir, group=options.group, time=options.time, weight=options.weight)
    if options.weight is not None and data.origin.get("weight") != options.weight:
        raise InputError(f"expected data whose column '{options.weight}' is still to be taken out; got {data.name}, which is loaded "
                         f"already. Name it there: cr.load(..., weight='{options.weight}').")
    return data


def options_of(net: str | nn.Module | None, loss: LossLike, options: dict[str, Any]) -> Options:
    """The keyword arguments as Options: names keep their spelling, unknown ones get the nearest offered."""
    if net is not None and not isinstance(net, str | nn.Module):
        raise InputError(f"net is a name or a torch.nn.Module; got {type(net).__name__}.")
    named = {"net": net if isinstance(net, str) else None, "loss": loss if isinstance(loss, str) else None}
    return Options.from_json({**options, **named})
