"""A module of the user's own: which numbers it reads, what its lazy layers need, whether it looks its inputs up in a table."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from chainrule.core.duplicate import duplicate
from chainrule.core.errors import InputError
from chainrule.data.source import Source
from chainrule.engine.randomness import Aside

# Whose lines say nothing to whoever wrote the module: torch's and those of this package.
LIBRARIES = tuple(f"{folder}{os.sep}" for folder in (Path(torch.__file__).parent, Path(__file__).parents[1]))
SINGLE = {torch.complex64: torch.float32, torch.complex128: torch.float64}
FEW = 8


def numbers_read(module: nn.Module) -> torch.dtype:
    """The type of the inputs that a module reads: that of its weights where all have one, else single precision."""
    kinds = {SINGLE.get(p.dtype, p.dtype) for p in module.parameters() if p.is_floating_point() or p.is_complex()}
    return kinds.pop() if len(kinds) == 1 else torch.float32


def complete_lazy(module: nn.Module, x: Tensor) -> None:
    """Let a module with lazy layers see inputs (n, ...), which give these their shapes. Raises InputError where it cannot read them."""
    if not any(is_lazy(t) for t in [*module.parameters(), *module.buffers()]):
        return
    training = module.training
    try:
        with torch.no_grad():
            module.eval()(x)
    except Exception as error:  # a module of one's own fails in ways of its own
        raise InputError(f"{type(module).__name__} has layers that take their shapes from the first inputs, and fails on inputs of shape "
                         f"{tuple(x.shape)}: {reason(error)}. Check its forward pass.") from None
    module.train(training)


def looks_up(module: nn.Module, source: Source) -> bool:
    """Whether a module looks the numbers of this array up: all are whole, and what an embedding of it is asked follows from them.

    Raises InputError for one that no such embedding has.
    """
    x = source.inputs
    if not any(isinstance(part, nn.Embedding | nn.EmbeddingBag) for part in module.modules()) or not isinstance(x, Tensor):
        return False
    if not bool((x == x.floor()).all()) or bool((x < 0).any()):
        return False
    few, asked = x[:FEW].long(), dict[nn.Embedding | nn.EmbeddingBag, list[Tensor]]()
    twin = duplicate(module).cpu().eval()
    for part in twin.modules():
        if isinstance(part, nn.Embedding | nn.EmbeddingBag):
            part.register_forward_pre_hook(lambda part, given: asked.setdefault(part, []).append(given[0].clone()))
            few = few.clamp(max=part.num_embeddings - 1)
    try:
        with torch.no_grad(), Aside(0, torch.device("cpu")):
            twin(few)
            twin(torch.zeros_like(few))
    except Exception:  # it reads numbers, not places
        return False
    tables: list[int] = [part.num_embeddings for part, places in asked.items() if not torch.equal(places[0], places[-1])]
    if not tables:
        return False
    if (largest := int(x.max())) >= max(tables):
        row = int((x.flatten(1) == largest).any(1).nonzero()[0])
        raise InputError(f"{source.name}, row {row + 1}: expected numbers below {max(tables)}, the places of the embedding in "
                         f"{type(module).__name__}; got {largest}. Give it num_embeddings={largest + 1}.")
    return True


def reason(error: Exception) -> str:
    """What an exception says, in one line, and where in the user's own code it was raised."""
    words = str(error).strip().splitlines() or [type(error).__name__]
    message = words[0].rstrip(".") if isinstance(error, RuntimeError | ValueError) else f"{type(error).__name__}: {words[0].rstrip('.')}"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(LIBRARIES)]
    return f"{message}; {own[-1].filename.rpartition('/')[2]} line {own[-1].lineno}" if own else message
