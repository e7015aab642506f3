"""What a report shows of a committee: its result, how it stands against its members on the same cases, how it grew, who belongs to it."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.core.text import shown
from chainrule.evaluate.intervals import Interval, wilson
from chainrule.evaluate.significance import Pair, probability
from chainrule.evaluate.standing import Standing
from chainrule.plots.ensemble import growth
from chainrule.plots.figure import to_file
from chainrule.report.facts import Picture, Table


def growth_picture(scores: dict[str, list[float]], own: str, standing: Standing, additive: bool) -> Picture:
    """The error as members join, by each way of combining; for `additive` committees no member answers alone."""
    counted, n = standing.measure == "errors", standing.n
    alone = () if additive else [100 * s / n if counted else s for s in standing.scores]
    ends = [wilson(round(s / 100 * n), n) for s in scores[own]] if counted else []
    figure = growth(scores, own, alone=alone, intervals=[Interval(100 * e.low, 100 * e.high, e.level) for e in ends],
                    measure="errors, % of cases" if counted else standing.measure)
    return f"Errors on {n:,} validation cases as members join", to_file(figure)


def against(standing: Standing, part: str) -> Table:
    """The committee and each member on a part, best first, with intervals and paired tests."""
    counted, n = standing.measure == "errors", standing.n

    def cells(name: str, score: float, pair: Pair | None) -> list[str]:
        scores = [shown(score)]
        if counted:
            ends = wilson(round(score), n)
            scores = [f"{score:,.0f}", f"{shown(score / n, True)} %", f"{shown(ends.low, True)} to {shown(ends.high, True)} %"]
        if pair is None:
            return [name, *scores, "", "", ""]
        d = pair.difference
        apart = f"{shown(d.value, counted)} ({shown(d.low, counted)} to {shown(d.high, counted)})" + (" %" if counted else "")
        return [name, *scores, apart, probability(pair.p), probability(pair.p_corrected)]

    heads = ["net", "errors", "share", "95 % interval"] if counted else ["net", standing.measure]
    order = sorted(range(len(standing.names)), key=lambda i: standing.scores[i])
    rows = [cells(standing.names[i], standing.scores[i], standing.pairs[i]) for i in order]
    test = "exact McNemar" if counted else "paired sign flips"
    return Table(f"Against its members, on {part}", [*heads, "committee less it", "p", "p corrected"],
                 [cells("committee", standing.score, None), *rows],
                 f"{n:,} {part} cases, the same for all; {test}, corrected (Holm) for {len(order)} comparisons. "
                 f"{standing.pairs[order[0]].verdict}")


def membership(members: Sequence[tuple[str, str, int, str]], weights: Sequence[float] | None, voting: bool) -> Table:
    """Who belongs to it: name, family, parameters and place of each, with its vote or its step."""
    heads = [] if weights is None else ["vote" if voting else "step"]
    rows = [[name, family, f"{parameters:,}", *([] if weights is None else [f"{weights[i]:.3f}"]), place]
            for i, (name, family, parameters, place) in enumerate(members)]
    return Table("Members", ["net", "family", "parameters", *heads, "where"], rows, "")


def best_verdict(standing: Standing) -> str:
    """What the test says of the committee beside the best of its members."""
    return standing.pairs[min(range(len(standing.names)), key=lambda i: standing.scores[i])].verdict
