"""Small pictures of answers beside the truth as plain geometry: calibration, operating points, numbers predicted and what is left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.core.text import counted, shown
from chainrule.evaluate.calibration import Bin, reliability
from chainrule.evaluate.curves import OperatingPoints, operating_points, precision_recall
from chainrule.report.charts import nice

WIDTH, HEIGHT = 320, 300
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 10, 40
FEWEST = 10            # cases of a bin of a calibration
MOST_CLASSES = 6       # with a curve of their own
MOST_POINTS, CURVE_POINTS = 500, 100
MOST_TARGETS = 4
Range = tuple[float, float]


@dataclass(frozen=True)
class Panel:
    """One picture in a WIDTH x HEIGHT drawing: `lines` are (class, points, name), `dots`, `ticks` and `bars` are paths."""

    section: str
    title: str
    across: str
    up: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[tuple[str, str, str], ...] = ()
    dots: str = ""
    ticks: str = ""
    bars: str = ""
    note: str = ""


class Plane:
    """Where numbers stand in a panel whose axes span these ranges."""

    def __init__(self, across: Range, up: Range):
        self.across, self.up = across, up

    def x(self, value: float) -> float:
        low, high = self.across
        return round(LEFT + (WIDTH - LEFT - RIGHT) * ((value - low) / ((high - low) or 1.0)), 1)

    def y(self, value: float) -> float:
        low, high = self.up
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ((value - low) / ((high - low) or 1.0)), 1)

    def points(self, several: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{self.x(a):g},{self.y(b):g}" for a, b in several)

    def dots(self, several: Sequence[tuple[float, float]]) -> str:
        return "".join(f"M{self.x(a):g} {self.y(b):g}h0" for a, b in several)

    def upright(self, several: Sequence[tuple[float, float, float]]) -> str:
        """A stroke at each place from one height to another."""
        return "".join(f"M{self.x(a):g} {self.y(low):g}V{self.y(high):g}" for a, low, high in several)

    def bars(self, several: Sequence[tuple[float, float, float]]) -> str:
        """A box from one place to another, so high."""
        return "".join(f"M{self.x(a):g} {self.y(0):g}V{self.y(top):g}H{self.x(b):g}V{self.y(0):g}z" for a, b, top in several)


SHARES = (0.0, 1.0)
SHARE_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def _share_ticks(plane: Plane) -> tuple[tuple[tuple[float, str], ...], tuple[tuple[float, str], ...]]:
    return (tuple((plane.x(t), f"{100 * t:g} %") for t in SHARE_TICKS), tuple((plane.y(t), f"{100 * t:g} %") for t in SHARE_TICKS))


def of_classes(probabilities: Tensor, truth: Tensor, names: Sequence[str]) -> list[Panel]:
    """Calibration, ROC and precision-recall of probabilities (n, classes) beside classes (n,); of many classes those of the worst."""
    if len(truth) == 0:
        return []
    present = [c for c in range(len(names)) if 0 < int((truth == c).sum()) < len(truth)]
    curves = {names[c]: operating_points(probabilities[:, c], truth == c) for c in present}
    if len(names) == 2:
        curves = dict(list(curves.items())[1:])
    worst = dict(sorted(curves.items(), key=lambda one: one[1].auc)[:MOST_CLASSES])
    note = f"The {MOST_CLASSES} of {len(curves)} classes with the least area, each against the rest." if len(curves) > MOST_CLASSES else ""
    panels = [calibration(reliability(probabilities, truth, fewest=FEWEST), len(truth))]
    return panels if not worst else [*panels, roc(worst, note), precision(worst, note)]


def calibration(bins: Sequence[Bin], n: int) -> Panel:
    """How often answers are right against how sure they were, with intervals; bins hold at least FEWEST cases, if there are so many."""
    plane = Plane(SHARES, SHARES)
    x_ticks, y_ticks = _share_ticks(plane)
    gap = sum(b.count * abs(b.accuracy - b.confidence) for b in bins) / n
    words = f"{counted(len(bins), 'bin')} of at least {min(b.count for b in bins):,} cases"
    return Panel("Calibration", "How sure, how often right", "confidence: the greatest probability", "share right", x_ticks, y_ticks,
                 (("faint", plane.points([(0, 0), (1, 1)]), ""), ("valid", plane.points([(b.confidence, b.accuracy) for b in bins]), "")),
                 plane.dots([(b.confidence, b.accuracy) for b in bins]),
                 plane.upright([(b.confidence, b.interval.low, b.interval.high) for b in bins]),
                 note=f"Below the line: too sure. {words}; mean gap {100 * gap:.2f} %.")


def roc(curves: Mapping[str, OperatingPoints], note: str = "") -> Panel:
    """True against false positives as the threshold falls."""
    plane = Plane(SHARES, SHARES)
    x_ticks, y_ticks = _share_ticks(plane)
    lines = [(f"c{i}", plane.points(_thinned(p.fpr, p.tpr)), f"{name}, area {p.auc:.4f}") for i, (name, p) in enumerate(curves.items())]
    return Panel("Calibration", "ROC", "false-positive rate", "true-positive rate", x_ticks, y_ticks,
                 (("faint", plane.points([(0, 0), (1, 1)]), ""), *lines), note=note)


def precision(curves: Mapping[str, OperatingPoints], note: str = "") -> Panel:
    """Precision against recall as the threshold falls."""
    plane = Plane(SHARES, SHARES)
    x_ticks, y_ticks = _share_ticks(plane)
    lines = []
    for i, (name, p) in enumerate(curves.items()):
        share, recall = precision_recall(p)
        lines.append((f"c{i}", plane.points(_thinned(recall, share)), f"{name}, average {p.average_precision:.4f}"))
    return Panel("Calibration", "Precision and recall", "recall", "precision", x_ticks, y_ticks, tuple(lines), note=note)


def of_numbers(predictions: Tensor, truth: Tensor, names: Sequence[str]) -> list[Panel]:
    """Predictions against targets (n, k), and how what is left is distributed, for the first targets."""
    p, t = predictions.double().reshape(len(predictions), -1), truth.double().reshape(len(truth), -1)
    if p.shape != t.shape or len(p) == 0:
        return []
    panels = []
    for i in range(min(MOST_TARGETS, t.shape[1])):
        name = str(names[i]) if i < len(names) else "target"
        fine = p[:, i].isfinite() & t[:, i].isfinite()
        if bool(fine.any()):
            panels += [_against(p[fine, i], t[fine, i], name), _left(t[fine, i] - p[fine, i], name)]
    return panels


def _against(p: Tensor, t: Tensor, name: str) -> Panel:
    marks = nice(float(torch.minimum(p, t).min()), float(torch.maximum(p, t).max()))
    ends = (marks[0], marks[-1])
    plane = Plane(ends, ends)
    few = torch.linspace(0, len(p) - 1, min(len(p), MOST_POINTS)).round().long()
    note = f"{len(few):,} of {len(p):,} cases, evenly spread." if len(few) < len(p) else ""
    texts = [(m, f"{m:,.6g}") for m in marks]
    return Panel("Numbers", f"Predicted and true {name}", f"true {name}", f"predicted {name}",
                 tuple((plane.x(m), text) for m, text in texts),
                 tuple((plane.y(m), text) for m, text in texts), (("faint", plane.points([(ends[0], ends[0]), (ends[1], ends[1])]), ""),),
                 plane.dots(list(zip(t[few].tolist(), p[few].tolist(), strict=True))), note=note)


def _left(off: Tensor, name: str) -> Panel:
    marks = nice(float(off.min()), float(off.max()))
    low, high = marks[0], marks[-1]
    bins = min(40, max(5, round(math.sqrt(len(off)))))
    counts = torch.histc(off, bins, low, high).tolist()
    heights = nice(0, max(counts), whole=True)
    plane = Plane((low, high), (0.0, heights[-1]))
    width = (high - low) / bins
    boxes = [(low + i * width, low + (i + 1) * width, count) for i, count in enumerate(counts) if count]
    middle, spread = float(off.mean()), float(off.std(correction=0))
    return Panel("Numbers", f"What is left of {name}", f"true less predicted {name}", "cases",
                 tuple((plane.x(m), f"{m:,.6g}") for m in marks),
                 tuple((plane.y(h), f"{h:,.0f}") for h in heights), (("faint", plane.points([(0.0, 0.0), (0.0, heights[-1])]), ""),),
                 bars=plane.bars(boxes), note=f"Mean {shown(middle)}, standard deviation {shown(spread)}.")


def _thinned(x: Tensor, y: Tensor) -> list[tuple[float, float]]:
    picked = torch.linspace(0, len(x) - 1, min(len(x), CURVE_POINTS)).round().long()
    return list(zip(x[picked].tolist(), y[picked].tolist(), strict=True))
