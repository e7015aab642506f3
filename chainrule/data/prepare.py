"""From a raw source to what a network trains on: split, encoded by its training rows alone, the test part behind its door."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from chainrule.core.errors import InputError, suggest
from chainrule.core.text import counted
from chainrule.core.traits import Range
from chainrule.data.encode.columns import is_number
from chainrule.data.encode.encoder import Encoder, Like
from chainrule.data.encode.input_encoder import silent
from chainrule.data.encode.rows import gather
from chainrule.data.encode.targets import AS_CLASSES, AS_NUMBER, BOOLEAN, as_codes, as_numbers
from chainrule.data.encode.vocabulary import SHARES, Symbols
from chainrule.data.giving_targets import giving_targets
from chainrule.data.readers import catalog
from chainrule.data.source import Data, Door, Opening, Part, Source, TargetKind
from chainrule.data.splits import Splits, marked, sample, split
from chainrule.data.weights import one_on_average, product

FEW_CLASSES = 20  # of numbers, even in a short table
NO_CLASSES = {"none": "absent", "real": "numbers", "sign": "signs", "steps": "labels of steps", "labels": "strings",
              "pairs": "labels of pairs of steps", "maps": "maps", "boxes": "boxes"}


def prepare(source: Source, *, split: Mapping[str, float] | Splits | None = None, seed: int = 0, range: Range = "standard",
            target: TargetKind | Literal["auto"] = "auto", flatten: bool = False, classes: Sequence[str] | None = None,
            weights: Tensor | None = None, rows: Tensor | None = None, limit: int | None = None,
            open_log: Callable[[str], Opening] | None = None, bounded: bool = False, codes: bool = False, like: Like | None = None) -> Data:
    """Split, fit the encoder on the training rows, and encode.

    `split` holds shares of train, valid and test, or the rows themselves; without it the usual division of a named set is
    taken, for a text .765, .085, .15 in its order, else .7, .15, .15. `classes` keeps only these, in this order; `rows` only
    these rows; `limit` at most so many training rows. What follows in a text is a symbol that training saw, or the unknown
    one. `weights` (n of the source) multiply those the source has; scaled to a mean of 1, they weigh the training rows alone.
    `codes` are whole numbers that the net looks up; `like` says how rows are read by the net that is started from. Raises InputError.
    """
    if len(source) < 2:
        raise InputError(f"{source.name} has {counted(len(source), 'sample')}; learning and checking need at least one "
                         "each. Give more rows.")
    source, kind = _as_target(source, target)
    chosen = torch.arange(len(source)) if rows is None else rows.sort().values
    names = source.classes
    if classes is not None:
        names, chosen = _only(source, classes, chosen)
    if kind in ("class", "sign"):
        _refuse_constant(source, names, chosen)
    if kind == "sign" and len(names) != 2:
        raise InputError(f"this rule needs targets in {{-1, +1}}; {source.name} has {len(names)} classes. "
                         f"Pick two with --classes {','.join(names[:2])}, or use --rule backprop.")
    parts = split if isinstance(split, Splits) else _divided(source, split, seed, chosen)
    del chosen  # at 20 million rows a list of them takes 160 MB
    if limit is not None:
        parts = replace(parts, train=sample(source, parts.train, limit, seed))
    follows = isinstance(source.inputs, Symbols) and source.inputs.next_symbol and kind in ("class", "steps") and classes is None
    open_ended = follows or (isinstance(source.inputs, Symbols) and kind == "labels")
    if kind in ("class", "sign") and not open_ended:
        _refuse_unseen(source, parts)
    maximum = catalog.traits(source).maximum
    encoder = Encoder.fit(source, parts.train, target=kind, range=range, flatten=flatten, bounded=bounded, codes=codes, like=like,
                          classes=names if kind not in ("real", "none") and not open_ended else (), maximum=maximum)
    inputs, targets = encoder.inputs, encoder.target
    every = product(source.weights, None if weights is None else _weights(weights, source))
    weight = None if every is None else one_on_average(gather(every, parts.train), source.name)

    def part(at: Tensor, weight: Tensor | None = None) -> Part:
        return Part(inputs.encode(source, at, silent), targets.encode(source, at), at, weight, targets.mask(source, at))

    return Data(source.name, source, encoder, kind, targets.classes, inputs.input_shape, targets.outputs,
                part(parts.train, weight), part(parts.valid), Door(part(parts.test), open_log), inputs.ready)


def with_targets(source: Source, kinds: Collection[str]) -> Source:
    """The source with its targets as one of `kinds`: numbers as classes, classes whose names are numbers as numbers; else as it is.

    What was said of the other way to read them is said no more. Raises InputError for numbers too many to be classes.
    """
    kind = "class" if source.target_kind == "real" else "real"
    if source.target_kind not in ("class", "real") or source.target_kind in kinds or kind not in kinds:
        return source
    if kind == "real" and source.classes != BOOLEAN and not all(map(is_number, source.classes)):
        return source
    notes = tuple(note for note in source.notes if AS_CLASSES not in note and AS_NUMBER not in note)
    return replace(_as_target(source, kind)[0], notes=notes)


def _as_target(source: Source, target: str) -> tuple[Source, TargetKind]:
    """The source with its targets as the kind asked for, and that kind."""
    kind: Any = source.target_kind if target == "auto" else target
    if kind not in (kinds := get_args(TargetKind)):
        raise InputError(f"expected a target of {', '.join(kinds)} or auto; got '{kind}'.")
    if kind != "none" and source.targets is None:
        raise InputError(f"{source.name} has no targets; this rule needs them. {giving_targets(source)}, or use a rule that "
                         "learns without.")
    if kind in ("class", "sign") and source.target_kind == "real":
        different = len(source.targets.unique())
        if different > max(FEW_CLASSES, len(source) // 2):
            raise InputError(f"{source.name}: expected a target of classes; got {different:,} different numbers in {len(source):,} rows. "
                             "Name a column of classes with --target, or use --rule backprop, which predicts numbers.")
        codes, names = as_codes(source.target_kind, source.targets, source.classes, source.name)
        return replace(source, target_kind="class", targets=codes, classes=names), kind
    if kind == "real" and source.target_kind == "class":
        values = as_numbers(source.target_kind, source.targets, source.classes, source.name)
        return replace(source, target_kind="real", targets=values, classes=()), kind
    return source, kind


def _only(source: Source, classes: Sequence[str], rows: Tensor) -> tuple[tuple[str, ...], Tensor]:
    """The class names kept, and the rows that have one of them."""
    if source.target_kind != "class":
        raise InputError(f"{source.name} has no classes to pick {', '.join(classes)} from: its targets are "
                         f"{NO_CLASSES[source.target_kind]}.")
    for name in classes:
        if name not in source.classes:
            raise InputError(f"{source.name} has no class '{name}'. {suggest(name, source.classes)}")
    wanted = torch.tensor([source.classes.index(name) for name in dict.fromkeys(classes)])
    return tuple(dict.fromkeys(classes)), rows[marked(wanted, len(source.classes))[source.targets[rows]]]


def _refuse_constant(source: Source, names: tuple[str, ...], rows: Tensor) -> None:
    present = marked(source.targets[rows], len(source.classes)).nonzero()[:, 0]
    if len(present) < 2:
        only = f"only '{source.classes[int(present[0])]}'" if len(present) else "no value"
        where = f" '{source.origin['target']}'" if source.origin.get("target") else ""
        raise InputError(f"{source.name}: the target{where} is constant ({only} in {len(rows)} rows of the classes "
                         f"{', '.join(names[:5])}); there is nothing to learn. Pick another with --target, or more --classes.")


def _divided(source: Source, shares: Mapping[str, float] | None, seed: int, rows: Tensor) -> Splits:
    """By shares, or without any by the usual division of a named set: its last training rows validate."""
    if shares is not None:
        return split(source, **{"train": 0.0, "valid": 0.0, "test": 0.0, **shares}, seed=seed, rows=rows)
    if isinstance(source.inputs, Symbols) and source.times is not None:
        return split(source, **SHARES, seed=seed, rows=rows)
    usual = catalog.traits(source).valid_rows
    if usual and "test" in source.parts:
        is_test = marked(source.parts["test"], len(source))
        free = (~is_test).nonzero()[:, 0]
        is_valid = marked(free[-usual:], len(source))
        splits = Splits(rows[~(is_valid | is_test)[rows]], rows[is_valid[rows]], rows[is_test[rows]])
        if len(free) >= 4 * usual and min(map(len, vars(splits).values())):
            return splits
    return split(source, seed=seed, rows=rows)


def _refuse_unseen(source: Source, parts: Splits) -> None:
    seen = marked(source.targets[parts.train], len(source.classes))
    for name, rows in (("validation", parts.valid), ("test", parts.test)):
        strange = rows[~seen[source.targets[rows]]]
        if len(strange):
            word = source.classes[int(source.targets[strange[0]])]
            raise InputError(f"{source.name}: the class '{word}' is in the {name} part (row {int(strange[0]) + 1}); training never saw it. "
                             "Split by --group or --time so that each class is early or common enough, or drop it with --classes.")


def _weights(weights: Tensor, source: Source) -> Tensor:
    """Weights of all rows of the source, (n,) float64."""
    w = torch.as_tensor(weights, dtype=torch.float64).reshape(-1)
    if len(w) != len(source) or not bool(w.isfinite().all()) or bool((w < 0).any()):
        raise InputError(f"expected a finite weight of at least 0 for each of the {len(source)} rows of {source.name}; got {len(w)}, the "
                         f"least of them {float(w.min()) if len(w) else 'none'}.")
    return w
