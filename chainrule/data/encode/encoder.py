"""The encoder: its two parts, of inputs and of targets, fitted on the training rows alone and kept with the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.traits import Range
from chainrule.data.encode.input_encoder import InputEncoder
from chainrule.data.encode.target_encoder import TargetEncoder
from chainrule.data.encode.vocabulary import UNKNOWN
from chainrule.data.source import Source, TargetKind

FORMAT = 5


@dataclass(frozen=True)
class Like:
    """How a net that is started from reads rows, where it is known how its targets were encoded."""

    inputs: InputEncoder
    target: TargetEncoder | None = None


def symbols_of(source: Source, rows: Tensor) -> tuple[str, ...]:
    """The symbols of the strings that these rows have as targets, in the order of the classes, and one for all others."""
    present = set(source.targets[rows].unique().tolist())
    return (*(name for number, name in enumerate(source.classes) if number in present and name != UNKNOWN), UNKNOWN)


@dataclass(frozen=True)
class Encoder:
    """What turns the rows of a source into what a net reads, `inputs`, and into what its answers are held against, `target`."""

    inputs: InputEncoder
    target: TargetEncoder

    @classmethod
    def fit(cls, source: Source, rows: Tensor, *, target: TargetKind, range: Range = "standard", flatten: bool = False,
            classes: Sequence[str] = (), maximum: float | None = None, bounded: bool = False, codes: bool = False,
            like: Like | None = None) -> Encoder:
        """Learn from `rows` of the source and from nothing else.

        `maximum` is the largest value a pixel can have, where known; `codes` says that a net looks the numbers of an array up; `bounded`
        scales numeric targets to [-1, 1], the extremes of these rows. Without `classes` those of a text, and of strings that are
        written from symbols, are its symbols in these rows, and one for all others. With `like`, rows become what they became for the net
        that is started from.
        """
        inputs = InputEncoder.fit(source, rows, range=range, flatten=flatten, maximum=maximum, codes=codes,
                                  like=None if like is None else like.inputs)
        follows = (inputs.vocabulary is not None and source.inputs.next_symbol and source.target_kind in ("class", "steps")
                   and target in ("class", "steps") and not classes)
        written = inputs.vocabulary is not None and target == "labels"
        if inputs.vocabulary is not None and follows:
            classes = inputs.vocabulary.names
        if written:
            classes = symbols_of(source, rows)
        targets = TargetEncoder.fit(source, rows, target, classes=classes, open=follows or written, bounded=bounded,
                                    like=None if like is None else like.target)
        return cls(replace(inputs, notes=(*inputs.notes, *targets.remarks(source, rows))), targets)

    def to_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors for safetensors and a JSON-able rest, from which `from_state` makes an equal encoder."""
        tensors: dict[str, Tensor] = {}
        meta: dict[str, Any] = {"format": FORMAT}
        for name, part in (("inputs", self.inputs), ("target", self.target)):
            own, meta[name] = part.to_state()
            tensors |= {f"{name}.{key}": tensor for key, tensor in own.items()}
        return tensors, meta

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor], meta: dict[str, Any], where: Path | str = "the encoder") -> Encoder:
        """The encoder that `to_state` described. Raises InputError, which begins with `where`, where another version did."""
        if meta.get("format") != FORMAT:
            raise InputError(f"{where} was saved in format {meta.get('format')}; this version of chainrule reads {FORMAT}. Use the version "
                             "that saved it.")

        def own(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}

        return cls(InputEncoder.from_state(own("inputs"), meta["inputs"]), TargetEncoder.from_state(own("target"), meta["target"]))
