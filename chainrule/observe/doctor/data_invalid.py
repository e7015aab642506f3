"""D01: numbers in the data that are none."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy


@diagnoses("data-invalid", source="IEEE 754 (2019), https://doi.org/10.1109/IEEESTD.2019.8766229", code="D01", reads=("Beginning",
                                                                                                                      "Broken"),
           cause="Whatever is added to or multiplied by what is no number is none: one such entry makes every weight so in one step.",
           remedy="Drop these rows, or fill the gaps: `--missing median`, `--skip-bad`; `chainrule check` lists them.")
def data_invalid(case: Case) -> Iterator[Finding]:
    """An input of a training row is not finite, or training stopped at a row with such an input."""
    bad = case.facts.inputs.get("not_finite", 0.0)
    if bad:
        yield Finding("input", f"{bad:,.0f} of {case.facts.rows:,} training rows have inputs that are not finite",
                      Remedy({}, "drop or impute these values; chainrule check says which"), {"rows": bad})
    elif case.broken is not None and case.broken.layer == "input":
        yield Finding("input", case.broken.evidence, Remedy({}, "drop or impute that value"), dict(case.broken.numbers))
