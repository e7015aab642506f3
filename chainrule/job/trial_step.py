"""One step tried before anything is saved, and one sentence where net, data, rule and loss do not go together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.core.tree import clone
from chainrule.engine.plans.eager import copied
from chainrule.engine.randomness import Aside
from chainrule.job.job import Job
from chainrule.job.own_module import reason


def check_fit(job: Job, batch: Batch, own: bool) -> None:
    """Take one step on a copy, so that a rule, a net and a loss that do not fit are said at once; of one's `own` net, its outputs too.

    Raises InputError in one sentence.
    """
    trial = copied(Learner(job.net, {}))
    ready = job.data.ready(batch.x)
    with Aside(job.options.seed, job.device):
        try:
            state = clone(job.rule.init(trial.net))
            if job.rule.reads != "everything":
                job.reading(job.rule).step(trial.net, state, batch)
                trial.net.settle()
        except InputError:
            raise
        except Exception as error:  # a module or a loss of one's own fails in ways of its own
            raise InputError(_misfit(job, ready, batch, error)) from None
        if not own:
            return
        _same_parameters(job, trial.net)
        try:
            with torch.no_grad():
                outputs = trial.net(ready)
        except Exception as error:
            raise InputError(_misfit(job, ready, batch, error)) from None
        if wrong := _no_answers(job, outputs, len(ready)):
            raise InputError(wrong)


def _misfit(job: Job, ready: Tensor, batch: Batch, error: Exception) -> str:
    """What is wrong, found by going through a step's parts one after the other, each on a new copy."""
    name, why = job.net_name, reason(error)
    wanted = f"inputs of shape {tuple(ready.shape[1:])}, {job.task.outputs} outputs wanted"
    if "use_reentrant" in str(error):
        return (f"{name} computes activations anew by torch's reentrant checkpointing, which works with backward() alone. Pass "
                "use_reentrant=False to torch.utils.checkpoint.")
    if "more than 1 value per channel" in str(error):
        return f"{name} normalises over the batch, which takes more than one sample. Use --batch 2 or more; it is {job.options.batch}."
    net = copied(Learner(job.net, {})).net
    try:
        outputs: Any = net(ready)
    except Exception as failure:
        return f"{name} does not fit {job.data.name}: {wanted} ({reason(failure)}). Check --net against the data."
    if wrong := _no_answers(job, outputs, len(ready)):
        return wrong
    loss = f" and --loss {job.loss.name}" if job.loss else ""
    return (f"{name} does not fit {job.data.name}: {wanted}, and it gives them of shape {tuple(outputs.shape[1:])} ({why}). Check --net"
            f"{loss} against the data.")


def _no_answers(job: Job, outputs: Any, rows: int) -> str:
    """What is wrong with what a net gives for so many rows; empty where it is one tensor with a row for each."""
    if not isinstance(outputs, Tensor):
        return (f"{job.net_name} gives a {type(outputs).__name__} for a batch; expected one tensor, the answers of shape (n, "
                f"{job.data.outputs}). Give them alone, e.g. from a module around this one.")
    if outputs.is_complex():
        return f"{job.net_name} gives complex numbers; expected real ones. Give e.g. their size, outputs.abs()."
    if not outputs.shape or len(outputs) != rows:
        return (f"{job.net_name} gives a tensor of shape {tuple(outputs.shape)} for {rows} rows; expected the rows first, (n, "
                f"{job.data.outputs}). Check its forward pass (recurrent layers take batch_first=True).")
    return ""


def _same_parameters(job: Job, net: Net) -> None:
    """Raises InputError where a step has made new parameters, which no optimizer would know, or put others in place of some."""
    first = {**net.params, **net.buffers}
    for name, p in net.module.named_parameters():
        if first.get(name) is not p:
            raise InputError(f"{job.net_name} makes its parameter {name} while it runs, which would not learn. Make it in __init__, or "
                             "call the module once on some rows before training.")
