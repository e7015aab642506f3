"""Paths that a user names, and what was probably meant where nothing is there."""

from __future__ import annotations

from pathlib import Path

from chainrule.core.errors import InputError, suggest
from chainrule.core.places import expanded
from chainrule.core.registry import datasets

SYSTEM = (Path("/proc"), Path("/sys"))


def existing(what: str | Path) -> Path:
    """The path, if there is something there. Raises InputError that offers the nearest set and the nearest file."""
    if not str(what).strip():
        raise InputError("expected a file, a folder or a named set; got nothing. Name one, e.g. digits.")
    path = expanded(what)
    if path.exists():
        return _plain(path)
    folder = path.parent
    beside = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    near = suggest(path.name, beside) if beside else ""
    if isinstance(what, str) and "/" not in what and not path.suffix:
        sets = suggest(what, datasets.names())
        near = f" Did you mean the file {near.removeprefix('Did you mean ')}" if near.startswith("Did you mean") else ""
        raise InputError(f"'{what}' is neither a named set nor a file or folder here. {sets}{near}")
    if not folder.is_dir():
        raise InputError(f"{path} does not exist, and neither does its folder {folder}. Check the path.")
    raise InputError(f"{path} does not exist. "
                     f"{near if near.startswith('Did you mean') else 'Check the name, or give a named set such as digits.'}")


def _plain(path: Path) -> Path:
    """The path, if it is a file or a folder of data. Raises InputError for a pipe or a device, from which reading may never end."""
    if not path.is_file() and not path.is_dir():
        raise InputError(f"{path} is a pipe or a device; expected a file or a folder. Write what comes from it into a file first.")
    place = path.resolve()
    if any(place.is_relative_to(system) for system in SYSTEM):
        raise InputError(f"{path} belongs to the system and holds no data. Name a file or a folder of yours.")
    return path
