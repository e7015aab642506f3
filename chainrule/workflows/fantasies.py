"""What a net that draws by a Markov chain makes by itself, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainrule.core.abilities.densities import HasChain
from chainrule.core.events import Event, Sampled
from chainrule.core.sampling import Request
from chainrule.core.sheets import unpacked
from chainrule.job.trained import Trained
from chainrule.plots.evaluation import image_grid
from chainrule.plots.figure import to_file
from chainrule.report.facts import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COUNT = 40


def draws_pictures(trained: Trained) -> bool:
    """Whether the net draws rows by a chain, and these are pictures."""
    return isinstance(trained.net.module, HasChain) and trained.encoder.inputs.picture_shape is not None


def fantasies(trained: Trained) -> Figure:
    """Samples of the net, each from its own chain, on one sheet."""
    rows = trained.sample(Request(COUNT)).rows
    assert rows is not None
    return image_grid(rows)


def fantasies_of(trained: Trained) -> list[Picture]:
    """For a report: samples, where there are such pictures."""
    return [("What the net draws by itself: the ends of Markov chains", to_file(fantasies(trained)))] if draws_pictures(trained) else []


def on_the_way(events: Sequence[Event]) -> list[Picture]:
    """For a report: the pictures that a net drew in the middle of its training, a sheet for each time."""
    return [(f"What the net drew after step {event.step:,}", to_file(image_grid(unpacked(sheet), columns=10)))
            for event in events if isinstance(event, Sampled) for sheet in event.pictures]
