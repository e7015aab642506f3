"""Small data that each task is asked of, for the tests of contracts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import chainrule as cr
from chainrule.core.boxes import Boxes
from chainrule.data import fingerprint
from chainrule.data.readers.text import source as text_source
from chainrule.data.reading import Reading
from chainrule.data.source import Source

TEXT = "the quick brown fox jumps over the lazy dog. " * 60


def tags(folder: Path) -> Path:
    """Sequences of letters whose label is that of the letter before: lengths differ."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(60):
        letters = rng.choice(list("ACDE"), size=rng.integers(6, 14))
        labels = ["H", *("H" if a in "AC" else "E" for a in letters[:-1])]
        lines += [f">s{i}", "".join(letters), "".join(labels)]
    path = folder / "labelled.fasta"
    path.write_text("\n".join(lines) + "\n")
    return path


def maps(x: np.ndarray, classes: int) -> Source:
    """The pictures, the brightest pixels of which are of the last class and the darkest of the first."""
    pixels = torch.from_numpy(x)
    y = ((pixels[:, 0] - pixels[:, 0].floor()) * classes).to(torch.uint8)                          # (n, h, w)
    names = tuple(f"shade {i}" for i in range(classes))
    return Source("shades", pixels, y, "maps", {"kind": "memory", "what": "shades"}, fingerprint.of(pixels, y, names), names)


def marked(x: np.ndarray, numbers: np.ndarray, classes: int) -> Source:
    """The pictures, with a box in each whose class is that of the picture; every third has a second one."""
    pixels, n = torch.from_numpy(x), len(x)
    first = torch.tensor([1.0, 1.0, 5.0, 6.0]).expand(n, 4) + torch.arange(n)[:, None] % 3
    corners = torch.stack([first, torch.tensor([0.0, 0.0, 3.0, 2.0]).expand(n, 4)], 1)
    labels = torch.stack([torch.from_numpy(numbers), torch.where(torch.arange(n) % 3 == 0, 0, -1)], 1)
    names = tuple(f"thing {i}" for i in range(classes))
    y = Boxes(corners, labels)
    return Source("things", pixels, y, "boxes", {"kind": "memory", "what": "things"}, fingerprint.of(pixels, y, names), names)


def waves(steps: int = 120, *, horizon: int = 3, lags: int = 8) -> Source:
    """A noisy wave of twelve steps a turn, with a column beside it, as a series."""
    t = np.arange(steps)
    rng = np.random.default_rng(0)
    frame = {"wave": np.sin(t * np.pi / 6) + 0.1 * rng.normal(size=steps), "other": np.cos(t * np.pi / 6) + 0.1 * rng.normal(size=steps)}
    return cr.load(frame, target="wave", reading=Reading(horizon=horizon, lags=lags))


def small(task: str, folder: Path, *, classes: int = 3, series: bool = False) -> Source:
    """Few rows that such a task can be asked of: pictures of 8 x 8, or `series` of 8 steps, a text in windows, sequences with a label a
    letter."""
    if task == "language":
        return text_source(TEXT, "a text")
    if task == "tagging":
        return cr.load(tags(folder))
    if task == "forecast":
        return waves()
    if task == "transcription":
        return cr.load("strips:count=60,fewest=1,digits=3,source=digits")
    if task == "translation":
        return cr.load("reversal:length=4,fewest=2,letters=4,count=60")
    if task == "contacts":
        return cr.load("chains:count=30")
    rng = np.random.default_rng(0)
    numbers = np.arange(60) % classes
    x = (rng.random((60, 1, 8, 8)) + numbers[:, None, None, None]).astype(np.float32)
    if task == "segmentation":
        return maps(x, classes)
    if task == "detection":
        return marked(x, numbers, classes)
    x = x[:, 0] if series else x
    return cr.load((x, numbers)) if task == "classification" else cr.load((x, numbers + rng.random(60)))
