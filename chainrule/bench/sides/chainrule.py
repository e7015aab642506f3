"""Our side: what `chainrule train` does, events and choice of plan included, on an options string or the peers' own module."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule.bench.sides import BLOCK
from chainrule.bench.works import EVALUATED, MEMBERS, Setting
from chainrule.core.errors import Interrupted
from chainrule.core.events import Evaluated, Planned
from chainrule.core.text import counted
from chainrule.data.source import Part
from chainrule.engine.stop import Stop
from chainrule.job.job import Job

SETTLE_SECONDS = 20.0  # for plans that are only reached while running, and for what is remembered of them


class Ours:
    """Each run is a new job from the same seed; building it is not timed, everything that follows is."""

    def __init__(self, setting: Setting):
        self.work, self.source = setting.work, setting.source
        self.many = setting.work.kind == "members" and setting.variant != setting.work.variants[0]
        self.remarks = ""
        self.plan = self.settled = ""  # the plan it runs under, and the name of the one that it comes to in the end
        self.job: Job = self._fresh()

    def settle(self) -> dict[str, Any]:
        if self.work.kind == "predict" or self.many:
            self.run(1, {})
        elif not self.work.whole:
            self._train(self.work.budget, SETTLE_SECONDS)
            self.settled = self.plan.split(",")[0]
        return {}

    def run(self, units: int, chosen: dict[str, Any]) -> list[float]:
        if self.work.kind == "predict":
            return self._predict(units)
        if self.many:
            return self._train_members(units)
        return self._train(units, 0.0)

    def learn(self, epochs: int) -> bool:
        """From the start for just so many epochs, whatever plan they run under."""
        self.job, stop = self._fresh(), Stop()
        ended = 0
        for event in self.job.events(stop=stop) if epochs else ():
            ended += isinstance(event, Evaluated)
            if ended == epochs:
                stop.request("the end of the comparison")
        return True

    def outputs(self) -> np.ndarray | tuple[np.ndarray, np.ndarray, np.ndarray]:
        data, module = self.job.data, self.job.net.module.eval()
        if self.work.kind == "rbm":
            weight, visible, hidden = (self.job.net.params[n].detach().numpy() for n in ("weight", "visible_bias", "hidden_bias"))
            return weight, visible, hidden
        answers = []
        with torch.no_grad():
            for rows in data.valid.x[:EVALUATED].split(BLOCK):
                scores = module(data.ready(rows.to(self.job.device))).float().cpu()
                answers.append(scores if self.work.squared else scores.softmax(-1))
        return torch.cat(answers).numpy()

    def remark(self) -> str:
        return self.remarks

    def _fresh(self, seed: int = 0) -> Job:
        """The job at its start, whose validation is a number that falls, so that the last weights stay and nothing is measured."""
        job = self.work.job(self.source, seed)
        falling = itertools.count(0, -1)
        job.validate = lambda learner: {"loss": float(next(falling))}  # type: ignore[method-assign]
        return job

    def _train(self, units: int, least: float) -> list[float]:
        """So many epochs after the plan was last chosen, or the whole run; `least` seconds or the whole, if that is shorter.

        Under a plan that it will leave again it goes on: steady state is what it settled on when it was given time.
        """
        self.job = self._fresh()
        self.remarks = ""
        stop, began, later = Stop(), time.perf_counter(), False
        marks = [began]
        for event in self.job.events(stop=stop):
            now = time.perf_counter()
            if isinstance(event, Planned):
                self.plan, later = _described(event), bool(event.made[-1]["later"])
                self.remarks = " then ".join(filter(None, [self.remarks, self.plan]))
                marks = marks if self.work.whole else [now]
            elif isinstance(event, Evaluated):
                marks.append(now)
                arrived = self.plan.split(",")[0] == self.settled if self.settled else not later
                if not self.work.whole and len(marks) > units and now - began >= least and arrived:
                    stop.request("the end of the measurement")
        return marks

    def _train_members(self, units: int) -> list[float]:
        """The moments at which every member had ended an epoch; where they go in turn, 16 times what the first alone takes."""
        from chainrule.engine.members.grouping import train_members
        from chainrule.engine.members.groups import Member

        jobs = [self._fresh(seed) for seed in range(MEMBERS)]
        self.job, stop, began = jobs[0], Stop(), time.perf_counter()
        marks, ended = [began], [0] * MEMBERS
        kinds = [job.kind() for job in jobs]
        members = [Member(job.seat(None, stop, 0), job.remaking(), numbers, common)
                   for job, (common, numbers) in zip(jobs, kinds, strict=True)]
        for i, event in _until_stopped(train_members(members)):
            now = time.perf_counter()
            if isinstance(event, Planned) and i == 0:
                self.remarks, marks, ended = f"{_described(event)}; {event.reason}", [now], [0] * MEMBERS
            elif isinstance(event, Evaluated):
                ended[i] += 1
                if min(ended) == len(marks):
                    marks.append(now)
                in_turn = ended[0] == units and not any(ended[1:])
                if in_turn:
                    marks = [marks[0], marks[0] + MEMBERS * (now - marks[0])]
                if in_turn or len(marks) > units:
                    stop.request("the end of the measurement")
        return marks

    def _predict(self, blocks: int) -> list[float]:
        stored: Tensor = self.job.data.train.x
        rows = torch.arange(blocks * BLOCK) % len(stored)
        part = Part(stored[rows], None, rows)
        began = time.perf_counter()
        self.job.trained.predictions(part)
        return [began, time.perf_counter()]


def _until_stopped(events: Iterator[Any]) -> Iterator[Any]:
    """Events until the stop that was requested; a member that was still choosing its plan ends with an error of its own."""
    with suppress(Interrupted):
        yield from events


def _described(event: Planned) -> str:
    threads = event.made[-1]["made"]["threads"]
    return f"{event.name}, {event.precision}" + (f", {counted(threads, 'thread')}" if threads else "")
