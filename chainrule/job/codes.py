"""What makes codes of rows: a net's own encoder, the vectors of the symbols that it reads, or any of its layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.core.abilities.nets import HasCodes
from chainrule.core.abilities.sequences import HasVectors
from chainrule.core.errors import InputError, suggest
from chainrule.core.registry import nets
from chainrule.core.symbols import known

Encode = Callable[[Tensor], Tensor]


def encoding(module: nn.Module, name: str, layer: str | None = None) -> Encode:
    """What makes codes (n, width) of rows as a net reads them, `name` being what the net is called.

    Raises InputError where the net makes none by itself and no layer is named, or it has no such layer.
    """
    if layer is not None:
        every = [path for path, _ in module.named_modules() if path]
        if layer not in every:
            raise InputError(f"{name} has no layer '{layer}'. {suggest(layer, every)}")
        return partial(of_layer, module, layer)
    if isinstance(module, HasCodes):
        return module.encode
    if isinstance(module, HasVectors):
        return partial(mean_vectors, module)
    layers = [path for path, part in module.named_modules() if path and next(part.children(), None) is None]
    able = ", ".join(entry.name for entry in nets.entries() if isinstance(entry.make, type) and issubclass(entry.make, HasCodes))
    raise InputError(f"{name} makes no codes of its own. Name a layer of it, --layer {' or '.join(layers[:3]) or 'NAME'}, or train a net "
                     f"that does: {able}.")


def mean_vectors(net: HasVectors, x: Tensor) -> Tensor:
    """The mean (n, size) of the vectors of the symbols that sequences (n, t, symbols) have."""
    present = known(x)                                                                # (n, t)
    return (x @ net.vectors()).sum(1) / present.sum(1, keepdim=True).clamp(min=1)


def of_layer(module: nn.Module, layer: str, x: Tensor) -> Tensor:
    """What a layer gives for rows (n, ...), in a row of numbers each: (n, width). Of a layer that runs several times it is the last.

    Raises InputError where it does not run, or gives nothing that belongs to a row each.
    """
    outputs: list[Any] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple | list) else output
        outputs.append(first.clone() if isinstance(first, Tensor) else None)         # what comes after may overwrite it

    hook = module.get_submodule(layer).register_forward_hook(keep)
    try:
        module(x)
    finally:
        hook.remove()
    if not outputs:
        raise InputError(f"The layer {layer} does not run when rows are answered. Name another.")
    last = outputs[-1]
    if last is None or last.dim() == 0 or len(last) != len(x):
        raise InputError(f"The layer {layer} gives {'no tensor' if last is None else f'numbers of shape {tuple(last.shape)}'}, which are "
                         f"not one row for each of {len(x)} rows. Name another.")
    row: Tensor = last.flatten(1) if last.dim() > 1 else last[:, None]
    return row


@torch.no_grad()
def in_blocks(encode: Encode, ready: Callable[[Tensor], Tensor], x: Any, device: torch.device, rows: int) -> Tensor:
    """Codes (n, width) of stored rows (n, ...), on the CPU, so many rows at a time; in double precision where the net computes so."""
    blocks = [encode(ready(some.to(device))).cpu() for some in x.split(rows)]
    codes = torch.cat(blocks)
    return codes if codes.dtype == torch.float64 else codes.float()
