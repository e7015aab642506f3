"""Answers that are strings of symbols: what transcription and translation share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor

from chainrule.core.criterion import Criterion
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.text import label
from chainrule.data.source import Part
from chainrule.evaluate.measures import step_means
from chainrule.evaluate.result import Baseline, Result
from chainrule.evaluate.significance import Cases
from chainrule.evaluate.strings import END, edit_distances
from chainrule.tasks.samples import SampleTask
from chainrule.tasks.task import Ready, Runner, baseline_of, numbered_names, validation_costs, watched


class StringTask(SampleTask):
    """Which symbols, in order; answers are their numbers (n, t), filled up with -1. Measured by edits a true symbol, and strings right."""

    watch: ClassVar[tuple[str, ...]] = ("edit_distance", "loss")

    @property
    def outputs(self) -> int:
        """A score for each symbol, and for none of them: a blank, or the end."""
        return len(self.target.classes) + 1

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        answer, truth = self.answer(self.raw(runner, part), loss), self.truth(part, runner.ready)
        away, sizes = edit_distances(answer, truth), (truth != END).sum(1)
        return {**validation_costs(runner, part, criterion), "edit_distance": float(away.sum() / sizes.sum()),
                "exact": float((away == 0).double().mean()), **watched(self, lambda: (answer, truth))}

    def truth(self, part: Part, ready: Ready) -> Tensor:
        numbers: Tensor = part.y
        return numbers

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        away, sizes = edit_distances(answer, truth), (truth != END).sum(1).clamp(min=1)
        edits = step_means(self.name, {"edit_distance": away / sizes}, weights=sizes)
        return replace(edits, measures={**edits.measures, **step_means(self.name, {"exact": (away == 0).double()}).measures})

    def outcomes(self, runner: Runner, part: Part, answer: Tensor, test_set: str) -> Cases:
        """The edits of each string, so counted that their mean is the edits a true symbol."""
        truth = self.truth(part, runner.ready)
        edits = edit_distances(answer, truth).double()
        return Cases(part.rows, test_set, costs=edits * len(part) / (truth != END).sum(), measure="edits a symbol")

    def constant(self, net: Net, part: Part, ready: Ready) -> Tensor:
        """The string that is there most often, (1, l)."""
        strings, counts = self.truth(part, ready).unique(dim=0, return_counts=True)
        most: Tensor = strings[counts.argmax()]
        return most[None]

    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        """Always the most frequent string."""
        answer, truth = self.constantly(constant, part, ready), self.truth(part, ready)
        return baseline_of(f"always {label(self.spelt(constant)[0])}", self.measure(answer, truth, seed=seed))

    def constantly(self, constant: Tensor, part: Part, ready: Ready) -> Tensor:
        return constant.expand(len(part), -1)

    def names(self, count: int) -> tuple[str, ...]:
        return numbered_names((), count)

    def columns(self, answer: Tensor, mask: Tensor | None = None) -> Mapping[str, Any]:
        return {"prediction": self.spelt(answer)}

    def spelt(self, answer: Tensor) -> list[str]:
        """Strings of symbols, with blanks between where a symbol is a word."""
        between = "" if all(len(name) == 1 for name in self.target.classes) else " "
        return [between.join(self.target.classes[number] for number in row if number != END) for row in answer.tolist()]
