"""What is to be drawn from a net that generates, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chainrule.core.options import option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Request:
    """How many samples are wanted, and how they are drawn; the options of `chainrule sample`."""

    n: int = option(1, "How many samples.", least=1)
    given: str | None = option(None, "What they begin with, a text to be written on; or the class that they are of.", example="ROMEO:")
    temperature: float = option(1.0, "Of the shares of the symbols: below 1 the likelier are drawn more often than they occur.", above=0)
    top_k: int | None = option(None, "Draw among so many likeliest symbols alone.", least=1, advice="Leave it out to draw among all.")
    length: int | None = option(None, "Symbols to be written, beside those that are given.", least=1, advice="Leave it out for 300.")
    seed: int | None = option(None, "What is drawn follows from it; the run's seed where left out.", least=0, most=2**63 - 1)
    steps: int | None = option(None, "Of nets whose samples come of a Markov chain: how many steps it takes.", least=1,
                               advice="Leave it out for the net's own number.")

    @property
    def of_symbols(self) -> list[str]:
        """The options in use that only samples made of symbols have."""
        usual = Request()
        return [name for name in ("given", "temperature", "top_k", "length") if getattr(self, name) != getattr(usual, name)]


@dataclass(frozen=True)
class Drawn:
    """Samples: `texts`, or `rows` (n, ...) in the units of the data, `columns` (n,) by name where these are of a table, (n * t,)
    where they are of a series of t steps.

    `given` is what all texts begin with, and stands in them; `notes` say in sentences what of the request could not be followed.
    """

    texts: tuple[str, ...] = ()
    rows: Tensor | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    given: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.texts) if self.rows is None else len(self.rows)


@dataclass(frozen=True)
class Sketch:
    """What a net makes in the middle of its training: `texts`, or sheets of `pictures` as `core.sheets` packs them."""

    texts: tuple[str, ...] = ()
    pictures: tuple[Mapping[str, Any], ...] = ()
