"""D31: one class is answered whatever the row."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import remedy


@diagnoses("one-class-only", source="He & Garcia (2009), https://doi.org/10.1109/TKDE.2008.239", code="D31", reads=("Judged",),
           after=("no-better-than-constant",), outcome=True,
           cause="What differs between rows does not reach the output: it is a constant, and the most frequent class wins.",
           remedy="`--class-weights balanced` where classes are of unequal size; else see what stands above it.")
def one_class_only(case: Case, *, fewest: int = 20) -> Iterator[Finding]:
    """Every one of at least `fewest` validation rows, which are of several classes, is answered by the same class."""
    answers = case.judged.answers if case.judged else {}
    shares = {name: share for name, share in answers.get("answered", {}).items() if share > 0}
    if len(shares) != 1 or answers.get("n", 0) < fewest or len([n for n in answers.get("counts", {}).values() if n]) < 2:
        return
    name = next(iter(shares))
    cure = remedy(class_weights="balanced") if case.facts.chance > 1.5 / max(case.facts.classes, 1) else remedy(
        "mend what else was found; where nothing was, train longer or at another rate, as chainrule find-rate suggests")
    yield Finding("output", f"all of {answers['n']:,} validation rows are taken for {name}", cure, {"n": answers["n"]})
