"""Options of the command line, and those of a TOML file under them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from chainrule.core.errors import InputError


def configured(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """The options of a TOML file under those of the command line, which win where they differ from the defaults."""
    from chainrule.job.options import Options

    try:
        stored = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"--config {path} is not there.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path} is not TOML: {error}.") from None
    stored = {key.replace("-", "_"): value for key, value in stored.items()}
    default = Options.from_json(stored)
    plain = Options()
    return {key: getattr(default, key) if value == getattr(plain, key) else value for key, value in given.items()}
