"""What a training says of itself: how it starts, by which plan, what is wrong with it, how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.core.events import Diagnosed, Finished, Planned, Started
from chainrule.core.text import counted, duration, sentence, visible

SHOWN_SYMBOLS = 80     # of a sample
ENDINGS = {"budget": "Done", "patience": "Done early, since it no longer got better,", "interrupted": "Interrupted",
           "diverged": "Stopped, since the loss was no longer finite,", "stopped": "Stopped, as was asked,"}


def started(event: Started) -> list[str]:
    """Which net, how large, by which rule; on which rows; and where anything was chosen, what."""
    data = event.data
    splits = data.get("splits")
    rows = ", ".join(f"{int(n):,} {part}" for part, n in splits.items() if n) if isinstance(splits, Mapping) else ""
    rows = rows or (counted(int(data["n"]), "row") if "n" in data else "")
    verb = "Resuming" if event.resumed else "Training"
    parameters = counted(event.parameters, "parameter")
    chosen = event.settings.get("chosen")
    lines = [f"{verb} {event.net} ({parameters}) by {event.rule}", f"Data: {data.get('name', 'the data')}{f', {rows}' if rows else ''}"]
    return [*lines, f"Chosen: {', '.join(map(str, chosen))}"] if chosen and not event.resumed else lines


def planned(event: Planned) -> str:
    """Which execution plan, how fast, and why."""
    compiling = f", {duration(event.compiling)} to compile" if event.compiling >= 0.1 else ""
    speed = f", {event.seconds_per_step * 1e3:.3g} ms a step" if event.seconds_per_step > 0 else ""
    reason = event.reason.strip().rstrip(".")
    return f"Plan: {event.name} in {event.precision}{speed}{compiling}{f'; {reason}' if reason else ''}"


def diagnosed(event: Diagnosed) -> str:
    """What is wrong where, what shows it, and what to do."""
    what = f"{event.name} in " if event.name else ""
    where = f" at step {event.step:,}" if event.name and event.step else ""
    return f"{what}{event.layer}{where}: {sentence(event.evidence)} Remedy: {sentence(event.remedy)}"


def finished(event: Finished) -> str:
    """Why it ended, how long it took, and which weights are kept. What they score is the result, which is said once, where results are."""
    seconds = event.timing.get("total", sum(event.timing.values()) or event.seconds)
    count, unit = (event.epochs, "epoch") if event.epochs else (event.steps, "step")
    length = f"{counted(count, unit)} in {duration(seconds)}"
    best = f"; the best was epoch {event.best_epoch}" if event.best and event.best_epoch else ""
    weights = best or ("; the last weights are kept" if event.best_epoch else "")
    return f"{ENDINGS.get(event.reason, event.reason)} after {length}{weights}."


def measure(name: str, value: Any) -> str:
    """A measure as people read it: accuracies and error rates in per cent, the rest with four digits."""
    number = float(value)
    if name in ("accuracy", "balanced accuracy", "balanced_accuracy", "error", "error rate") and number == number:
        return f"{number * 100:.2f} %"
    return f"{number:.4g}"


def beginning(text: str) -> str:
    """As much of a sample as a line holds, blanks and line ends as signs."""
    signs = visible(text).replace("\n", "")
    return signs if len(signs) <= SHOWN_SYMBOLS else signs[:SHOWN_SYMBOLS] + "…"


def short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
