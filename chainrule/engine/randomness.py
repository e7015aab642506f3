"""The random state of a run, kept apart from the caller's: what the user draws between events does not reach training."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

ONE_AT_A_TIME = threading.RLock()  # there is one set of generators in a process, whichever thread draws


class Randomness:
    """A context: inside it the global generators (torch, NumPy, Python, CUDA) are this run's; outside, the caller's.

    Runs in several threads enter it one at a time, so that none draws another's numbers.
    """

    def __init__(self, seed: int, device: torch.device):
        self.cuda = device if device.type == "cuda" else None
        with ONE_AT_A_TIME:
            outside = self._capture()
            torch.default_generator.manual_seed(seed)
            if self.cuda is not None:
                torch.cuda.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            self.inside = self._capture()
            self._install(outside)
        self._outside: dict[str, Any] | None = None

    def __enter__(self) -> None:
        ONE_AT_A_TIME.acquire()
        self._outside = self._capture()
        self._install(self.inside)

    def __exit__(self, *_: object) -> None:
        self.inside = self._capture()
        assert self._outside is not None
        self._install(self._outside)
        ONE_AT_A_TIME.release()

    def _capture(self) -> dict[str, Any]:
        state = {"torch": torch.get_rng_state(), "numpy": np.random.get_state(), "python": random.getstate()}
        if self.cuda is not None:
            state["cuda"] = torch.cuda.get_rng_state(self.cuda)
        return state

    def _install(self, state: dict[str, Any]) -> None:
        torch.set_rng_state(state["torch"])
        np.random.set_state(state["numpy"])
        random.setstate(state["python"])
        if self.cuda is not None and "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], self.cuda)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON that `restore` takes back."""
        kind, keys, position, has_gauss, gauss = self.inside["numpy"]
        tensors = {"torch": self.inside["torch"], "numpy": torch.from_numpy(keys.astype(np.int64))}
        if "cuda" in self.inside:
            tensors["cuda"] = self.inside["cuda"]
        version, words, python_gauss = self.inside["python"]
        tensors["python"] = torch.tensor(words, dtype=torch.int64)
        return tensors, {"numpy": [kind, int(position), int(has_gauss), float(gauss)], "python": [version, python_gauss]}

    def restore(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take back what `state` gave. Raises what the generators do for a state that is none of theirs; the old one then stays."""
        kind, position, has_gauss, gauss = plain["numpy"]
        inside = {"torch": tensors["torch"],
                  "numpy": (kind, tensors["numpy"].numpy().astype(np.uint32), position, has_gauss, gauss),
                  "python": (plain["python"][0], tuple(tensors["python"].tolist()), plain["python"][1])}
        if "cuda" in tensors:
            inside["cuda"] = tensors["cuda"]
        with ONE_AT_A_TIME:
            outside = self._capture()
            try:
                self._install(inside)
            finally:
                self._install(outside)
        self.inside |= inside


class Aside(Randomness):
    """A context in which anything may draw random numbers, from a given seed, and nobody outside notices."""
