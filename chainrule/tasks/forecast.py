"""Forecast: what comes next in a series, so many steps ahead, with intervals, from every origin in turn.

Rolling origins: Tashman (2000), https://doi.org/10.1016/S0169-2070(00)00065-0; every step ahead has an output of its own: Marcellino, Stock
& Watson (2006), https://doi.org/10.1016/j.jeconom.2005.07.020
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion, Supervised
from chainrule.core.errors import InputError
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.registry import tasks
from chainrule.data.encode.encoder import Encoder
from chainrule.data.encode.lagged import Lagged, Lagging
from chainrule.data.readers.series import check_length
from chainrule.data.source import Part, Source
from chainrule.evaluate.forecasts import forecast, half_widths, quick_forecast, scaled_errors
from chainrule.evaluate.result import Baseline, Result
from chainrule.evaluate.significance import Cases
from chainrule.tasks.samples import SampleTask
from chainrule.tasks.task import Ready, Runner, validation_costs, watched

ORIGIN = "origin"                       # the label of a window: the stamp of its last step


@dataclass(frozen=True)
class OfLast(Supervised):
    """The loss of what a net says last of each window: of outputs (n, t, k) those of the last step, of (n, k) all."""

    def costs(self, outputs: Tensor, batch: Batch) -> Tensor:
        return super().costs(last(outputs), batch)


def last(outputs: Tensor) -> Tensor:
    """What nets that answer at every step (n, t, k) say at the last one, (n, k); other outputs as they are."""
    return outputs[:, -1] if outputs.dim() == 3 else outputs


def is_series(source: Source) -> bool:
    """Whether rows are windows of one series."""
    return isinstance(source.inputs, Lagged)


@tasks("forecast", source="Tashman (2000), https://doi.org/10.1016/S0169-2070(00)00065-0", targets=("real",), usual=is_series, net="ar")
class Forecast(SampleTask):
    """What comes so many steps ahead; answers are values (n, horizon * targets) in their units, all targets of the first step first.

    `widths` (horizon * targets,) are half as wide as 95 % intervals: the residuals of the validation part say so, for each step ahead.
    """

    name: ClassVar[str] = "forecast"
    watch: ClassVar[tuple[str, ...]] = ("mase", "loss")
    loss: ClassVar[str | None] = "squared"

    def __init__(self, encoder: Encoder):
        super().__init__(encoder)
        self.widths: Tensor | None = None

    @property
    def form(self) -> Lagging:
        """How the series is cut."""
        assert self.inputs.lagging is not None
        return self.inputs.lagging

    @staticmethod
    def read(source: Source, window: int, targets: bool = True) -> Source:
        """A series as its windows; without `targets` the last one alone, with its stamp as a label."""
        if not isinstance(source.inputs, Lagged):
            raise InputError(f"forecast foretells the next steps of a series; {source.name} is not read as one. Say how many steps ahead "
                             "with --horizon, and name its stamps with --time.")
        if targets:
            check_length(source.inputs, source.name)
            return source
        end = replace(source.inputs, ends=True)
        labels = {ORIGIN: end.stamps[end.origins].numpy()} if end.form.clock.name else {}
        return replace(source, inputs=end, targets=None, target_kind="none", times=None, labels=labels)

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None if loss is None else OfLast(loss)

    def raw(self, runner: Runner, part: Part, expected: int | None = None) -> Tensor:
        return last(super().raw(runner, part, expected))

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        raw = last(runner.plainly(part.x))
        answer, truth = self.answer(raw, loss), self.truth(part, runner.ready).cpu()
        return {**quick_forecast(answer, truth, self.form.errors), **validation_costs(runner, part, criterion, raw),
                **watched(self, lambda: (answer, truth))}

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        return self.target.unscale(super().answer(last(raw), loss))

    def truth(self, part: Part, ready: Ready) -> Tensor:
        """What came, (n, horizon * targets); empty where nobody knows yet."""
        return torch.empty(0) if part.y is None else self.target.unscale(part.y)

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        return forecast(answer, truth, self.form.errors, widths=self.widths, task=self.name)

    def outcomes(self, runner: Runner, part: Part, answer: Tensor, test_set: str) -> Cases:
        """The mean absolute scaled error of each origin, whose number is that of its step; neighbours foretell the same steps."""
        costs = scaled_errors(answer, self.truth(part, runner.ready), self.form.errors)
        return Cases(part.rows + self.form.lags - 1, test_set, costs=costs, measure="mean absolute scaled error", block=self.form.horizon)

    def calibrate(self, answer: Tensor, truth: Tensor) -> None:
        self.widths = half_widths(answer, truth)

    def naive(self, x: Tensor) -> Tensor:
        """The last value of each target, for every step ahead, (n, horizon * targets)."""
        return self.history(x)[:, -1].repeat(1, self.form.horizon)

    def constant(self, net: Net, part: Part, ready: Ready) -> Tensor:
        """Half widths (horizon * targets,) of the naive forecast's intervals, by its residuals in training."""
        return half_widths(self.naive(part.x[:]), self.truth(part, ready))

    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        """The naive forecast: the last value again and again."""
        result = forecast(self.naive(part.x[:]), self.truth(part, ready), self.form.errors, widths=constant, task=self.name)
        return Baseline("the naive forecast, the last value", result.measures)

    def constantly(self, constant: Tensor, part: Part, ready: Ready) -> Tensor:
        return self.naive(part.x[:])

    def history(self, x: Tensor) -> Tensor:
        """The targets (n, lags, targets) before each origin, in their units, of stored rows (n, ...)."""
        k = len(self.form.targets)
        seen = x.cpu().reshape(len(x), self.form.lags, -1)[..., :k]
        return self.target.unscale(seen.repeat(1, 1, self.form.horizon))[..., :k]

    def columns(self, answer: Tensor, mask: Tensor | None = None) -> Mapping[str, Any]:
        """A row for each step ahead of each origin: its number, and each target with both ends of its interval."""
        n, k, horizon = len(answer), len(self.form.targets), self.form.horizon
        steps = torch.arange(1, horizon + 1).repeat(n)
        columns: dict[str, Any] = {"sequence": torch.arange(1, n + 1).repeat_interleave(horizon).numpy(), "step": steps.numpy()}
        values = answer.reshape(n * horizon, k)
        for i, name in enumerate(self.form.targets):
            columns[name] = values[:, i].numpy()
            if self.widths is not None:
                half = self.widths.reshape(horizon, k)[:, i].repeat(n).to(values)
                columns |= {f"{name} low": (values[:, i] - half).numpy(), f"{name} high": (values[:, i] + half).numpy()}
        return columns

    def continued(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Columns whose origins have become the stamps of their steps, under the name of these; numbers of rows left out."""
        values = {name: column for name, column in columns.items() if name not in ("row", "row number", ORIGIN)}
        if ORIGIN not in columns:
            return values
        clock = self.form.clock
        origins, steps = list(columns[ORIGIN]), list(columns["step"])
        ahead = {origin: clock.after(origin, self.form.horizon).tolist() for origin in dict.fromkeys(origins)}
        stamps = [ahead[origin][step - 1] for origin, step in zip(origins, steps, strict=True)]
        return {clock.name: [clock.word(stamp) for stamp in stamps] if clock.dates else stamps, **values}
