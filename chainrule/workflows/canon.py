"""The scoreboard: every system of the canon, what must hold of it, and what the recipes that prove it measure here and now.

A row names its recipes. One that is registered is run; one that is not yet is said to be missing. What runs a recipe is given as a
function, so that nothing here knows a recipe.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from chainrule.core.errors import ChainruleError, InputError, suggest
from chainrule.core.text import counted, table
from chainrule.evaluate.significance import probability

Verdict = Literal["reached", "missed", "in part", "not judged", "could not run", "not built yet"]
Attempt = Callable[[str], Mapping[str, Any]]  # a recipe's name to its outcome as plain values


@dataclass(frozen=True)
class Check:
    """What a recipe proves of a row: its headline in words, the figure published for it (None where none is), and the source."""

    recipe: str
    what: str
    published: float | None
    source: str


@dataclass(frozen=True)
class Row:
    """A system that must be trained: its number in the canon, its name, and the recipes that prove it, the first of them the headline."""

    name: str
    system: str
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Score:
    """What became of one check: the recipe's outcome, {} where none came, the verdict, `reason` where it could not run, and seconds."""

    check: Check
    verdict: Verdict
    outcome: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0

    @property
    def headline(self) -> Mapping[str, Any]:
        """The figure to show: the first that was missed, else the first; {} where there is none."""
        figures: Sequence[Mapping[str, Any]] = self.outcome.get("figures", ())
        return next((f for f in figures if f["reached"] is False), figures[0] if figures else {})

    @property
    def published(self) -> float | None:
        """The published value of the figure shown; the check's own where nothing ran."""
        return self.headline["published"]["value"] if self.headline else self.check.published

    @property
    def ours(self) -> float | None:
        return self.headline["ours"]["value"] if self.headline else None

    @property
    def measured(self) -> str:
        """Our figure with five digits, a bound for a p value that a float does not hold; a dash where there is none."""
        return number(self.ours) if self.ours is None or not self.headline["probability"] else probability(self.ours, 5)

    @property
    def interval(self) -> list[float] | None:
        return self.headline["ours"]["interval"] if self.headline else None

    def to_json(self) -> dict[str, Any]:
        return {"recipe": self.check.recipe, "what": self.check.what, "published": self.published, "source": self.check.source,
                "ours": self.ours, "interval": self.interval, "verdict": self.verdict, "reason": self.reason,
                "seconds": round(self.seconds, 3), "figures": list(self.outcome.get("figures", ())),
                "notes": list(self.outcome.get("notes", ()))}


@dataclass(frozen=True)
class Standing:
    """A row with the scores of its checks."""

    row: Row
    scores: tuple[Score, ...]

    @property
    def verdict(self) -> Verdict:
        """The gravest of its checks' verdicts; `in part` where some are not built yet."""
        verdicts = {score.verdict for score in self.scores}
        for grave in ("missed", "could not run"):
            if grave in verdicts:
                return grave
        if "not built yet" in verdicts:
            return "not built yet" if verdicts == {"not built yet"} else "in part"
        return "not judged" if "not judged" in verdicts else "reached"

    @property
    def words(self) -> str:
        """The verdict, and where it is not of the whole row, of how many checks it holds: `in part, 2 of 3`."""
        if self.verdict not in ("in part", "not judged"):
            return self.verdict
        return f"{self.verdict}, {sum(score.verdict == 'reached' for score in self.scores)} of {len(self.scores)} reached"

    @property
    def headline(self) -> Score:
        """The score to show for the row: the first as grave as the row, else the first that ran, else the first."""
        ran = [score for score in self.scores if score.outcome]
        return next((s for s in self.scores if s.verdict == self.verdict and s.verdict in ("missed", "could not run")),
                    ran[0] if ran else self.scores[0])

    @property
    def seconds(self) -> float:
        return sum(score.seconds for score in self.scores)

    def to_json(self) -> dict[str, Any]:
        head = self.headline
        return {"row": self.row.name, "system": self.row.system, "published": head.published, "source": head.check.source,
                "ours": head.ours, "interval": head.interval, "verdict": self.verdict, "seconds": round(self.seconds, 3),
                "what": head.check.what, "checks": [score.to_json() for score in self.scores]}


def chosen(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The rows of these names, or of these letters (`B` is all of B); all without any. Raises InputError that offers the nearest."""
    if not names:
        return list(rows)
    known = {row.name: row for row in rows}
    wanted: dict[str, Row] = {}
    for name in (n.strip().upper() for n in names):
        several = [row for row in rows if row.name == name or row.name.rstrip("0123456789") == name]
        if not several:
            raise InputError(f"The canon has no row '{name}'. {suggest(name, known)} A letter alone names all of its rows.")
        wanted |= {row.name: row for row in several}
    return [row for row in rows if row.name in wanted]


def score(rows: Sequence[Row], built: Collection[str], attempt: Attempt, say: Callable[[str], None]) -> list[Standing]:
    """Every row's checks run by `attempt`, those of recipes in `built`; a recipe that several rows name runs once.

    What the user can mend, such as a data set that is not there, is a row's reason and not the end of the others.
    """
    scores: dict[str, tuple[Verdict, Mapping[str, Any], str, float]] = {}
    standings = []
    for row in rows:
        say(f"{row.name} {row.system}")
        own = []
        for check in row.checks:
            if check.recipe not in scores:
                scores[check.recipe] = _ran(check.recipe, attempt) if check.recipe in built else ("not built yet", {}, "", 0.0)
            verdict, outcome, reason, seconds = scores[check.recipe]
            own.append(Score(check, verdict, outcome, reason, seconds))
        standings.append(Standing(row, tuple(own)))
    return standings


def _ran(recipe: str, attempt: Attempt) -> tuple[Verdict, Mapping[str, Any], str, float]:
    start = time.perf_counter()
    try:
        outcome = attempt(recipe)
    except ChainruleError as error:
        return "could not run", {}, str(error), time.perf_counter() - start
    judged = [figure["reached"] for figure in outcome["figures"] if figure["reached"] is not None]
    verdict: Verdict = "not judged" if not judged else "reached" if all(judged) else "missed"
    return verdict, outcome, "", time.perf_counter() - start


def number(value: float | None) -> str:
    """A figure with at most five digits, and a dash for none."""
    return "-" if value is None else f"{value:.5g}"


def ends(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"


HEADS = ("row", "recipe", "published", "ours", "95 % interval", "verdict", "s")


def cells(standings: Sequence[Standing]) -> list[list[str]]:
    """A line a check: the row's name stands at its first."""
    return [[standing.row.name if at == 0 else "", one.check.recipe, number(one.published), one.measured, ends(one.interval),
             one.verdict, f"{one.seconds:.1f}" if one.outcome or one.reason else ""]
            for standing in standings for at, one in enumerate(standing.scores)]


def summary(standings: Sequence[Standing]) -> str:
    """How many rows ended how, in words."""
    verdicts = [standing.verdict for standing in standings]
    order: tuple[Verdict, ...] = ("reached", "missed", "in part", "not judged", "could not run", "not built yet")
    return f"{counted(len(standings), 'row')}: " + ", ".join(f"{verdicts.count(v)} {v}" for v in order if v in verdicts)


def lines(standings: Sequence[Standing]) -> list[str]:
    """The scoreboard for a terminal: the table, then what could not run and why, then the counts."""
    reasons = [f"{s.row.name} {one.check.recipe}: {one.reason}" for s in standings for one in s.scores if one.reason]
    return [*table([list(HEADS), *cells(standings)], left=(0, 1, 5), indent=""), "", *reasons, summary(standings)]
