"""What is tried for a small table whose user names nothing about learning: a few ensembles, from linear to deep, from free to held back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chainrule.data.encode.columns import Table
from chainrule.data.source import Source
from chainrule.job.options import Options
from chainrule.job.own import Own

MOST_ROWS, FEWEST_ROWS = 10_000, 30   # above, folds cost more than they tell; below, they are too small
MOST_INPUTS = 300
FOLDS = 5
CIRCUMSTANCES = ("target", "group", "weight", "seed", "split_seed", "classes", "class_weights", "columns", "text", "missing", "decimal",
                 "separator", "encoding", "dates", "header", "skip_bad", "drop_unlabelled", "plan", "precision", "device", "threads",
                 "save_every", "doctor", "look", "task")


@dataclass(frozen=True)
class Candidate:
    """A net, its optimizer and its schedule, under a name for the sentence that says what was chosen."""

    name: str
    net: str
    optimizer: str
    schedule: str | None = None

    def over(self, asked: Options) -> Options:
        """The options with this candidate in them, cross-validated."""
        return replace(asked, net=self.net, optimizer=self.optimizer, schedule=self.schedule, folds=FOLDS)


CANDIDATES = (
    Candidate("linear", "ensemble:hidden=0", "adamw:rate=0.01"),
    Candidate("one hidden layer", "ensemble:hidden=64", "adamw:rate=0.003"),
    Candidate("one hidden layer with much decay", "ensemble:hidden=64", "adamw:rate=0.003,decay=1"),
    Candidate("two hidden layers that read waves of their inputs", "ensemble:hidden=64x64,waves=4,clip=3", "adamw:rate=0.003", "cosine"),
)


def left_open(source: Source, asked: Options, own: Own) -> bool:
    """Whether the net is to be chosen by folds: a small table, and nothing named that says how it is to be learned or validated."""
    usual = Options()
    named = any(getattr(asked, name) != getattr(usual, name) for name in vars(usual) if name not in CIRCUMSTANCES)
    if named or own.net is not None or own.loss is not None or source.target_kind not in ("class", "real"):
        return False
    wide = len(source.inputs.columns) if isinstance(source.inputs, Table) else source.inputs.shape[-1] if flat(source) else MOST_INPUTS + 1
    if isinstance(source.inputs, Table) and any(column.kind == "text" for column in source.inputs.columns):
        return False                         # its words are more inputs than these nets are made for
    test = len(source.parts.get("test", ()))
    return (FEWEST_ROWS <= len(source) - test <= MOST_ROWS and wide <= MOST_INPUTS and source.times is None and "valid" not in source.parts
            and asked.time is None)


def flat(source: Source) -> bool:
    """Whether rows are plain numbers (n, d) in memory."""
    return hasattr(source.inputs, "is_floating_point") and source.inputs.dim() == 2
