"""D30: a net that knows no more than a constant answer does."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy


@diagnoses("no-better-than-constant", source="McNemar (1947), https://doi.org/10.1007/BF02295996, for the pairs", code="D30",
           reads=("Judged",),
           after=("not-learning",), outcome=True,
           cause="The inputs do not tell the targets apart, too little was learned, or there are too few rows to say.",
           remedy="Look at the inputs with `chainrule check`; more rows, more `--epochs`.")
def no_better_than_constant(case: Case) -> Iterator[Finding]:
    """On the validation part the 95 % interval of the paired difference to the constant answer reaches zero."""
    answers = case.judged.answers if case.judged else {}
    if "high" not in answers or answers["high"] < 0:
        return
    yield Finding("net", f"no better than the constant answer, {answers['constant']}: {answers['sentence']}",
                  Remedy({}, "look at the inputs with chainrule check, or give more rows"),
                  {"n": answers["n"], "score": answers["score"], "constant": answers["constant_score"], "low": answers["low"],
                   "high": answers["high"]})
