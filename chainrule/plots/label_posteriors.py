"""How probable each symbol is at every frame of a sequence: Graves et al. (2006), https://doi.org/10.1145/1143844.1143891, figure 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from chainrule.core.registry import pictures
from chainrule.plots.style import COLOURS, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDE, TALL = 9.0, 2.2    # of a sequence, in inches
BLANK = "#888888"
SHOWN = 0.1              # a symbol is drawn where it is more probable than this anywhere


@pictures("label-posteriors", source="Graves, Fernandez, Gomez & Schmidhuber (2006), https://doi.org/10.1145/1143844.1143891",
          task="transcription", when=("test", "report"))
def label_posteriors(answer: Tensor, truth: Tensor, names: Sequence[str], frames: Tensor, posteriors: Tensor,
                     labels: Sequence[str]) -> Figure:
    """Frames (k, t, d) above the probabilities (k, t, symbols + 1) of each symbol, named at its peaks, and of none, dotted.

    A sequence ends where all probabilities are zero. Above each stands what was read (n, s) and what is true (n, s), both filled up by -1.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDE, TALL * len(frames) + 0.4), layout="constrained")
    cells = figure.subplots(2 * len(frames), 1, squeeze=False, height_ratios=[1, 2] * len(frames))[:, 0]
    for number, (rows, shares) in enumerate(zip(frames, posteriors, strict=True)):
        above, axes = cells[2 * number], cells[2 * number + 1]
        length = max(1, int((shares.sum(1) > 0).sum()))
        above.imshow(rows[:length].T.numpy(), cmap="Greys", aspect="auto", interpolation="nearest",
                     extent=(-0.5, length - 0.5, rows.shape[1] - 0.5, -0.5))
        above.set_axis_off()
        above.set_title(f"read {_spelt(answer[number], labels)}, true {_spelt(truth[number], labels)}", fontsize=8, color=INK, pad=3,
                        loc="left")
        axes.plot(shares[:length, -1].numpy(), color=BLANK, linewidth=1.0, linestyle=":")
        for symbol in (shares[:length, :-1].amax(0) > SHOWN).nonzero()[:, 0].tolist():
            line, colour = shares[:length, symbol], COLOURS[symbol % len(COLOURS)]
            axes.plot(line.numpy(), color=colour, linewidth=1.1)
            for at in peaks(line):
                axes.annotate(labels[symbol], (at, float(line[at])), xytext=(0, 1), textcoords="offset points", ha="center", fontsize=8,
                              color=colour)
        axes.set_xlim(-0.5, length - 0.5)
        axes.set_ylim(0, 1.18)
        axes.set_yticks([0, 0.5, 1])
        axes.tick_params(labelsize=7, colors=INK)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    cells[-1].set_xlabel("frame; dotted: no symbol", fontsize=8, color=INK)
    return figure


def peaks(line: Tensor) -> list[int]:
    """Where probabilities (t,) are greatest in each run of frames in which they are above those that are drawn."""
    values, at, ends = line.tolist(), list[int](), -1
    for step, value in enumerate(values):
        if value <= SHOWN:
            continue
        if ends != step - 1 or not at:
            at.append(step)
        elif value > values[at[-1]]:
            at[-1] = step
        ends = step
    return at


def _spelt(string: Tensor, labels: Sequence[str]) -> str:
    between = "" if all(len(label) == 1 for label in labels) else " "
    return between.join(labels[number] for number in string.tolist() if number >= 0) or "nothing"
