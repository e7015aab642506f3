"""D06: a rare class that is never answered."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import remedy


@diagnoses("class-collapse", source="He & Garcia (2009), https://doi.org/10.1109/TKDE.2008.239", code="D06", reads=("Judged",),
           after=("output-range",), outcome=True,
           cause="Where one class has most rows, most of the gradient is about it: always answering it is a good start, and the rare ones "
                 "are never answered.",
           remedy="Rows of rare classes that count more: `--class-weights balanced`.")
def class_collapse(case: Case, *, share: float = 0.8, recall: float = 0.25, fewest: int = 4) -> Iterator[Finding]:
    """One class has more than `share` of the rows, and of another, of `fewest` validation rows or more, below `recall` is recognised."""
    if case.judged is None or not case.facts.chance > share:
        return
    answers = case.judged.answers
    recalls, counts = answers.get("recall", {}), answers.get("counts", {})
    worst = min((name for name in recalls if counts.get(name, 0) >= fewest), key=lambda name: recalls[name], default=None)
    if worst is None or not recalls[worst] < recall:
        return
    yield Finding("output", f"{100 * case.facts.chance:.1f} % of the rows are of one class, and of {worst} {100 * recalls[worst]:.0f} % of "
                  f"{counts[worst]} validation rows are recognised", remedy(class_weights="balanced"),
                  {"share": case.facts.chance, "recall": recalls[worst]})
