"""The sides of a race, each in a file of its own that is imported in its worker process alone; here is only what they are called."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from chainrule.bench.works import Setting

OURS = "chainrule"
EAGER = "torch eager"
BLOCK = 1_000  # rows a unit of predicting has


class Side(Protocol):
    """One way to do a work, in a process of its own.

    `settle` makes the choices that are its own (threads, plans) and returns them; `run` trains from the start for so many epochs, or
    predicts so many blocks of rows, and returns the moments at its beginning and, where it can tell, at the end of each unit; `learn`
    trains anew for so many epochs, untimed, over `Setting.batches` and says so, or over batches of its own; `outputs` says of the
    evaluated rows what the net trained last does; `remark` is what the table should say of it.
    """

    def settle(self) -> dict[str, Any]: ...

    def run(self, units: int, chosen: dict[str, Any]) -> list[float]: ...

    def learn(self, epochs: int) -> bool: ...

    def outputs(self) -> np.ndarray | tuple[np.ndarray, np.ndarray, np.ndarray]: ...

    def remark(self) -> str: ...


@dataclass(frozen=True)
class Entry:
    """Where a side is written, the modules it imports, and the environment its process needs."""

    place: str
    needs: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def absent(self) -> list[str]:
        return [name for name in self.needs if importlib.util.find_spec(name) is None]

    @property
    def versions(self) -> list[str]:
        return [f"{name} {_version_of(name)}" for name in self.needs]

    def make(self, setting: Setting) -> Side:
        module, _, name = self.place.partition(":")
        side: Side = getattr(importlib.import_module(module), name)(setting)
        return side


SIDES: dict[str, Entry] = {
    OURS: Entry("chainrule.bench.sides.chainrule:Ours"),
    EAGER: Entry("chainrule.bench.sides.loops:Eager"),
    "torch + DataLoader": Entry("chainrule.bench.sides.loops:Loaded"),
    "scikit-learn": Entry("chainrule.bench.sides.scikit_learn:Scikit", ("sklearn",)),
    "skorch": Entry("chainrule.bench.sides.skorch:Skorch", ("skorch",)),
    "Lightning": Entry("chainrule.bench.sides.lightning:Lightning", ("lightning",)),
    "Keras (jax)": Entry("chainrule.bench.sides.keras:Keras", ("keras", "jax"), {"KERAS_BACKEND": "jax"}),
    "Keras (torch)": Entry("chainrule.bench.sides.keras:Keras", ("keras",), {"KERAS_BACKEND": "torch"}),
}


def installed(names: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Those of the sides whose modules are there, and of each of the others the modules that are not."""
    absent = {name: SIDES[name].absent for name in names if SIDES[name].absent}
    return [name for name in names if name not in absent], absent


def _version_of(module: str) -> str:
    try:
        return version({"sklearn": "scikit-learn"}.get(module, module))
    except PackageNotFoundError:
        return ""
