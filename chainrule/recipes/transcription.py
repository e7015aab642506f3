"""Strings read off frames by connectionist temporal classification: exact against brute force, and rows of digits read by an LSTM."""

from __future__ import annotations

import itertools
from typing import Any

import torch

import chainrule
from chainrule.core.registry import recipes
from chainrule.evaluate.strings import edit_distances, padded, prefix_beam
from chainrule.losses.ctc import alignment_costs
from chainrule.recipes.outcome import Figure, Outcome, Setting, command

GRAVES = "Graves, Fernandez, Gomez & Schmidhuber (2006), https://doi.org/10.1145/1143844.1143891"
FRAMES, SYMBOLS = 6, 3
STRINGS = ((), (0,), (1, 2), (1, 1), (2, 0, 2), (0, 0, 1))
OPTIONS: dict[str, Any] = {"net": "lstm:hidden=64,bidirectional=yes", "optimizer": "adam:rate=0.003", "rule": "backprop:clip=1",
                           "schedule": "cosine", "batch": 32}
WIDTH = 8


@recipes("ctc", source=GRAVES)
def transcription(setting: Setting) -> Outcome:
    """The loss against the sum over all 4,096 alignments of short strings, and rows of one to four digits of which the net sees columns.

    In its short form fewer rows and epochs.
    """
    torch.manual_seed(0)
    outputs = torch.randn(len(STRINGS), FRAMES, SYMBOLS + 1, dtype=torch.float64)
    ours = alignment_costs(outputs, padded(STRINGS))
    apart = max(abs(float(cost.neg().exp()) - _over_alignments(row.softmax(1), string))
                for cost, row, string in zip(ours, outputs, STRINGS, strict=True))
    rows = "strips:count={},fewest=1,digits=4,source=digits"
    data, epochs = (rows.format(200), 3) if setting.short else (rows.format(4000), 25)
    run = chainrule.train(data, **OPTIONS, epochs=epochs, out=setting.out / "ctc", progress=False)
    result = run.test()
    part = run.job.data.valid.rows_at(0, 300)
    raw, truth = run.job.task.raw(run.job.trained.inference, part), run.job.task.truth(part, run.job.trained.ready)
    beam = edit_distances(padded([prefix_beam(frames, WIDTH) for frames in raw.softmax(2)]), truth)
    path = edit_distances(run.job.trained.answer(raw), truth)
    sizes = (truth >= 0).sum()
    edits, exact = result.measures["edit_distance"], result.measures["exact"]
    return Outcome([
        Figure("greatest difference of a string's probability from the sum over all its alignments", apart, published=1e-6, goal="at most",
               source=GRAVES),
        Figure("edits a digit on test rows", edits.value, edits.low, edits.high, 0.05, "asked of this machine",
               "none" if setting.short else "at most"),
        Figure("% of test rows that are read right throughout", 100 * exact.value,
               None if exact.low is None else 100 * exact.low, None if exact.high is None else 100 * exact.high),
        Figure("edits a digit on validation rows, by the best path", float(path.sum() / sizes)),
        Figure(f"the same by a beam of {WIDTH} prefixes", float(beam.sum() / sizes)),
    ], notes=[command(data, {**OPTIONS, "epochs": epochs})])


def _over_alignments(shares: torch.Tensor, string: tuple[int, ...]) -> float:
    """The probability that frames (t, symbols + 1) say a string, path by path."""
    rows = shares.tolist()
    total = 0.0
    for path in itertools.product(range(SYMBOLS + 1), repeat=FRAMES):
        if tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != SYMBOLS) == string:
            probability = 1.0
            for row, symbol in zip(rows, path, strict=True):
                probability *= row[symbol]
            total += probability
    return total
