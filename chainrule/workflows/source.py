"""What a command is given, as a source of data and as options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.data.column_names import listed
from chainrule.data.load import load
from chainrule.data.reading import Reading
from chainrule.data.source import Source
from chainrule.job.build import LossLike
from chainrule.job.options import Options
from chainrule.job.own import Own


def as_source(data: Any, options: Options, data_dir: str | Path | None = None) -> Source:
    if not isinstance(data, Source):
        return load(data, target=options.target, data_dir=data_dir, group=options.group, time=options.time, weight=options.weight,
                    reading=options.reading)
    asked = options.reading.to_json()
    if any(data.origin.get("reading", {}).get(name) != value for name, value in asked.items()):
        raise InputError(f"expected data that is still to be read; got {data.name}, which is loaded already, and --{next(iter(asked))}. "
                         "Give that to cr.load(..., reading=...).")
    if options.weight is not None and data.origin.get("weight") != options.weight:
        raise InputError(f"expected data whose column '{options.weight}' is still to be taken out; got {data.name}, which is loaded "
                         f"already. Name it there: cr.load(..., weight='{options.weight}').")
    return data


def source_again(path: Path, record: dict[str, Any], options: Options, own: Any, opener: str = "cr.Run") -> Source:
    """The data of a run, or of a committee, read again, or `own` data in its place; `opener` is what opens the folder in Python.

    Raises InputError where it is gone, or is no longer what it was.
    """
    about = record["data"]
    origin = about["origin"]
    if origin["kind"] == "memory" and own is None:
        raise InputError(f"{path} was trained on data in memory. Give it again: {opener}(path, data=...).")
    what = origin["what"] if own is None else own
    if own is None and origin["kind"] in ("file", "folder") and not Path(what).exists():
        raise InputError(f"This needs the data that {path} was trained on, and {what} is not there any more. Put it back, or give it again "
                         f"in Python: {opener}(path, data=...).")
    roles = {role: getattr(options, role) or origin.get(role) for role in ("target", "group", "time", "weight")}
    source: Source = what if hasattr(what, "fingerprint") else load(what, **roles, data_dir=origin.get("data_dir"),
                                                                    stream=bool(origin.get("streamed")),
                                                                    reading=Reading.from_json(origin.get("reading", {})))
    if source.fingerprint != about["fingerprint"]:
        raise InputError(f"{about['name']} has changed since {path} was trained (its SHA-256 differs). Put the old file back, "
                         "or train again.")
    return source


def options_of(net: str | nn.Module | None, loss: LossLike, options: dict[str, Any]) -> Options:
    """The keyword arguments as Options: names keep their spelling.

    Raises InputError for an unknown name, with the nearest offered, and for a value of another type.
    """
    if net is not None and not isinstance(net, str | nn.Module):
        raise InputError(f"net is a name or a torch.nn.Module; got {type(net).__name__}.")
    if loss is not None and not isinstance(loss, str) and not callable(loss):
        raise InputError(f"loss is a name or a function of (outputs, targets); got {type(loss).__name__}.")
    if isinstance(from_ := options.get("from_"), os.PathLike):
        options = {**options, "from_": os.fspath(from_)}
    named = {"net": net if isinstance(net, str) else None, "loss": loss if isinstance(loss, str) else None}
    columns = {"target": listed(options["target"])} if isinstance(options.get("target"), list | tuple) else {}
    return Options.from_json({**options, **named, **columns})


def own_of(net: str | nn.Module | None, loss: LossLike, weights: Any = None) -> Own:
    """The keyword arguments that are no names. Raises InputError for weights that are no numbers."""
    if weights is not None and not isinstance(weights, Tensor):
        try:
            weights = torch.as_tensor(weights, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError):
            raise InputError(f"weights is a tensor of one number for each row; got {type(weights).__name__}.") from None
    return Own(net if isinstance(net, nn.Module) else None, loss if callable(loss) else None, weights)
