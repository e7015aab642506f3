"""D02: inputs far from mean zero and deviation one."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy


@diagnoses("input-scale", source="LeCun, Bottou, Orr & Mueller (1998), https://doi.org/10.1007/3-540-49430-8_2", code="D02",
           reads=("Beginning",), after=("leak",),
           cause="Gradients of the first weights are products with the inputs: very large ones make steps too long, very small ones too "
                 "short, and a mean far from zero bends the error surface into a valley.",
           remedy="Inputs scaled to mean 0 and deviation 1, as chainrule does of itself for tables, pixels and arrays unless a rule or a "
                  "net reads them as they are.")
def input_scale(case: Case, *, large: float = 10.0, small: float = 0.01, shifted: float = 5.0) -> Iterator[Finding]:
    """What a step reads has a deviation above `large` or below `small`, or a mean above so many deviations.

    Nothing is said of codes, and of words and categories, which are mostly zero by nature.
    """
    facts = case.facts
    if not facts.spread or "sd" not in facts.inputs or "mean" not in facts.inputs:
        return
    mean, sd = facts.inputs["mean"], facts.inputs["sd"]
    if small <= sd <= large and abs(mean) <= shifted * sd:
        return
    if sd == 0:
        yield Finding("input", f"what a step reads is {mean:.3g} in every column of every row, by which no row can be told from another",
                      Remedy({}, "give columns that differ from row to row"), {"mean": mean, "sd": sd})
        return
    yield Finding("input", f"what a step reads has a mean of {mean:.3g} and a deviation of {sd:.3g} (from "
                  f"{facts.inputs.get('low', mean):.3g} to "
                  f"{facts.inputs.get('high', mean):.3g})",
                  Remedy({}, f"scale inputs to mean 0 and deviation 1: (x - {mean:.3g}) / {sd:.3g}"), {"mean": mean, "sd": sd})
