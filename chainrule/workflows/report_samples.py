"""What a net makes by itself, for its report: pictures side by side, rows of a table, text."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from chainrule.core.abilities.densities import HasChain
from chainrule.core.abilities.nets import Samples
from chainrule.core.abilities.tasks import Draws
from chainrule.core.errors import InputError
from chainrule.core.events import Event, Sampled
from chainrule.core.sampling import Drawn, Request
from chainrule.core.text import shown, visible
from chainrule.job.trained import Trained
from chainrule.report.facts import Picture, Table
from chainrule.report.pictures import sample_pictures
from chainrule.runs.validation import as_pixels

PICTURES, ROWS, TEXTS, LETTERS = 32, 8, 3, 200


def pictures_drawn(trained: Trained) -> list[Picture]:
    """Pictures that a net draws, where it draws them otherwise than by a Markov chain, whose fantasies a report has anyway."""
    if trained.encoder.inputs.picture_shape is None or isinstance(trained.net.module, HasChain):
        return []
    drawn = _drawn(trained, Request(PICTURES))
    if drawn is None or drawn.rows is None:
        return []
    rows: Tensor = drawn.rows.float()
    images = as_pixels(rows.reshape(len(rows), *trained.encoder.inputs.picture_shape))
    return [sample_pictures(images, f"{len(images)} pictures that it drew")]


def samples_written(trained: Trained, events: Sequence[Event]) -> list[Table]:
    """Texts that a net writes, unless it was recorded while it learned, and rows of a table that it draws."""
    if isinstance(trained.task, Draws):
        texts = None if any(isinstance(e, Sampled) for e in events) else _drawn(trained, Request(TEXTS, length=LETTERS))
        rows = [] if texts is None else [[str(i), visible(text)] for i, text in enumerate(texts.texts, 1)]
        return [Table("What it writes", ["", "sample"], rows, "␣ is a blank, ⏎ the end of a line.", prose=True)] if rows else []
    if trained.encoder.inputs.features is None:
        return []
    drawn = _drawn(trained, Request(ROWS))
    if drawn is None or not drawn.columns:
        return []
    names = list(drawn.columns)
    cells = [[_cell(drawn.columns[name][i]) for name in names] for i in range(len(drawn))]
    return [Table("Rows that it drew", names, cells)]


def _drawn(trained: Trained, request: Request) -> Drawn | None:
    """Samples of a net that makes any."""
    if not isinstance(trained.task, Draws) and not isinstance(trained.net.module, Samples):
        return None
    try:
        return trained.sample(request)
    except InputError:
        return None


def _cell(value: object) -> str:
    return "" if value is None else shown(value) if isinstance(value, float) else str(value)
