"""Openings of test parts, written down twice: in the folder of the runs, and in the account of whoever opens them.

Each line holds the SHA-256 of the line before it, so that a line which is changed or taken out of the middle is seen; and each of the two
ledgers tells what the other lacks. Whoever may write both can write both anew: this is for people who want to know, not against those who
do not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chainrule.core.errors import InputError
from chainrule.core.files import open_plain, with_room, write_all
from chainrule.core.places import state_folder
from chainrule.core.schema import Misfit, as_type
from chainrule.core.text import counted, now
from chainrule.data.source import Opening

try:
    import fcntl
except ImportError:             # not on Windows, where two openings at once may break the chain
    fcntl = None  # type: ignore[assignment]

LEDGER = "openings.jsonl"
MOST_BYTES = 2**26              # of a ledger: a million openings are less
SHOWN = 3


@dataclass(frozen=True)
class Entry:
    """One opening: by which run, where, why and when, of which rows by their source, `test_set`, and by what they hold, `content`."""

    test_set: str
    run: str
    reason: str
    time: str
    content: str = ""
    place: str = ""             # the folder of the run
    ledger: str = ""            # beside the runs
    id: str = ""
    previous: str | None = None

    def of(self, test_set: str, content: str) -> bool:
        """Whether it is of the rows of these names."""
        return self.test_set == test_set or (bool(content) and self.content == content)


@dataclass(frozen=True)
class Read:
    """A ledger as it was before the line that is added: its entries, and whether the chain of its lines is whole."""

    entries: tuple[Entry, ...] = ()
    whole: bool = True


@dataclass
class Ledgers:
    """The ledger beside the runs, and that of the account; None where the account has no folder."""

    beside: Path
    account: Path | None = field(default_factory=lambda: account_ledger())

    def open(self, run: Path, test_set: str, content: str, reason: str) -> Opening:
        """Write one more opening down. Raises InputError where that cannot be done beside the runs: the part then stays shut."""
        entry = Entry(test_set, run.name, reason, now(), content, os.path.abspath(run), os.path.abspath(self.beside), uuid.uuid4().hex[:16])
        try:
            near = append(self.beside, entry)
        except OSError as error:
            failed = with_room(error, self.beside, len(str(entry)))
            raise InputError(f"The opening of the test part cannot be recorded in {self.beside}: {failed.strerror}, so it stays "
                             "shut. Put that right, or move the run.") from None
        far, unrecorded = self._of_account(entry)
        return _opening(entry, near, far, self.account, unrecorded)

    def _of_account(self, entry: Entry) -> tuple[Read, str]:
        """The ledger of the account before this entry, and why it could not be added, if so."""
        if self.account is None:
            return Read(), "this account has no folder for one"
        try:
            self.account.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return append(self.account, entry), ""
        except OSError as error:
            return Read(), f"{self.account}: {error.strerror or error}"


def account_ledger() -> Path | None:
    folder = state_folder()
    return None if folder is None else folder / LEDGER


def append(path: Path, entry: Entry) -> Read:
    """Add a line, which bears the SHA-256 of the line before it; what the ledger said before. Raises OSError.

    A line that was torn, by a kill or a full disk, stays as it is: the next begins after it.
    """
    descriptor = open_plain(path, os.O_RDWR | os.O_APPEND)
    try:
        with _locked(descriptor):
            size = os.fstat(descriptor).st_size
            if size > MOST_BYTES:
                raise OSError(0, f"it has {size:,} bytes, more than any ledger of ours", str(path))
            lines = _content(descriptor, size).split(b"\n")
            torn = lines.pop() if lines else b""
            lines += [torn] if torn else []
            line = json.dumps({**asdict(entry), "previous": _digest(lines[-1]) if lines else ""}) + "\n"
            write_all(descriptor, (b"\n" if torn else b"") + line.encode())
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return read_lines(lines)


def read_lines(lines: Sequence[bytes]) -> Read:
    """Entries of whole lines; others are passed over, as are those of versions that chained none."""
    entries, whole, before = [], True, ""
    for line in lines:
        try:
            entry: Entry = as_type(Entry, json.loads(line))
        except (Misfit, ValueError, RecursionError):
            before = _digest(line)
            continue
        whole = whole and entry.previous in (None, before)
        entries.append(entry)
        before = _digest(line)
    return Read(tuple(entries), whole)


def _opening(own: Entry, near: Read, far: Read, account: Path | None, unrecorded: str) -> Opening:
    """The count over both ledgers, each opening once, and what is to be said."""
    earlier = {one.id or f"{number} {one.time}": one for number, one in enumerate(near.entries) if one.of(own.test_set, own.content)}
    elsewhere = {one.id: one for one in far.entries if one.of(own.test_set, own.content) and one.id}
    missing = [one for one in elsewhere.values() if one.ledger == own.ledger and one.id not in earlier]
    every = {**elsewhere, **earlier}
    places = list(dict.fromkeys(one.place or one.run for one in every.values()))
    notes = []
    others = [place for place in places if place != own.place]
    if others:
        named = ", ".join(others[:SHOWN]) + (f" and {len(others) - SHOWN} more" if len(others) > SHOWN else "")
        times = sum((one.place or one.run) != own.place for one in every.values())
        often = "once" if times == 1 else f"{times} times"
        notes.append(f"These test rows were opened before, {often}, in {named}; whatever was chosen by that makes the numbers here too "
                     "good.")
    if missing:
        notes.append(f"{own.ledger} lacks {counted(len(missing), 'opening')} of these rows that {account} has: lines were "
                     "taken out of it, or the file was deleted.")
    notes += [f"Lines of {path} were changed or taken out: they do not follow from one another."
              for path, read in ((own.ledger, near), (account, far)) if not read.whole]
    if unrecorded:
        notes.append(f"This opening could not be entered in the ledger of your account ({unrecorded}); it is counted in {own.ledger} "
                     "alone.")
    return Opening(len(every) + 1, tuple(notes))


def _content(descriptor: int, size: int) -> bytes:
    """The whole file, from its beginning; what is written goes to its end wherever that leaves the descriptor."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    pieces = []
    while size > 0 and (piece := os.read(descriptor, min(size, 2**20))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """One opening at a time, where the file system can lock."""
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield                                           # closing the descriptor unlocks
