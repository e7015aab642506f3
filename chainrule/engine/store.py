"""What of a run is on disk: `last.safetensors` to go on from, `previous.safetensors` behind it, `best.safetensors` to use; snapshots."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.files import free_bytes, remove_strays
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.core.schema import intelligible
from chainrule.core.tree import Tree, leaves
from chainrule.engine import checkpoint
from chainrule.engine.randomness import Randomness
from chainrule.engine.saved import position_of

if TYPE_CHECKING:
    from chainrule.engine.position import Position

LAST, PREVIOUS, BEST = "last.safetensors", "previous.safetensors", "best.safetensors"
REMEDY = "Use the one before it, or train again."
SNAPSHOT = "snapshot-{}.safetensors"


@dataclass(frozen=True)
class Restored:
    """A checkpoint taken back: its rule state still packed, and a sentence for each newer one that was refused."""

    tensors: dict[str, Tensor]
    position: Position
    best: dict[str, Tensor]
    warnings: list[str]


class Store:
    """The checkpoints of one run folder. Saving is atomic; the checkpoint before the last is always kept."""

    def __init__(self, folder: Path, run: str):
        self.folder, self.run = folder, run
        self._best_saved: int | None = None

    def check_room(self, net: Net, state: Tree) -> None:
        """Raises InputError where the disk does not hold the two checkpoints that are kept, and the best weights beside them."""
        weights = sum(t.nbytes for t in net.tensors.values())
        needed = 2 * (2 * weights + sum(t.nbytes for t in leaves(state))) + weights
        free = free_bytes(self.folder)
        if free is not None and free < needed:
            raise InputError(f"{self.folder}: two checkpoints of this training, and its best weights, take {needed:,} bytes, and {free:,} "
                             "are free. Free some space, or use another --out.")

    def save(self, net: Net, state: Tree, best: dict[str, Tensor], randomness: Randomness, position: Position) -> Path:
        """Everything that exact resumption needs, in one file. Raises OSError; the file before it is then untouched."""
        random_tensors, random_plain = randomness.state()
        tensors = checkpoint.pack({"net": net.tensors, "state": state, "best": best, "random": random_tensors}, "run")
        payload = {"kind": "last", "run": self.run, "position": asdict(position), "random": random_plain}
        checkpoint.write(self.folder / LAST, tensors, payload, keep=self.folder / PREVIOUS)
        return self.folder / LAST

    def save_best(self, best: dict[str, Tensor], position: Position) -> None:
        """The best weights alone, under the module's own names; written only when they have changed."""
        step = position.best.get("step", -1)
        if step != self._best_saved or not (self.folder / BEST).exists():
            checkpoint.write(self.folder / BEST, best, {"kind": "best", "run": self.run, "best": position.best})
            self._best_saved = step

    def save_snapshot(self, number: int, tensors: dict[str, Tensor]) -> None:
        """The weights at the end of a cycle. Raises OSError."""
        checkpoint.write(self.snapshot(number), tensors, {"kind": "snapshot", "run": self.run, "number": number})

    def snapshot(self, number: int) -> Path:
        """Where the weights at the end of cycle `number` are."""
        return self.folder / SNAPSHOT.format(number)

    def load_snapshot(self, number: int, net: Net) -> None:
        """Put the weights at the end of a cycle into `net`. Raises CorruptFile naming the file, InputError where there is none."""
        _put(net, self._read(self.snapshot(number), "snapshot")[0], self.snapshot(number))

    def events_before(self) -> int | None:
        """How many events the run had handed out when it was last saved whole; None where it was not."""
        position = self.position()
        return position.at if position else None

    def position(self) -> Position | None:
        """Where the run was when it was last saved whole; None where it was not."""
        newest = self._newest()
        return self._position(newest[1], newest[2]) if newest else None

    def restore(self, net: Net, randomness: Randomness) -> Restored | None:
        """Put the last whole checkpoint into `net` and `randomness`; None where the run has not saved yet.

        Only for whoever holds the run's lock: what a killed process left half-written is removed, and a corrupt last
        checkpoint gives way to the one before it, so that the next save does not drop the only whole one.
        """
        remove_strays(self.folder)
        newest = self._newest()
        if not newest:
            return None
        tensors, payload, path, refused = newest
        if refused:
            path.replace(self.folder / LAST)
        weights = _of(net, tensors, path, "run/net")
        position = self._position(payload, path)
        best = _of(net, tensors, path, "run/best") if position.best else {}
        with intelligible(path, REMEDY):
            drawn = {k: tensors.get(f"run/random/{k}") for k in ("torch", "numpy", "python", "cuda")}
            randomness.restore({k: t for k, t in drawn.items() if t is not None}, payload["random"])
        net.put(weights)              # last: of a file that is refused, nothing is taken
        warnings = [f"{w} Went on from {path.name}." for w in refused]
        if (self.folder / BEST).exists():
            try:
                self._read(self.folder / BEST, "best")
            except CorruptFile as error:
                warnings.append(f"{error} It is written anew from {path.name}.")
        return Restored(tensors, position, best, warnings)

    def state_into(self, learner: Learner, tensors: dict[str, Tensor]) -> Learner:
        """The learner with the rule state that a checkpoint holds, on its own device."""
        state = checkpoint.unpack(tensors, learner.state, "run/state", self.folder / LAST)
        return Learner(learner.net, _to(state, learner.net.device))

    def load_best(self, net: Net) -> list[str]:
        """Put the best weights into `net`. A corrupt file is refused by name and the copy in the last checkpoint used."""
        tensors, refused = self.best_weights()
        _put(net, tensors, self.folder / BEST)
        return refused

    def best_weights(self) -> tuple[dict[str, Tensor], list[str]]:
        """The best weights, by the module's own names; of a corrupt file the copy in the last checkpoint, and a sentence that says so."""
        try:
            return self._read(self.folder / BEST, "best")[0], []
        except CorruptFile as error:
            newest = self._newest()
            if not newest:
                raise
            tensors, payload, path, _ = newest
            prefix = "run/best/" if self._position(payload, path).best else "run/net/"
            weights = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            return weights, [f"{error} Took the best weights from {path.name}."]

    def _position(self, payload: dict[str, Any], path: Path) -> Position:
        """Where a checkpoint says that the run was. Raises CorruptFile where it says what no run writes."""
        with intelligible(path, REMEDY):
            return position_of(payload)

    def _newest(self) -> tuple[dict[str, Tensor], dict[str, Any], Path, list[str]] | None:
        """The newest whole checkpoint to go on from, with a sentence for the corrupt one passed over; None where there are none.

        Raises CorruptFile where all are bad. What another version wrote is whole, and never passed over: InputError.
        """
        refused: list[CorruptFile] = []
        for path in (self.folder / LAST, self.folder / PREVIOUS):
            if path.exists():
                try:
                    return (*self._read(path, "last"), path, [str(e) for e in refused])
                except CorruptFile as error:
                    refused.append(error)
        if refused:
            raise refused[0]
        return None

    def _read(self, path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """A whole checkpoint of this run and kind. Raises CorruptFile where it is another's."""
        tensors, payload = checkpoint.read(path)
        if payload.get("run") != self.run or payload.get("kind") != kind:
            raise CorruptFile(f"{path} belongs to run {payload.get('run')} ({payload.get('kind')}), not here. "
                              "Put the right file back, or train again.")
        return tensors, payload


def _put(net: Net, tensors: dict[str, Tensor], path: Path) -> None:
    """Copy the whole of a file of weights into `net`."""
    net.put(_of(net, tensors, path))


def _of(net: Net, tensors: dict[str, Tensor], path: Path, under: str = "") -> dict[str, Tensor]:
    """The tensors of a net under a name of a file, or in all of it. Raises InputError for weights that are missing or misshapen.

    Buffers may have other shapes than the net's, or be absent there: forward passes make them what they are.
    """
    flat = tensors if under else {f"weights/{name}": t for name, t in tensors.items()}
    prefix = f"{under or 'weights'}/"
    mine = {name.removeprefix(prefix): t for name, t in flat.items() if name.startswith(prefix)}
    shaped = set(net.params) | set(net.frozen)
    fixed = {name: t for name, t in net.tensors.items() if name in shaped or name not in mine}
    checkpoint.unpack({f"{prefix}{name}": t for name, t in mine.items() if name in fixed}, fixed, prefix[:-1], path)
    return mine


def _to(tree: Tree, device: torch.device) -> Tree:
    return {k: _to(v, device) for k, v in tree.items()} if isinstance(tree, dict) else tree.to(device).clone()
