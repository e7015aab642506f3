"""Predictions for a file of any length, written as they are made: read, encoded, predicted and written a block of rows at a time."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from chainrule.core.abilities.tasks import Continues, HasBeam, HasMaps, HasPlaces
from chainrule.core.errors import InputError, Interrupted
from chainrule.core.files import writable
from chainrule.core.terminal import ERASE, drawing
from chainrule.core.text import duration
from chainrule.data.encode.input_encoder import silent
from chainrule.data.load import load_inputs
from chainrule.data.pictures import EXTENTS
from chainrule.data.readers.download import to_stderr
from chainrule.data.readers.table_stream import Rows, rowwise
from chainrule.data.readers.tables import Typed
from chainrule.data.source import Part, Source
from chainrule.data.writers import maps
from chainrule.data.writers.maps import Maps
from chainrule.data.writers.predictions import Table
from chainrule.engine.infer.inference import most_rows
from chainrule.job.monte_carlo_dropout import Sampler
from chainrule.job.trained import Trained, as_asked
from chainrule.sinks.progress import REFRESH_SECONDS
from chainrule.tasks.prototypes import columns_of
from chainrule.workflows.anomaly import Flag
from chainrule.workflows.other_rows import reading_other_rows

STREAM_BYTES = 2**26    # table files that hold as much are read piece by piece
BLOCK_BATCHES = 8       # of the largest size that a way of running may take
QUIET_SECONDS = 2.0     # what takes no longer needs no line
PLAIN_SECONDS = 5.0
SPEED_SECONDS = 1.0     # before a speed is told: the first blocks may come out of one piece


def answers(trained: Trained, what: Any) -> tuple[Tensor, tuple[str, ...]]:
    """Class probabilities (n, classes), or values in target units (n, k), for new rows, with the names of the columns.

    For a text (symbols, classes): what is said to follow each symbol. Raises InputError where columns or shapes are not those of training.
    """
    part = rows_of(trained, what)
    predictions = trained.predictions(part)
    if trained.task.consecutive:
        predictions = predictions.flatten(0, 1) if part.mask is None else predictions[part.mask]
    return predictions, trained.columns(predictions.shape[-1])


def rows_of(trained: Trained, what: Any) -> Part:
    """New rows as the net's task reads them, encoded, with the steps of theirs that exist."""
    with reading_other_rows():
        return encoded(trained, read_for(trained, what))


def read_for(trained: Trained, what: Any) -> Source:
    """New rows as the net's task reads them, raw."""
    return as_asked(trained, load_inputs(what, like=trained.encoder.inputs), targets=False)


def encoded(trained: Trained, source: Source) -> Part:
    """Rows that were read so, encoded."""
    inputs, targets = trained.encoder.inputs, trained.encoder.target
    return Part(inputs.encode(source), None, torch.arange(len(source)), mask=targets.mask(source))


def uncertain_answers(trained: Trained, what: Any, samples: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean predictions (n, k) of so many passes with dropout left on, and how uncertain they are: see `monte_carlo_dropout.spread`.

    Raises InputError for a net without dropout.
    """
    return Sampler(trained, samples)(rows_of(trained, what).x)


class Labels:
    """What tells the rows of blocks apart: their numbers, from 1, and the columns, names of files or of sequences that came with them."""

    def __init__(self, targets: Collection[str] = ()) -> None:
        self.rows, self.targets = 0, targets
        self._waiting: Any = None

    def add(self, columns: Mapping[str, Any]) -> None:
        """The labels of the next rows, which may be more than a block."""
        import polars as pl

        if set(columns) - set(self.targets):
            frame = pl.DataFrame([pl.Series(name, values) for name, values in columns.items() if name not in self.targets])
            self._waiting = frame if self._waiting is None else pl.concat([self._waiting, frame])

    def beside(self, columns: Mapping[str, Any], block: int) -> dict[str, Any]:
        """Columns that a file is to have for the next `block` rows: labels first, each as often as a row has answers."""
        import polars as pl

        number = "row number" if "row" in columns else "row"         # an answer may be called so
        labels = {number: pl.Series(range(self.rows + 1, self.rows + block + 1), dtype=pl.Int64)}
        self.rows += block
        if self._waiting is not None:
            frame, self._waiting = self._waiting[:block], self._waiting[block:]
            ours = {number, *columns} - {"sequence"}
            labels |= {f"{name} of the data" if name in ours else name: frame[name] for name in frame.columns}
        if "sequence" in columns:                                    # an answer at each step of it
            places = pl.Series(columns["sequence"]) - 1
            labels = {name: values.gather(places) for name, values in labels.items()}
            columns = {name: values for name, values in columns.items() if name != "sequence"}
        return {**labels, **columns}


def predict_to(trained: Trained, what: Any, out: Path, *, samples: int | None = None, beam: int | None = None, flag: Flag | None = None,
               stream_bytes: int = STREAM_BYTES, stream: TextIO | None = None, overwrite: bool = False) -> int:
    """Write what a net says of the rows of `what`, beside their numbers and labels; returns how many. `out` appears when it is whole.

    Answers that are maps go into a folder of PNG files, where `out` has no ending, or into an .npz file; else `out` is a table.
    With `samples`, so many passes with dropout left on: their mean, and columns of how uncertain it is, see `monte_carlo_dropout.spread`.
    With a `beam`, the likeliest of so many strings that are written at once. `flag` adds the columns `score` and `anomaly`. Table files
    that hold `stream_bytes` or more are never held whole. Raises InputError, also where `out` is there and is not to be overwritten, or
    is what is read; CorruptFile, Interrupted.
    """
    file = file_for(trained, out)
    writable(out, overwrite, what, folder=isinstance(file, Maps) and not out.suffix)
    line, sampler = Line(drawing(stream or sys.stderr)), None if samples is None else Sampler(trained, samples)
    with interruptible(out), file as table, searching(trained, beam), contextlib.closing(line):
        labels = Labels(trained.encoder.target.columns)
        for part, expected in blocks_of(trained, what, stream_bytes, labels):
            further: dict[str, Tensor] = {}
            if sampler is None:
                values = trained.predictions(part, expected)
            else:
                values, further = sampler(part.x)
            names = trained.columns(values.shape[-1])
            answered = {**columns_of(trained.inference, part), **trained.task.columns(values.cpu(), part.mask),
                        **further_columns(further, names)}
            if flag is not None:
                flagged = flag.columns(part)
                each = {n: v[answered["sequence"] - 1] for n, v in flagged.items()} if "sequence" in answered else flagged
                answered |= each
            rows = len(answered["prediction"]) if trained.task.consecutive else len(part)      # of a text each symbol is a row
            beside = labels.beside(answered, rows)
            if isinstance(trained.task, HasPlaces) and set(EXTENTS) <= set(beside):
                beside = trained.task.placed(beside)
            if isinstance(trained.task, Continues):
                beside = trained.task.continued(beside)
            if isinstance(table, Maps):
                assert isinstance(trained.task, HasMaps)
                table.add(beside, trained.task.maps(values.cpu()), trained.encoder.inputs.shape[1:])
            else:
                table.add(beside)
            line(table.rows, expected)
    return table.rows


def file_for(trained: Trained, out: Path) -> Table | Maps:
    """What predictions are written to: maps where answers are and the name is theirs, else a table. Raises InputError."""
    if out.suffix in maps.SUFFIXES and isinstance(trained.task, HasMaps):
        return Maps(out, trained.encoder.target.classes)
    return Table(out)


def further_columns(further: dict[str, Tensor], names: tuple[str, ...]) -> dict[str, Any]:
    """Columns (n,) under their own names, and (n, k) as one for each name: `sd(name)`."""
    columns: dict[str, Any] = {}
    for what, values in further.items():
        if values.dim() == 1:
            columns[what] = values.numpy()
        else:
            columns |= {f"{what}({name})": values[:, i].numpy() for i, name in enumerate(names)}
    return columns


def blocks_of(trained: Trained, what: Any, stream_bytes: int, labels: Labels) -> Iterator[tuple[Part, int]]:
    """Encoded rows in blocks that end where batches do, each with the number of rows to be expected in all; at once where rows go on from
    one another. Their labels are added.
    """
    with reading_other_rows():
        yield from _blocks_of(trained, what, stream_bytes, labels)


def _blocks_of(trained: Trained, what: Any, stream_bytes: int, labels: Labels) -> Iterator[tuple[Part, int]]:
    encoder = trained.encoder.inputs
    rows = rowwise(what, encoder) if encoder.kind == "table" else None
    if rows is None or rows.nbytes < stream_bytes:
        source = read_for(trained, what)
        part = encoded(trained, source)
        places = encoder.picture_shape is None or isinstance(trained.task, HasPlaces | HasMaps)
        labels.add({name: values for name, values in source.labels.items() if places or name not in EXTENTS})
        size = len(part) if trained.task.consecutive else _block(trained, part.x)
        for begin in range(0, len(part), size):
            yield part.rows_at(begin, begin + size), len(part)
        return
    printed: set[str] = set()
    strangers: dict[str, tuple[int, int, str]] = {}

    def once(text: str) -> None:
        if text not in printed:
            printed.add(text)
            to_stderr(text)

    def encode(piece: Typed) -> Tensor:
        assert encoder.features is not None
        table = piece.table
        labels.add(piece.labels)
        encoder.features.check(table, rows.name, encoder.apart, once)
        for name, (count, row, word) in encoder.features.unseen(table).items():
            before = strangers.get(name, (0, rows.before + row, word))
            strangers[name] = (before[0] + count, *before[1:])
        inputs: Tensor = encoder.encode(Source(rows.name, table, None, "none", {}, ""), say=silent)
        return inputs

    for block, expected in _aligned(trained, rows, encode):
        yield Part(block, None, torch.arange(len(block))), expected
    for sentence in encoder.strangers(strangers, rows.name, rows.expected):
        to_stderr(sentence)


def _aligned(trained: Trained, rows: Rows, encode: Callable[[Typed], Tensor]) -> Iterator[tuple[Tensor, int]]:
    left: list[Tensor] = []
    for piece in rows.tables():
        left.append(rows.located(lambda: encode(piece)))  # noqa: B023 (called at once)
        size = _block(trained, left[0])
        if sum(map(len, left)) >= size:
            together = torch.cat(left)
            whole = len(together) // size * size
            for block in together[:whole].split(size):
                yield block, rows.expected
            left = [together[whole:]] if whole < len(together) else []
    if left:
        yield torch.cat(left), rows.expected


def _block(trained: Trained, x: Any) -> int:
    return BLOCK_BATCHES * most_rows(trained.inference.row_bytes(x))


@contextlib.contextmanager
def searching(trained: Trained, beam: int | None) -> Iterator[None]:
    """The task with a beam of such a width for a while. Raises InputError for one that writes no strings."""
    task = trained.task
    if beam is None:
        yield
        return
    if not isinstance(task, HasBeam):
        raise InputError(f"--beam {beam} is for strings that are written symbol by symbol; the task is {task.name}. Leave it out.")
    before, task.beam = task.beam, beam
    try:
        yield
    finally:
        task.beam = before


@contextlib.contextmanager
def interruptible(out: Path) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP end the work as an exception does, so that nothing is left behind; it says so, or that `out` is whole."""
    at_first, interruptions = _stamp(out), list[Interrupted]()

    def handle(number: int, _: object) -> None:
        end = f"Nothing was written to {out}." if _stamp(out) == at_first else f"{out} was written before that, and is whole."
        interruptions.append(Interrupted(f"Interrupted. {end}", signal.Signals(number).name))
        raise interruptions[0]

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    try:
        before = {name: signal.signal(getattr(signal, name), handle) for name in names}
    except ValueError:  # not the main thread: signals are not ours to handle
        before = {}
    try:
        yield
    except Exception as error:
        if interruptions and not isinstance(error, Interrupted):      # a library that was being imported has lost it, and failed
            raise interruptions[0] from error
        raise
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _stamp(path: Path) -> tuple[int, int] | None:
    """What differs once a file, or a file in a folder, has been put in its place; None where there is nothing."""
    with contextlib.suppress(OSError):
        stat = path.stat()
        return stat.st_ino, stat.st_mtime_ns
    return None


class Line:
    """How far it is: one line that is redrawn in a terminal, now and then a plain one elsewhere, nothing for what is quick."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic, done: str = "predicted"):
        self.stream, self.clock, self.done = stream, clock, done
        self.began = self.written = clock()
        self.terminal, self.drawn = stream.isatty(), False
        self.first: tuple[int, float] | None = None  # what came before it, reading the types and choosing a way, happens once

    def __call__(self, rows: int, expected: int) -> None:
        now = self.clock()
        pause = REFRESH_SECONDS if self.terminal else PLAIN_SECONDS
        if self.first is None:
            self.first = rows, now
        since = rows - self.first[0]
        if now - self.first[1] < SPEED_SECONDS or now - self.began < QUIET_SECONDS or now - self.written < pause or rows >= expected:
            return
        self.written, speed = now, since / max(now - self.first[1], 1e-6)
        text = f"{rows:,} of {expected:,} rows {self.done}, {speed:,.0f} rows/s, {duration((expected - rows) / speed)} left"
        with contextlib.suppress(OSError):  # a terminal that has gone away ends the talking, not the work
            self.stream.write(f"{ERASE}{text}" if self.terminal else f"{text}\n")
            self.stream.flush()
        self.drawn = self.terminal

    def close(self) -> None:
        if self.drawn:
            with contextlib.suppress(OSError):
                self.stream.write(ERASE)
                self.stream.flush()
