"""A race: every side of a work in turns, A B C A B C, one process each and only one of them running; what each took and reached."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chainrule.bench.harness import Spread, ratio
from chainrule.bench.process import Failed, Worker
from chainrule.bench.sides import EAGER, OURS
from chainrule.bench.works import Work

SHARE = 4               # of the longest repetition: how long a peer that is too slow for whole ones is timed, over one unit at least
APART = 0.05            # of a loss: two sides that differ by more after the same work learn differently
PROBED = 2              # units of a first, uncounted run: the last of them says how long one takes once everything is warm


@dataclass
class Racer:
    """One side of a race and what was seen of it. `units` is what a repetition does: epochs, or blocks of rows."""

    name: str
    variant: str
    units: int
    whole: int
    skipped: int
    seconds: list[float] = field(default_factory=list)
    chosen: dict[str, Any] = field(default_factory=dict)
    remark: str = ""
    loss: float | None = None
    alike: bool = True   # whether its batches, when losses were compared, were those of all
    right: float | None = None
    failed: str = ""
    worker: Worker | None = None

    @property
    def label(self) -> str:
        return f"{self.name}, {self.variant}" if self.variant else self.name

    @property
    def reckoned(self) -> bool:
        """Whether the time of the whole is a multiple of what was measured."""
        return self.units < self.whole

    @property
    def spread(self) -> Spread:
        return Spread.of(self.seconds)


@dataclass
class Outcome:
    """A race run: our first variant, then our others, then the peers. `absent` names modules that are missing, by side."""

    work: Work
    racers: list[Racer]
    absent: dict[str, list[str]]
    threads: int = 0     # that every side may use; 0: not said

    @property
    def ours(self) -> Racer:
        return self.racers[0]

    @property
    def peers(self) -> list[Racer]:
        """The other sides that got a time."""
        return [r for r in self.racers if r.name != OURS and r.seconds]

    @property
    def fastest(self) -> Racer | None:
        """The fastest of the peers apart from the bare loop, which is compared by itself."""
        return min((r for r in self.peers if r.name != EAGER), key=lambda r: r.spread.middle, default=None)

    @property
    def eager(self) -> Racer | None:
        return next((r for r in self.peers if r.name == EAGER), None)

    def astray(self, racer: Racer) -> bool:
        """Whether a peer's loss after the same work is another than ours."""
        ours = self.ours.loss
        return (racer.name != OURS and racer.loss is not None and ours is not None
                and abs(racer.loss - ours) > APART * max(abs(ours), abs(racer.loss)))

    def against(self, peer: Racer, ours: Racer | None = None) -> Spread | None:
        """How many times longer the peer took, round by round; None where one of the two got no time."""
        ours = ours or self.ours
        return ratio(peer.seconds, ours.seconds) if ours.seconds and peer.seconds else None


def run(work: Work, peers: Iterable[str], absent: dict[str, list[str]], *, repeats: int, quick: bool, home: Path,
        say: Callable[[str], None], threads: int = 0) -> Outcome:
    """Race our variants and these peers `repeats` times, each with so many threads. What a side raises ends that side alone."""
    whole = work.budget if work.whole or work.kind == "predict" else work.timed + work.skipped
    skipped = 0 if work.whole or work.kind == "predict" else work.skipped
    racers = [Racer(OURS, variant, whole, whole, skipped) for variant in work.variants]
    racers += [Racer(name, "", whole, whole, skipped) for name in peers]
    with ExitStack() as stack:
        field_ = _Field(work, racers, quick, home, stack, threads)
        say(f"{work.name}: starting {len(racers)} processes")
        field_.start(racers)
        for racer in (r for r in racers if not r.failed):
            say(f"{work.name}: {racer.label}, warming up")
            field_.attempt(racer, field_.warm_up)
        for round_ in range(1, repeats + 1):
            if work.whole:  # what ours compiled must not stay in memory; the peers compile each new model anew
                field_.start([r for r in racers if r.name == OURS])
            for racer in (r for r in racers if not r.failed):
                say(f"{work.name}: round {round_} of {repeats}, {racer.label}")
                field_.attempt(racer, field_.time)
        for racer in racers:
            field_.attempt(racer, field_.look)
    for racer in racers:
        if racer.failed:  # half a series has no median that compares with a whole one
            racer.seconds = []
    return Outcome(work, racers, absent, threads)


class _Field:
    """The processes of a race, and what is asked of each in turn."""

    def __init__(self, work: Work, racers: list[Racer], quick: bool, home: Path, stack: ExitStack, threads: int):
        self.work, self.racers, self.quick, self.home, self.stack, self.threads = work, racers, quick, home, stack, threads

    def start(self, racers: list[Racer]) -> None:
        """A fresh process for each of these that has not failed, all at once: nothing is timed meanwhile."""
        for racer in racers:
            if racer.worker is not None:
                racer.worker.close()
            if not racer.failed:
                cold = self.work.whole and racer.variant == self.work.variants[0] and racer.name == OURS
                home = Path(self.stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))) if cold else self.home
                racer.worker = Worker(racer.name, self.work.name, racer.variant, self.quick, home, self.work.cuda, self.threads)
                self.stack.callback(racer.worker.close)
        for racer in racers:
            self.attempt(racer, lambda one: one.worker.ready())  # type: ignore[union-attr]

    def attempt(self, racer: Racer, step: Callable[[Racer], None]) -> None:
        if not racer.failed:
            try:
                step(racer)
            except Failed as error:
                racer.failed = str(error)

    def warm_up(self, racer: Racer) -> None:
        """Threads are chosen, caches filled, and whoever is too slow for whole repetitions is found out."""
        assert racer.worker is not None
        racer.chosen = racer.worker.ask(do="settle")["chosen"]
        if racer.name == OURS:
            if self.work.whole and racer.variant != self.work.variants[0]:
                racer.worker.ask(do="run", units=racer.units, chosen=racer.chosen)
            return
        probed = min(PROBED, racer.units)
        marks = racer.worker.ask(do="run", units=probed, chosen=racer.chosen)["marks"]
        each = marks[-1] - marks[-2] if len(marks) > probed else (marks[-1] - marks[0]) / probed
        if each * racer.units > self.work.longest and racer.units > 1:
            racer.units, racer.skipped = max(1, int(self.work.longest / SHARE / each)), 0

    def time(self, racer: Racer) -> None:
        """One repetition: seconds of the whole, or of one epoch in steady state."""
        assert racer.worker is not None
        answer = racer.worker.ask(do="run", units=racer.units, chosen=racer.chosen)
        marks, racer.remark = answer["marks"], answer["remark"]
        if self.work.whole or self.work.kind == "predict":
            racer.seconds.append((marks[-1] - marks[0]) * racer.whole / racer.units)
        elif len(marks) > racer.units:
            racer.seconds.append((marks[-1] - marks[racer.skipped]) / (len(marks) - 1 - racer.skipped))
        else:
            racer.seconds.append((marks[-1] - marks[0]) / racer.units)

    def look(self, racer: Racer) -> None:
        """The loss after the same work for all, on the same rows for all, once the timing is over."""
        assert racer.worker is not None
        answer = racer.worker.ask(do="loss")
        racer.loss, racer.right, racer.alike = answer["loss"], answer["right"], answer["alike"]
