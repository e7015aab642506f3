"""D05: validation rows that training has as well."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy


@diagnoses(source="Kaufman, Rosset, Perlich & Stitelman (2012), https://doi.org/10.1145/2382577.2382579", code="D05", reads=("Beginning",),
           after=("data-invalid",),
           cause="What is measured on rows that were learned from says little of new rows.",
           remedy="Equal rows in one part: `--group COLUMN`, or the file without copies; `chainrule check` lists them.")
def leak(case: Case, *, share: float = 0.01, fewest: int = 5, bits: float = 48.0) -> Iterator[Finding]:
    """More than `share` of the validation rows, and at least `fewest`, are training rows as well.

    Nothing is said of rows that fewer than so many `bits` tell apart, which may be equal by chance: a table of few columns of few values.
    """
    facts = case.facts
    if not facts.validating or facts.inputs.get("bits", 0.0) < bits:
        return
    count = facts.duplicates
    if count < fewest or count <= share * facts.validating:
        return
    yield Finding("validation", f"{count:,} of {facts.validating:,} validation rows ({100 * count / facts.validating:.1f} %) are training "
                                "rows too",
                  Remedy({}, "take out the copies, or keep them together with --group COLUMN; chainrule check lists them"),
                  {"rows": count, "share": count / facts.validating})
