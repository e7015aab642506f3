"""What a program is: data, a net, how it is trained, and where it is faulty the planted cause and the healthy twin it was made from."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor, nn

from chainrule.core.errors import InputError, suggest

Family = Literal["mlp", "convolutional", "recurrent", "autoencoder", "gan", "rbm"]
Half = Literal["tune", "report"]
HALVES_SEED = 15            # that divides the programs into the two halves
STEPS = 400
RESTORED = 0.95             # of the twin's score: below it a fault does harm, from it on a remedy works
SETTINGS: Mapping[str, Any] = {"plan": "eager", "device": "cpu", "threads": 1}

# The squared error, and minus the pseudo-likelihood, of who always answers the mean of the digits' training rows.
CONSTANT = {"squared_error": 4.7, "pseudo_likelihood": -24.5}


@dataclass(frozen=True)
class Program:
    """One training by chainrule's public library.

    `options` are those of `chainrule.train`; `net` makes a module of one's own and `loss` is one, where the fault lies in user code.
    `measure` says how well it went, from 0 to 1, see `runs.score`. A healthy one `reaches` a score, and is a `hard` negative where it
    looks as if something were wrong; one that is not `judged` is a twin alone, since something is wrong with it too. A faulty one has its
    `cause`: the planted diagnosis, then codes that name the same thing; `twin` is the program without the fault.
    """

    name: str
    family: Family
    data: str
    options: Mapping[str, Any] = field(default_factory=dict)
    net: Callable[[], nn.Module] | None = None
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    measure: str = "accuracy"
    reaches: float = 0.0
    hard: bool = False
    judged: bool = True
    cause: tuple[str, ...] = ()
    twin: str = ""

    @property
    def healthy(self) -> bool:
        return not self.cause

    def all_options(self) -> dict[str, Any]:
        """The options as they are passed on."""
        return {**SETTINGS, "steps": STEPS, **self.options}

    def faulty(self, name: str, *cause: str, data: str | None = None, net: Callable[[], nn.Module] | str | None = None,
               loss: Callable[[Tensor, Tensor], Tensor] | str | None = None, **options: Any) -> Program:
        """Itself with a fault planted: other options, data, or code of the user's own."""
        named = {key: value for key, value in (("net", net), ("loss", loss)) if isinstance(value, str)}
        mine = {key: value for key, value in self.options.items() if not (callable(net) and key in ("net", "init"))}
        mine = {key: value for key, value in mine.items() if not (callable(loss) and key == "loss")}
        return replace(self, name=name, data=data or self.data, options={**mine, **named, **options}, cause=cause, twin=self.name,
                       net=net if callable(net) else None if isinstance(net, str) else self.net,
                       loss=loss if callable(loss) else None if isinstance(loss, str) else self.loss, reaches=0.0, hard=False, judged=True)

    def record(self) -> dict[str, Any]:
        """What identifies it in a file of results: another fault under the same name is another program."""
        return {"name": self.name, "data": self.data, "options": dict(self.options), "net": _called(self.net), "loss": _called(self.loss),
                "cause": list(self.cause), "twin": self.twin, "measure": self.measure}


def _called(function: Any) -> str:
    return "" if function is None else getattr(function, "__qualname__", type(function).__name__)


class Registered(dict[str, Program]):
    """Programs by name, each once."""

    def add(self, program: Program) -> Program:
        if program.name in self:
            raise ValueError(f"two programs are called {program.name}")
        self[program.name] = program
        return program


def half_of(programs: Iterable[Program]) -> dict[str, Half]:
    """Which half each program is in: every second one of the faulty, the healthy and the hard ones, in an order drawn by `HALVES_SEED`."""
    groups: dict[tuple[bool, bool], list[str]] = {}
    for program in programs:
        groups.setdefault((program.healthy, program.hard), []).append(program.name)
    halves: dict[str, Half] = {}
    for key in sorted(groups):
        names = sorted(groups[key])
        random.Random(HALVES_SEED).shuffle(names)
        halves |= {name: "tune" if at % 2 == 0 else "report" for at, name in enumerate(names)}
    return halves


def find(name: str, programs: Mapping[str, Program]) -> Program:
    """Raises InputError naming the nearest."""
    if name not in programs:
        raise InputError(f"There is no program called '{name}'. {suggest(name, programs)}")
    return programs[name]
