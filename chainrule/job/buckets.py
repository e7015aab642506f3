"""Batches of sequences of like length: which data and nets may be read so, and the feed that hands them out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.loss import identity
from chainrule.core.traits import RuleTraits
from chainrule.data.feed.buckets import Buckets, lengths_of
from chainrule.data.source import Data

APART = 1e-4       # how far answers may differ that say the same, as a share of the largest
LOOKED_AT = 8      # of the shortest rows


def bucketed(data: Data, buckets: int, *, batch: int, seed: int, device: torch.device, one_hot: int = 0) -> Buckets:
    """The training part in batches of like length."""
    train = data.train
    return Buckets(train, identity, lengths=lengths(data), buckets=buckets, stepwise=data.target_kind == "steps", batch=batch, seed=seed,
                   device=device, one_hot=one_hot)


def lengths(data: Data) -> Tensor:
    """The steps (n,) of each training row. Raises InputError for rows that are no sequences of different lengths, or are on disk."""
    inputs, x = data.encoder.inputs, data.train.x
    if inputs.kind not in ("symbols", "series") or inputs.flatten or data.target_kind == "pairs":
        raise InputError(f"--buckets is for sequences that differ in length, of which each step is read; {data.name} is read as "
                         f"{inputs.kind} of shape {inputs.input_shape}. Leave it out.")
    if not isinstance(x, Tensor):
        raise InputError(f"--buckets sorts rows that are in memory; those of {data.name} stay on disk. Leave it out.")
    own = lengths_of(x, inputs.vocabulary.padding if inputs.vocabulary is not None else None)
    if int(own.amin()) == x.shape[1]:
        raise InputError(f"--buckets is for sequences that differ in length; all of {data.name} have {x.shape[1]} steps. Leave it out.")
    return own


@torch.no_grad()
def check_buckets(data: Data, module: nn.Module, name: str, rule: RuleTraits, device: torch.device) -> str:
    """In words how much is saved. Raises InputError where a rule reads other batches, or a net says another thing of a shorter row."""
    own = lengths(data)
    if rule.carries or rule.reads == "everything":
        raise InputError("--buckets divides rows into batches, and this rule reads all rows at once, or in their order. Leave it out.")
    some = own.argsort()[:LOOKED_AT]
    width, training = int(own[some].amax()), module.training
    rows = data.train.x[some].to(device)
    module.eval()
    try:
        whole, cut = (module(data.ready(x)) for x in (rows, rows[:, :width]))
    except Exception as error:      # whatever a net does with rows of another length
        raise InputError(f"{name} reads rows of {rows.shape[1]} steps alone, not of {width}: {str(error).splitlines()[0][:120]} Leave "
                         "--buckets out, or use a recurrent net.") from error
    finally:
        module.train(training)
    if not alike(whole, cut, own[some].to(device)):
        raise InputError(f"{name} answers otherwise where less fills a sequence up, so that its rows cannot be cut. Leave --buckets out, "
                         "or use a recurrent net.")
    saved = 1 - float(own.double().mean()) / data.train.x.shape[1]
    return f"batches cut to their own length, where {saved:.0%} of all steps fill up"


def alike(whole: Tensor, cut: Tensor, own: Tensor) -> bool:
    """Whether answers (n, k), or (n, t, k) at the steps of sequences that have so many (n,), are the same but for rounding."""
    if whole.dim() <= 2 and whole.shape != cut.shape:
        return False
    if whole.dim() > 2:
        whole = whole[:, : cut.shape[1]]
        exists = (torch.arange(cut.shape[1], device=cut.device) < own[:, None])[..., None]
        whole, cut = whole * exists, cut * exists
    return bool((whole - cut).abs().amax() <= APART * whole.abs().amax().clamp(min=1e-6))
