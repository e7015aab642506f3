"""Options of a net that follow from the data: from what its rows are, and how its inputs are grouped; and the range that it reads."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.registry import Chosen
from chainrule.core.traits import NetTraits, Range, RowKind, RuleTraits
from chainrule.data.encode.columns import Table
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.source import Data, Source
from chainrule.data.storage.stored import StoredArray, StoredTable

ROWS = 4096  # looked at in a block


def kind_of(source: Source) -> RowKind:
    """What its rows are, by their types alone: no value is looked at, so that none of the test part can matter."""
    inputs: Any = source.inputs
    if isinstance(inputs, Table | StoredTable):
        kinds = {column.kind for column in inputs.columns}
        return "switches" if kinds == {"boolean"} else "categories" if kinds <= {"boolean", "categorical"} else "numbers"
    if isinstance(inputs, Symbols):
        return "categories"
    return "pictures" if isinstance(inputs, Tensor | StoredArray) and len(inputs.shape) == 4 else "numbers"


def suited(net: Chosen[NetTraits] | None, source: Source, groups: tuple[int, ...] = ()) -> Chosen[NetTraits] | None:
    """The net with the options that follow from such rows where the user left them open, as far as they are not its usual ones."""
    if net is None or net.entry.traits.suits is None:
        return net
    usual = {name: option.default for name, option in net.entry.options.items()}
    following = net.entry.traits.suits(kind_of(source), groups, net.options)
    return Chosen(net.entry, {**net.options, **{name: value for name, value in following.items()
                                                if name not in net.options and value != usual[name]}})


def range_of(net: Chosen[NetTraits] | None, rule: Chosen[RuleTraits]) -> Range:
    """The range of inputs that the net reads, else that of the rule."""
    if net is not None and net.entry.traits.range is not None:
        return net.entry.traits.range(net.options)
    return rule.entry.traits.range


def reading_range(asked: str | None, net: Chosen[NetTraits] | None, rule: Chosen[RuleTraits]) -> Range:
    """The range that inputs are scaled to: the one that is asked for, else what the net reads, else the rule."""
    return cast(Range, asked) if asked is not None else range_of(net, rule)


def check_range(net: Chosen[NetTraits] | None, rule: Chosen[RuleTraits], data: Data) -> None:
    """Raises InputError where the rows leave the range from 0 to 1 that a net reads: they are scaled for another one."""
    if range_of(net, rule) != "unit" or data.encoder.inputs.range == "unit" or not len(data.train):
        return
    ends = [data.ready(rows).aminmax() for rows in data.train.x.split(ROWS)]
    low, high = min(float(e.min) for e in ends), max(float(e.max) for e in ends)
    if low < 0 or high > 1:
        raise InputError(f"{net or rule} reads numbers from 0 to 1; the rows of {data.name} go from {low:.4g} to {high:.4g} as they are "
                         "scaled. Use --scale unit, or units=gaussian, which reads such numbers; a net that is started from has its own "
                         "scale: leave out --from.")
