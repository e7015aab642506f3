"""Floor 1: readers, encoders, splits and the device-resident feed."""

from __future__ import annotations

from chainrule.data.encode import Encoder
from chainrule.data.feed import Feed
from chainrule.data.load import describe_source, load, load_inputs
from chainrule.data.prepare import prepare
from chainrule.data.source import Data, Door, Part, Source
from chainrule.data.splits import Splits, kfold, parse_split, split

__all__ = [
    "Data", "Door", "Encoder", "Feed", "Part", "Source", "Splits", "describe_source", "kfold", "load", "load_inputs", "parse_split",
    "prepare", "split",
]
