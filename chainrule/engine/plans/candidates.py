"""The plans that are worth a trial for a net on this machine, and why others are not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from chainrule.core.rule import Learner, Rule
from chainrule.engine.plans.plan import FUSED_STEPS, Plan, splits
from chainrule.engine.plans.trial import Trial

BF16_ROUNDING = 2.0**-9         # the most by which a number differs from the nearest in bfloat16, relative to it
OVERHEAD_BOUND_SECONDS = 4e-3   # above this a CPU step is arithmetic, which inductor hardly shortens


@dataclass(frozen=True)
class Refused:
    """A plan not worth a trial, and the sentence why."""

    plan: Plan
    reason: str


def candidates(rule: Rule, learner: Learner, eager: Trial, precision: str, batches: int) -> Iterator[Plan | Refused]:
    """The plans worth a trial, quickest to make first, or the sentence why one is not."""
    device, threads = learner.net.device, eager.plan.threads
    maps = convolutional(learner)
    if maps:
        yield Plan(channels_last=True, threads=threads)
    coarse = rule.tolerance < BF16_ROUNDING  # no net in it would come as close as the rule asks
    if precision == "auto" and splits(learner.net):
        yield Plan(bf16x3=True, threads=threads)
    if precision == "auto":
        low = Plan(bf16=True, channels_last=maps, threads=threads)
        if not native_bf16(device):
            yield Refused(low, "this processor has no native bfloat16")
        else:
            yield Refused(low, f"it rounds by up to {BF16_ROUNDING:.0e}, and this rule allows {rule.tolerance:.0e} of the update; "
                               "--precision bf16 takes it all the same") if coarse else low
    if device.type == "cuda":
        yield Plan(graph=True, fused=FUSED_STEPS, threads=threads)
        if precision == "auto" and native_bf16(device) and not coarse:
            yield Plan(graph=True, bf16=True, channels_last=maps, fused=FUSED_STEPS, threads=threads)
    fused = Plan(compiled=True, fused=FUSED_STEPS, threads=threads)
    if device.type == "cpu":
        native = Plan(native=True, threads=threads)
        if not any(map(shutil.which, ("cc", "gcc", "clang"))):
            yield Refused(native, "there is no C compiler on this machine")
            yield Refused(fused, "there is no C++ compiler on this machine")
            return
        yield native
        if not any(map(shutil.which, ("g++", "clang++"))):
            yield Refused(fused, "there is no C++ compiler on this machine")
            return
        if eager.seconds_per_step > OVERHEAD_BOUND_SECONDS:
            took = f"a step takes {1e3 * eager.seconds_per_step:.0f} ms of arithmetic"
            yield Refused(fused, f"{took}, which inductor does not shorten on a CPU")
            return
    yield fused if batches >= FUSED_STEPS else Refused(fused, f"it fuses {FUSED_STEPS} steps, and only {batches} pass at once")


def convolutional(learner: Learner) -> bool:
    """Whether a net has convolutions over maps, whose memory may be laid out with channels last."""
    return any(p.dim() == 4 for p in learner.net.params.values())


def native_bf16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is done by the processor itself rather than emulated."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
