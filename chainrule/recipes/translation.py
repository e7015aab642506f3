"""Strings written from strings: backwards with attention and without, and days from many ways of writing them."""

from __future__ import annotations

from typing import Any

import chainrule
from chainrule.core.files import write_file
from chainrule.core.registry import recipes
from chainrule.evaluate.strings import edit_distances
from chainrule.plots.figure import to_png
from chainrule.recipes.outcome import Figure, Goal, Outcome, Setting, command
from chainrule.workflows.attribution import attention
from chainrule.workflows.options import Drawing
from chainrule.workflows.predict import searching
from chainrule.workflows.run import Run

BAHDANAU = "Bahdanau, Cho & Bengio (2015), https://arxiv.org/abs/1409.0473"
ASKED = "asked of this machine"
BACKWARDS, DAYS = "reversal:length=20,fewest=10,count={}", "dates:count={}"
NETS = {"with attention": "seq2seq:hidden=64", "without attention": "seq2seq:hidden=64,attention=no"}
OPTIONS: dict[str, Any] = {"optimizer": "adam:rate=0.005", "schedule": "cosine", "batch": 64}
WIDTH, BEAM_ROWS = 8, 200


@recipes("translation", source=BAHDANAU)
def translation(setting: Setting) -> Outcome:
    """Strings of 10 to 20 letters written backwards, with attention and without, and days of 13 ways as ISO 8601 has them.

    In its short form fewer strings and epochs.
    """
    rows, epochs, epochs_of_days = (600, 1, 1) if setting.short else (10_000, 6, 12)
    goal: Goal = "none" if setting.short else "at least"
    runs = {name: _trained(BACKWARDS.format(rows), net, epochs, setting, name.replace(" ", "-")) for name, net in NETS.items()}
    runs["days"] = _trained(DAYS.format(rows), NETS["with attention"], epochs_of_days, setting, "days")
    results = {name: run.test() for name, run in runs.items()}
    edits = results["with attention"].measures["edit_distance"]
    pair = chainrule.compare(runs["without attention"], runs["with attention"]).pairs[0]
    greedy, beam = _beside(runs["days"])

    def exact(what: str, name: str, reach: float | None = None) -> Figure:
        m = results[name].measures["exact"]
        low, high = (None if end is None else 100 * end for end in (m.low, m.high))
        return Figure(what, 100 * m.value, low, high, reach, ASKED if reach is not None else "", goal if reach is not None else "none")

    table = [["", "exact %", "edits a symbol", "of the most frequent string", "seconds"]]
    for name, result in results.items():
        assert result.baseline is not None
        table.append([name, f"{100 * result.measures['exact'].value:.2f}", f"{result.measures['edit_distance'].value:.4f}",
                      f"{result.baseline.measures['edit_distance'].value:.4f}", f"{runs[name].summary()['seconds']['training']:.0f}"])
    commands = [command(BACKWARDS.format(rows), {**OPTIONS, "net": net, "epochs": epochs}) for net in NETS.values()]
    commands.append(command(DAYS.format(rows), {**OPTIONS, "net": NETS["with attention"], "epochs": epochs_of_days}))
    picture = setting.out / "attention.png"
    write_file(picture, to_png(attention(runs["days"], Drawing())))
    return Outcome([
        exact("% of strings that are written backwards without an error, with attention", "with attention"),
        Figure("edits a letter of these, with attention", edits.value, edits.low, edits.high, 0.01, ASKED,
               "none" if setting.short else "at most"),
        exact("% of strings without an error, without attention", "without attention"),
        Figure("p of as many edits with attention as without, by sign flips", pair.p, probability=True),
        exact("% of days that are written as ISO 8601 without an error", "days", 98),
        Figure(f"% of {BEAM_ROWS} validation days without an error, symbol by symbol", 100 * greedy),
        Figure(f"the same by a beam of {WIDTH}", 100 * beam),
    ], table, commands, [picture])


def _trained(data: str, net: str, epochs: int, setting: Setting, name: str) -> Run:
    setting.say(name)
    run: Run = chainrule.train(data, net=net, epochs=epochs, out=setting.out / name, progress=False, **OPTIONS)
    return run


def _beside(run: Run) -> tuple[float, float]:
    """The shares of strings of the validation part that are right, symbol by symbol and by a beam."""
    rows = run.job.data.valid.rows_at(0, BEAM_ROWS)
    shares = []
    for width in (1, WIDTH):
        with searching(run.trained, width):
            away = edit_distances(run.trained.predictions(rows), rows.y)
        shares.append(float((away == 0).double().mean()))
    return shares[0], shares[1]
