"""What a task may be able to do beside the usual: protocols, asked for by isinstance, each one method or two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from chainrule.core.net import Net
from chainrule.core.sampling import Drawn, Request


@runtime_checkable
class HasBeam(Protocol):
    """A task whose answers are written symbol by symbol: of so many strings at once (`beam`) the likeliest is its answer."""

    beam: int


@runtime_checkable
class Draws(Protocol):
    """A task whose nets write on: samples of a net, which `runner` runs, whose outputs are answers by the link of `loss`.

    `constant` is what the constant answer is made of, None where there is none. Samples are recorded in training after the steps
    `drawn_at`, as `drawn_then` asks.
    """

    drawn_at: tuple[int, ...]
    drawn_then: Request

    def draw(self, runner: Any, request: Request, loss: Any, constant: Tensor | None) -> Drawn: ...


@runtime_checkable
class JudgesSamples(Protocol):
    """A task whose nets are judged by what they make: quick measures of samples beside a part."""

    def quick_of_samples(self, runner: Any, part: Any) -> dict[str, float]: ...


@runtime_checkable
class Scores(Protocol):
    """A task that says how strange rows are, the higher the stranger (n,): by what a net, which `runner` runs, misses of them."""

    def strangeness(self, runner: Any, part: Any, loss: Any) -> Tensor: ...


@runtime_checkable
class Watches(Protocol):
    """A task that measures more of a net after each epoch than its rule reports: by name, of rows (n, ...) as the net reads them."""

    def watched_on(self, net: Net, x: Tensor) -> dict[str, float]: ...


@runtime_checkable
class Decides(Protocol):
    """A task whose answers are shares of classes, one of which is decided for: class numbers (n,)."""

    threshold: Any

    def decided(self, answer: Tensor) -> Tensor: ...


@runtime_checkable
class HasMaps(Protocol):
    """A task whose answers are maps: the class number of each pixel, uint8 (n, h, w)."""

    def maps(self, answer: Tensor) -> Tensor: ...


@runtime_checkable
class HasPlaces(Protocol):
    """A task whose columns tell places in a picture: the same in pixels of pictures of the `height` and `width` that are told beside."""

    def placed(self, columns: Mapping[str, Any]) -> dict[str, Any]: ...


@runtime_checkable
class Calibrates(Protocol):
    """A task whose answers have intervals, half as wide as `widths` (k,) says, which follow from its answers to the validation part."""

    widths: Any

    def calibrate(self, answer: Tensor, truth: Tensor) -> None: ...


@runtime_checkable
class Continues(Protocol):
    """A task whose answers go on from a series: the values (n, lags, k) that went before, of stored rows (n, ...), in the targets' units,
    and columns of answers with the stamps that go on from the `origin` that is told beside.
    """

    def history(self, x: Tensor) -> Tensor: ...

    def continued(self, columns: Mapping[str, Any]) -> dict[str, Any]: ...


@runtime_checkable
class HasPosteriors(Protocol):
    """A task that reads symbols off frames: how probable each symbol, and none, is at every frame of outputs (n, t, symbols + 1) for
    frames x (n, t, d); zero past the last frame.
    """

    def posteriors(self, outputs: Tensor, x: Tensor) -> Tensor: ...


@runtime_checkable
class Ranks(Protocol):
    """A task that says how good each answer is, higher is better (n,), so that the worst can be shown."""

    def grades(self, answer: Tensor, truth: Tensor) -> Tensor: ...


@runtime_checkable
class AnswersConstantly(Protocol):
    """A task whose constant answer is one in the form of its answers: to each row of a part, of what `constant` holds."""

    def constantly(self, constant: Tensor, part: Any, ready: Any) -> Tensor: ...
