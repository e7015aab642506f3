"""Files of named sets: sought in the folders a user names, else fetched, checked by checksum and cached whole."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.files import write_atomically
from chainrule.core.places import cache_folder, expanded
from chainrule.data.readers.gzipped import content

TIMEOUT_SECONDS = 30
SYSTEM = Path("/usr/share")  # Debian keeps sets as dataset-NAME here
MOST_MEMBER = 2**28


@dataclass(frozen=True)
class File:
    """A published file: MD5 of the file itself and, where it is known, of its unpacked content. `members` are wanted of a .tar.gz."""

    name: str
    url: str
    md5: str
    unpacked: str = ""
    members: tuple[str, ...] = ()

    @property
    def wanted(self) -> tuple[str, ...]:
        return self.members or (self.name,)


def to_stderr(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def roots(data_dir: str | Path | None) -> list[Path]:
    """Where sets are sought, in order: the folder named, CHAINRULE_DATA, the cache, the system's.

    Raises InputError where the first is no folder.
    """
    named = expanded(data_dir) if data_dir is not None else None
    if named is not None and not named.is_dir():
        raise InputError(f"--data-dir {named} is not a folder. Make it, or name the one that holds the sets.")
    folder = os.environ.get("CHAINRULE_DATA")
    return [*([named] if named else []), *([expanded(folder)] if folder else []), cache_folder(), SYSTEM]


def folders(name: str, others: Sequence[str], data_dir: str | Path | None) -> list[Path]:
    """The folders that exist where set `name` may be: in each root its own sub-folders first, then the root."""
    tried = [root / sub for root in roots(data_dir) for sub in (name, *others, f"dataset-{name}", "")]
    return [folder for folder in tried if folder.is_dir() and folder != SYSTEM]


def md5(*parts: bytes | memoryview) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def is_published(path: Path, file: File) -> bool | None:
    """Whether a local file is the published one, by its own checksum or its content's; None where neither is known of its form."""
    if path.name.endswith(".gz") == file.name.endswith(".gz") and md5(path.read_bytes()) == file.md5:
        return True
    return md5(content(path)) == file.unpacked if file.unpacked else None


def fetch(name: str, files: Sequence[File], data_dir: str | Path | None, say: Callable[[str], None]) -> Path:
    """Download what the cache lacks of a set and return its folder there. Raises InputError naming what was sought and where."""
    into = cache_folder() / name
    for file in files:
        if all((into / wanted).is_file() for wanted in file.wanted):
            continue
        say(f"Downloading {file.url} into {into}.")
        data = _download(name, file, data_dir)
        if md5(data) != file.md5:
            raise CorruptFile(f"{file.url} came with MD5 {md5(data)}; expected {file.md5}. Nothing was kept: try again, "
                              f"or put {', '.join(file.wanted)} into {into} yourself.")
        into.mkdir(parents=True, exist_ok=True)
        for wanted, part in (_members(data, file) if file.members else {file.name: data}).items():
            write_atomically(into / wanted, part)
    return into


def _download(name: str, file: File, data_dir: str | Path | None) -> bytes:
    try:
        with urllib.request.urlopen(file.url, timeout=TIMEOUT_SECONDS) as answer:
            content: bytes = answer.read()
            return content
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        sought = ", ".join(str(root / name) for root in roots(data_dir) if root != SYSTEM)
        raise InputError(f"{name} is not on this machine and could not be fetched from {file.url} ({reason}). Sought "
                         f"{', '.join(file.wanted)} in {sought}: "
                         "put them into one of these, or name their folder with --data-dir or CHAINRULE_DATA.") from None


def _members(archive: bytes, file: File) -> dict[str, bytes]:
    """The wanted plain files of a .tar.gz by their last name; nothing else of it is read."""
    contents: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            last = member.name.rsplit("/", 1)[-1]
            taken = tar.extractfile(member) if last in file.members and member.isreg() and member.size <= MOST_MEMBER else None
            if taken is not None:
                contents[last] = taken.read()
    absent = [m for m in file.members if m not in contents]
    if absent:
        raise CorruptFile(f"{file.url} lacks {', '.join(absent)}. Nothing was kept.")
    return contents
