"""What a user does so that data without targets has some: each form of data has its own place for them."""

from __future__ import annotations

from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.source import Source


def giving_targets(source: Source) -> str:
    """What gives data of this form targets: advice that more may follow, without an end."""
    if isinstance(source.inputs, Symbols) and not source.inputs.of_text and not source.inputs.column:
        return "Write a label into the header of each sequence, e.g. >seq1 label=coding, or one for each letter into a line below it"
    return "Put each picture into a folder of its class" if source.origin["kind"] == "folder" else "Name a column with --target"


def learning_without(source: Source) -> str:
    """A net that learns from data of this form without targets, as it is written on the command line."""
    return "--net hmm" if isinstance(source.inputs, Symbols) else "--net rbm"
