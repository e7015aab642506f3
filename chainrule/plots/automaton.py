"""Hidden states of a net as points of a plane, in the colours of the states of an automaton that does the same.

Minsky (1967), Computation: finite and infinite machines; Giles et al. (1992), https://doi.org/10.1162/neco.1992.4.3.393
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKS = "os^Dv<>p"


def plane(states: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """States (n, units) in the plane in which the means of their labels (n,) lie farthest apart, (n, 2), and the share of that spread
    which the plane has.

    The plane is that of the two principal components of the means.
    """
    centred = states.double() - states.double().mean(0)
    means = torch.stack([centred[labels == label].mean(0) for label in labels.unique()])         # (labels, units)
    _, values, axes = torch.linalg.svd(means - means.mean(0), full_matrices=False)
    share = values[:2].square().sum() / values.square().sum().clamp(min=1e-30)
    return centred @ axes[:2].T, share


def automaton(states: Tensor, labels: Tensor, names: Sequence[str]) -> Figure:
    """A picture of states (n, units), each with the number (n,) of the automaton's state that the same inputs lead to."""
    from matplotlib.figure import Figure

    points, share = plane(states, labels)
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    for label in labels.unique().tolist():
        own = points[labels == label]
        axes.plot(own[:, 0], own[:, 1], MARKS[label % len(MARKS)], markersize=3, alpha=0.6, label=names[label])
    axes.set(xlabel="first axis of the states' means", ylabel=f"second; both have {100 * float(share):.0f} % of their spread")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
