"""A trained net moved along its ROC: what was asked of the validation part, and what the test part then shows. Fawcett (2006)"""

from __future__ import annotations

import chainrule
from chainrule.core.registry import recipes
from chainrule.evaluate.intervals import wilson
from chainrule.recipes.outcome import Figure, Outcome, Setting

SOURCE = "Fawcett (2006), https://doi.org/10.1016/j.patrec.2005.10.010"
RECALLS = (0.8, 0.95, 1.0)


@recipes("operating-point", source=SOURCE)
def operating_point(setting: Setting) -> Outcome:
    """Tumours found earlier and earlier: each recall that is asked of the validation part is kept there at the strictest threshold."""
    run = chainrule.train("breast-cancer", net="softmax", epochs=20, plan="eager", out=setting.out / "run", progress=False)
    name = run.valid.classes[0]
    rows, short, figures = [["asked recall", "threshold", "recall, valid %", "recall, test %", "false alarms, test %"]], 0.0, list[Figure]()
    for recall in RECALLS:
        chosen = run.threshold(name, recall=recall)
        short = max(short, recall - chosen.shares["recall"])
        counts = run.test().counts[name]
        found, alarms = counts["tp"] + counts["fn"], counts["fp"] + counts["tn"]
        rows.append([f"{recall:g}", f"{chosen.threshold.value:.3g}", f"{100 * chosen.shares['recall']:.2f}",
                     f"{100 * counts['tp'] / found:.2f}", f"{100 * counts['fp'] / alarms:.2f}"])
        ends = wilson(counts["tp"], found)
        figures.append(Figure(f"test recall % where {100 * recall:g} was asked of validation", 100 * counts["tp"] / found, 100 * ends.low,
                              100 * ends.high))
    return Outcome([Figure("by how much the validation part falls short of the recall asked for", short, published=0, goal="at most",
                           source=SOURCE + ": a point of the ROC is chosen, so it is kept exactly"), *figures], rows)
