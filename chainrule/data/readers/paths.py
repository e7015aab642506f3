"""Paths that a user names, and what was probably meant where nothing is there."""

from __future__ import annotations

from pathlib import Path

from chainrule.core.errors import InputError, suggest
from chainrule.core.registry import datasets


def existing(what: str | Path) -> Path:
    """The path, if there is something there. Raises InputError that offers the nearest set and the nearest file."""
    path = Path(what).expanduser()
    if path.exists():
        return path
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
