"""What a net has learned of the symbols it reads: the nearest neighbours of their vectors, as a table and as a map."""

from __future__ import annotations

import torch

from chainrule.core.abilities.sequences import HasVectors
from chainrule.core.text import visible
from chainrule.job.trained import Trained
from chainrule.observe.neighbours import flattened, nearest
from chainrule.plots.figure import to_file
from chainrule.plots.text import symbol_map
from chainrule.report.facts import Picture, Table

SHOWN, NEIGHBOURS, MAPPED = 40, 5, 120
FEWEST = 4   # symbols of which neighbours say anything


def frequent(trained: Trained, count: int) -> list[int]:
    """The numbers of the symbols that hold letters or digits, the most frequent in training first where that is known."""
    known = trained.encoder.inputs.vocabulary
    assert known is not None
    counts = trained.constant if trained.constant is not None and len(trained.constant) == len(known) + 1 else torch.zeros(len(known) + 1)
    order = counts[:-1].argsort(descending=True, stable=True)
    return [i for i in order.tolist() if any(c.isalnum() for c in known.symbols[i])][:count]


def tables(trained: Trained) -> list[Table]:
    """The nearest neighbours of the most frequent symbols, for nets that read symbols by a vector of each."""
    module, known = trained.net.module, trained.encoder.inputs.vocabulary
    if not isinstance(module, HasVectors) or known is None or len(known) < FEWEST:
        return []
    others, cosines = nearest(module.vectors().detach().cpu(), NEIGHBOURS)
    rows = [[_shown(known.symbols[i]), ", ".join(f"{_shown(known.symbols[j])} {cosine:.2f}"
                                                 for j, cosine in zip(others[i].tolist(), cosines[i].tolist(), strict=True))]
            for i in frequent(trained, SHOWN)]
    return [Table("Nearest neighbours", ["symbol", "read most like it, with the cosine"], rows,
                  "Of the vectors by which the net reads symbols; the most frequent symbols first.", prose=True)]


def pictures_of(trained: Trained) -> list[Picture]:
    """A map of the most frequent symbols by their vectors."""
    module, known = trained.net.module, trained.encoder.inputs.vocabulary
    if not isinstance(module, HasVectors) or known is None or len(known) < FEWEST:
        return []
    shown = frequent(trained, MAPPED)
    if len(shown) < FEWEST:
        return []
    places = flattened(module.vectors().detach().cpu()[shown])
    return [("Symbols by the vectors that the net reads them by", to_file(symbol_map(places, [_shown(known.symbols[i]) for i in shown])))]


def _shown(symbol: str) -> str:
    return visible(symbol.strip() or symbol).replace("\n", "")
