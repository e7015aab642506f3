"""What passes through time in a recurrent net, drawn: the length of the gradient at every step back, and how far gates are open.

Hochreiter (1991), diploma thesis, TU München; Bengio, Simard & Frasconi (1994), https://doi.org/10.1109/72.279181
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from chainrule.plots.style import COLOURS, INK, figure_of, make_plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST = 1e-12       # below which lengths are drawn as this


def slopes_through_time(lengths: Mapping[str, Tensor]) -> Figure:
    """The gradient's length (t,) by the state after each step, one line a net, relative to the last step and against the steps back."""
    figure = figure_of(6.4, 3.8)
    axes = figure.subplots()
    make_plain(axes)
    for number, (name, length) in enumerate(lengths.items()):
        back = (length / length[-1].clamp(min=LEAST)).clamp(min=LEAST).flip(0)
        axes.plot(range(len(back)), back.tolist(), color=COLOURS[number % len(COLOURS)], label=name)
    axes.set_yscale("log")
    axes.set_xlabel("steps back", color=INK)
    axes.set_ylabel("length of the gradient, relative to the last step", color=INK)
    axes.legend(frameon=False, fontsize=8)
    return figure


def gates_over_time(gates: Mapping[str, Tensor], inputs: Tensor) -> Figure:
    """How far each gate (t, units) is open, from 0 to 1, below what the net reads (t, d) of one sequence."""
    figure = figure_of(7.2, 1.2 + 1.5 * len(gates))
    rows = figure.subplots(1 + len(gates), 1, sharex=True, squeeze=False)[:, 0]
    make_plain(rows[0])
    for i, column in enumerate(inputs.unbind(1)):
        rows[0].plot(column.tolist(), color=COLOURS[i % len(COLOURS)], linewidth=0.8)
    rows[0].set_ylabel("inputs", color=INK)
    for axes, (name, values) in zip(rows[1:], gates.items(), strict=True):
        shown = axes.imshow(values.T.numpy(), aspect="auto", vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        axes.set_ylabel(name, color=INK)
        axes.set_yticks([])
    rows[-1].set_xlabel("step", color=INK)
    figure.colorbar(shown, ax=list(rows), label="open", shrink=0.6)
    return figure


def memory_by_delay(shares: Tensor) -> Figure:
    """How much of the variance of what was read so many steps ago (delays,) a readout tells, from 0 to 1, and where it falls to a half."""
    figure = figure_of(6.4, 3.2)
    axes = figure.subplots()
    make_plain(axes)
    axes.fill_between(range(len(shares)), shares.numpy(), color=COLOURS[0], alpha=0.2, linewidth=0)
    axes.plot(shares.tolist(), color=COLOURS[0])
    axes.axhline(0.5, color=INK, linewidth=0.6, linestyle=":")
    axes.set_xlim(0, len(shares) - 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("steps back", color=INK)
    axes.set_ylabel("share of the variance explained", color=INK)
    return figure
