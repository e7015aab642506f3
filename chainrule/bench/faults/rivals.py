"""Published rule sets, written anew from what their papers and manuals say, over the looks, losses and settings of the same runs.

AutoTrainer: Zhang, Zhai, Ma & Shen (2021), https://doi.org/10.1109/ICSE43902.2021.00043; UMLAUT: Schoop, Huang & Hartmann (2021),
https://doi.org/10.1145/3411764.3445538; SageMaker Debugger: Rauschmayr et al. (2021), MLSys 3, and its list of built-in rules;
TheDeepChecker: Ben Braiek & Khomh (2023), https://doi.org/10.1145/3529318. Thresholds are theirs. Windows count looks where theirs count
records. Root mean squares stand for the mean absolute values of SageMaker and TheDeepChecker, which are at most as large. Rules that need
what no look has are left out: ranges of inputs and shapes (UMLAUT), distances to saturation of 9.5 and more and imbalance of labels
(SageMaker), variances of initial weights, fitting one batch, and augmented twins (TheDeepChecker). Each names the diagnoses it may mean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from chainrule.recipes.faults.history import Alarm, History

Rules = Callable[[History], list[Alarm]]
VANISHING, EXPLODING = ("D14", "D15"), ("D13", "D16", "D19", "D21")
Look = Mapping[str, Any]


def number(value: Any) -> float:
    """A number of a look; NaN where there is none."""
    return math.nan if value is None else float(value)


def row(look: Look, name: str) -> list[float]:
    """What a look has of its layers, without those to which it does not apply."""
    return [number(value) for value in look.get(name) or () if value is not None]


def first(alarms: Iterable[Alarm]) -> list[Alarm]:
    """Each rule's earliest alarm by step, of one step in the order of the rules; the first of all stands for what such a set would name."""
    earliest: dict[str, Alarm] = {}
    for alarm in alarms:
        if alarm.name not in earliest or alarm.step < earliest[alarm.name].step:
            earliest[alarm.name] = alarm
    ordered = sorted(earliest.values(), key=lambda alarm: alarm.step)
    return [replace(alarm, first=at == 0) for at, alarm in enumerate(ordered)]


def accuracies(history: History) -> list[tuple[int, float]]:
    return [(step, valid["accuracy"]) for step, _, valid in history.evaluations if "accuracy" in valid]


def rate_of(settings: Mapping[str, Any]) -> float | None:
    match = re.search(r"rate=([0-9.eE+-]+)", str(settings.get("optimizer") or ""))
    return float(match[1]) if match else None


def not_finite(history: History) -> Iterator[int]:
    """The steps at which a loss or a gradient was no longer finite."""
    yield from (step for step, look in history.looks if not all(math.isfinite(number(look.get(name, 0.0))) for name in ("loss", "norm")))
    yield from (step for step, loss, _ in history.evaluations if not math.isfinite(loss))
    if history.ended == "diverged":
        yield history.steps


def autotrainer(history: History) -> list[Alarm]:
    """Defaults: theta .6, beta 1e-3, 1e-4 and 70, gamma .7, zeta .03, eta .2, delta .01."""
    alarms = [Alarm(step, EXPLODING, "exploding") for step in not_finite(history)]
    checks = accuracies(history)
    for step, look in history.looks:
        slope = row(look, "weight_gradient")
        right = [accuracy for at, accuracy in checks if at <= step]
        learns = bool(right) and right[-1] > 0.6
        if len(slope) >= 2 and slope[-1] > 0 and slope[0] / slope[-1] < 1e-3 and slope[0] < 1e-4 and not learns:
            alarms.append(Alarm(step, VANISHING, "vanishing"))
        if any(not math.isfinite(g) or g > 70 for g in slope):
            alarms.append(Alarm(step, EXPLODING, "exploding"))
        if any(share >= 0.7 for share in row(look, "zero")) and not learns:
            alarms.append(Alarm(step, ("D17",), "dying ReLU"))
    changes = [(step, abs(b - a)) for (_, a), (step, b) in pairwise(checks)]
    swings = [i for i, (_, change) in enumerate(changes) if change >= 0.03]
    late = [i for i in swings if i >= 3 and sum(j <= i for j in swings) / (i + 1) >= 0.2 and checks[i + 1][1] < checks[i][1]]
    alarms += [Alarm(changes[i][0], ("D19",), "oscillating") for i in late[:1]]
    best = [max(accuracy for _, accuracy in checks[i - 3: i + 1]) for i in range(3, len(checks))]
    slow = [step for top, (_, before), (step, now) in zip(best, checks, checks[3:], strict=False) if top - before < 0.01 and now <= 0.6]
    return first([*alarms, *(Alarm(step, ("D20", "D26"), "slow convergence") for step in slow[:1])])


def umlaut(history: History) -> list[Alarm]:
    """Rates above .01 and below 1e-7, dropout of more than half, no activation, accuracy above .95, rising validation loss."""
    alarms = [Alarm(step, ("D21", "D19"), "not finite") for step in not_finite(history)]
    rate = rate_of(history.settings)
    if rate is not None and not 1e-7 <= rate <= 0.01:
        alarms.append(Alarm(0, ("D19",) if rate > 0.01 else ("D20",), "rate"))
    if any(float(share) > 0.5 for share in re.findall(r"dropout=([0-9.]+)", history.net)):
        alarms.append(Alarm(0, ("D22",), "dropout"))
    kinds = list(history.looks[0][1].get("kinds") or ()) if history.looks else []
    if any(kind in ("Linear", "Dense", "Conv2d", "Convolution") for kind in kinds[:-1]):
        alarms.append(Alarm(0, ("D11",), "no activation"))
    alarms += [Alarm(step, ("D05",), "high accuracy") for step, accuracy in accuracies(history) if accuracy > 0.95][:1]
    costs = [(step, loss, valid["loss"]) for step, loss, valid in history.evaluations if "loss" in valid]
    alarms += [Alarm(b[0], ("D24",), "overfitting") for a, b in pairwise(costs) if b[2] > a[2] and b[1] < a[1]][:1]
    return first(alarms)


def sagemaker(history: History) -> list[Alarm]:
    """Mean slope below 1e-7; more than half of the units at zero; update ratios above 10 and below 1e-8; validation loss 10 % above."""
    alarms = [Alarm(step, EXPLODING, "exploding") for step in not_finite(history)]
    still = 0
    for step, look in history.looks:
        slope, update = row(look, "weight_gradient"), row(look, "update")
        if any(g < 1e-7 for g in slope):
            alarms.append(Alarm(step, VANISHING, "vanishing"))
        if any(share > 0.5 for share in row(look, "dead")):
            alarms.append(Alarm(step, ("D17",), "dead ReLU"))
        if step <= 5 and any(3.29 * g < 1e-3 for g in slope):       # the 5th to the 95th percentile of a Gaussian
            alarms.append(Alarm(step, ("D12", "D13", "D14"), "poor initialisation"))
        if any(u > 10 for u in update):
            alarms.append(Alarm(step, ("D19",), "update ratio"))
        elif any(u < 1e-8 for u in update):
            alarms.append(Alarm(step, ("D20", "D09"), "update ratio"))
        still = still + 1 if update and min(update) == 0 else 0
        if still >= 3:
            alarms.append(Alarm(step, ("D09", "D20"), "unchanged"))
    losses = [(step, number(look.get("loss"))) for step, look in history.looks if "loss" in look]
    for at, (step, loss) in enumerate(losses):
        before = next((past for then, past in reversed(losses[:at]) if step - then >= 10), None)
        if before is not None and not loss < before * (1 - 0.001):
            alarms.append(Alarm(step, ("D20", "D26", "D19"), "loss not decreasing"))
    costs = [(step, loss, valid["loss"]) for step, loss, valid in history.evaluations if "loss" in valid]
    alarms += [Alarm(step, ("D24",), "overfit") for step, loss, valid in costs if loss > 0 and (valid - loss) / loss > 0.1][:1]
    return first(alarms)


def deepchecker(history: History) -> list[Alarm]:
    """Loss at the start off by 100 %; half of the units dead or saturated; sd of activations .5 to 2; slopes 1e-6; updates 1e-4 to .1."""
    alarms = [Alarm(step, EXPLODING, "exploding") for step in not_finite(history)]
    losses = [(step, number(look.get("loss"))) for step, look in history.looks if "loss" in look]
    if losses and history.classes > 1 and losses[0][1] > 2 * math.log(history.classes):
        alarms.append(Alarm(losses[0][0], ("D13",), "initial loss"))
    slopes: list[list[float]] = []
    for step, look in history.looks:
        slope = row(look, "weight_gradient")
        slopes.append(slope)
        if any(share > 0.5 for share in row(look, "dead")):
            alarms.append(Alarm(step, ("D17",), "dead"))
        if any(share > 0.5 for share in row(look, "saturated")):
            alarms.append(Alarm(step, ("D18",), "saturated"))
        if any(not 0.5 <= sd <= 2 for sd in row(look, "activation_sd")[:-1]):
            alarms.append(Alarm(step, ("D13", "D18", "D02"), "unstable activation"))
        if any(g < 1e-6 for g in slope):
            alarms.append(Alarm(step, VANISHING, "vanishing"))
        if any(g > 1e6 for g in slope) or _grows(slopes, 2.0):
            alarms.append(Alarm(step, EXPLODING, "exploding"))
        ratios = [math.log10(u) for u in row(look, "update") if u > 0]
        if ratios and max(ratios) > -1:
            alarms.append(Alarm(step, ("D19",), "update ratio high"))
        if ratios and min(ratios) < -4:
            alarms.append(Alarm(step, ("D20", "D09"), "update ratio low"))
        both = (number(look.get("loss")), number(look.get("evaluated_loss")))
        if all(math.isfinite(one) for one in both) and abs(both[1] - both[0]) > 0.5 * abs(both[0]):
            alarms.append(Alarm(step, ("D23",), "train and evaluation differ"))
    return first([*alarms, *_of_losses(losses)])


def _grows(slopes: Sequence[Sequence[float]], factor: float) -> bool:
    """Whether the slope of some layer grew by a factor at each of the last five looks."""
    last = [slope for slope in slopes[-5:] if slope]
    return len(last) == 5 and len({len(one) for one in last}) == 1 and any(
        all(b > factor * a > 0 for a, b in pairwise(layer)) for layer in zip(*last, strict=True))


def _of_losses(losses: Sequence[tuple[int, float]]) -> Iterator[Alarm]:
    """TheDeepChecker's: 5 % less every five checks, never twice the least, less than half of the changes turning."""
    values = [loss for _, loss in losses]
    for at, (step, loss) in enumerate(losses):
        if at >= 5 and not loss < 0.95 * values[at - 5]:
            yield Alarm(step, ("D20", "D26"), "slow")
        if at and loss > 2 * min(values[:at]) > 0:
            yield Alarm(step, ("D19",), "diverging")
        window = values[max(0, at - 50): at + 1]
        turns = [(b - a) * (c - b) < 0 for a, b, c in zip(window, window[1:], window[2:], strict=False)]
        if len(turns) >= 20 and sum(turns) > 0.5 * len(turns):
            yield Alarm(step, ("D19",), "fluctuating")


RIVALS: Mapping[str, Rules] = {"AutoTrainer": autotrainer, "UMLAUT": umlaut, "SageMaker Debugger": sagemaker, "TheDeepChecker": deepchecker}
