"""D38: members of a committee that err alike."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy


@diagnoses("members-agree", source="Krogh & Vedelsby (1995), NIPS 7:231; Hansen & Salamon (1990), https://doi.org/10.1109/34.58871",
           code="D38", reads=("Joined",), after=("interval-too-wide",), note=True, outcome=True,
           cause="What several nets answer together is better only where they err differently: nets of the same rows and settings whose "
           "loss has one minimum, or that were stopped early from like beginnings, are one net several times.",
           remedy="Members that differ: other rows for each, `chainrule sweep DATA --over bootstrap=1..8`, other seeds, hidden units or "
           "columns; or one of them, which answers as well in a fraction of the time.")
def members_agree(case: Case, *, share: float = 0.9, fewest: int = 10) -> Iterator[Finding]:
    """Members have `share` of their errors in common, of at least `fewest`.

    Of classes: of rows that one of two members has wrong, those to which both give the same wrong answer. Of numbers: the squared error of
    their mean by the mean of theirs.
    """
    joined = case.joined
    if joined is None or joined.errors < fewest or not joined.shared >= share:
        return
    common = (f"two members give the same wrong answer to {100 * joined.shared:.0f} % of the validation rows that either has wrong "
              f"(the mean over pairs; {joined.errors:,} rows that any has wrong)" if joined.counted else
              f"the squared error of their mean is {100 * joined.shared:.0f} % of the mean of theirs on {joined.errors:,} validation rows")
    yield Finding("members", f"{common}: {joined.members:,} nets know hardly more than one",
                  Remedy({}, "other nets or columns for each member; other rows where they had the same, chainrule sweep DATA --over "
                             "bootstrap=1..8; or one of them alone"),
                  {"shared": joined.shared, "errors": joined.errors, "members": joined.members})
