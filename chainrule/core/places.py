"""Folders of the user's account: what can be made again, and what is to last; XDG base directories, https://specifications.freedesktop.org/basedir-spec"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from chainrule.core.errors import InputError

NAME = "chainrule"


def home() -> Path | None:
    """The user's home; None where the process has none: no HOME, and an account that is not listed."""
    try:
        folder = Path.home()
    except (RuntimeError, KeyError):
        return None
    return folder if folder.is_absolute() else None


def cache_folder() -> Path:
    """Where what can be made again is kept: under XDG_CACHE_HOME, else ~/.cache, else with the temporary files of this account."""
    return _under("XDG_CACHE_HOME", ".cache") or Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid() if os.name == 'posix' else 'cache'}"


def state_folder() -> Path | None:
    """Where what is to last is kept: under XDG_STATE_HOME, else ~/.local/state; None where there is neither."""
    return _under("XDG_STATE_HOME", ".local/state")


def expanded(path: str | Path) -> Path:
    """The path with a leading ~ as the home that it stands for. Raises InputError where there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path} begins with the home of an account that is not known here. Write the path out.") from None


def _under(variable: str, usual: str) -> Path | None:
    """Ours in the folder that a variable of the environment names; a relative one is passed over, as the standard asks."""
    named = Path(os.environ.get(variable) or ".")
    if named.is_absolute():
        return named / NAME
    folder = home()
    return None if folder is None else folder / usual / NAME
