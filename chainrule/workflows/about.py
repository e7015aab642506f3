"""What a report says around a run: when, where and with what it trained, the command that did, and the one to type next."""

from __future__ import annotations

import platform
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

import chainrule
from chainrule.core.options import flag
from chainrule.evaluate.result import Result
from chainrule.job.options import Options

LISTED = (".png", ".svg", ".csv", ".onnx", ".pt2", ".safetensors")
OPTION = re.compile(r"--[a-z][a-z0-9-]*( \S+)?")    # as it stands in the options of a remedy
MOST_FILES = 12


def versions() -> dict[str, str]:
    """The programs at work now."""
    return {"chainrule": chainrule.__version__, "torch": torch.__version__, "python": platform.python_version()}


def about(record: Mapping[str, Any]) -> dict[str, str]:
    """When and on what machine a run trained, and by what its data is known."""
    machine = record.get("machine") or {}
    known = {"date": record.get("created"), "system": machine.get("system"), "processor": machine.get("processor"),
             "cores": machine.get("cores"), "seed": (record.get("options") or {}).get("seed"),
             "SHA-256 of the data": (record.get("data") or {}).get("fingerprint"), "run": record.get("run")}
    return {name: str(value) for name, value in known.items() if value is not None}


def again(record: Mapping[str, Any], more: str = "") -> str:
    """The command that trained a run, and trains it again with `more` options; nothing where it was given what no command names."""
    data = record.get("data") or {}
    origin = data.get("origin") or {}
    own = any(record.get(name) for name in ("own_net", "own_loss", "own_weights"))
    if own or origin.get("kind") == "memory" or "what" not in origin:
        return ""
    defaults = {one.name: one for one in fields(Options)}
    replaced = {word.partition(" ")[0] for word in (one.group() for one in OPTION.finditer(more))}
    words = ["chainrule", "train", shlex.quote(str(origin["what"]))]
    for name, value in (record.get("asked") or {}).items():
        if name not in defaults or value == defaults[name].default or flag(defaults[name]) in replaced:
            continue
        words += [flag(defaults[name])] if value is True else [flag(defaults[name]), shlex.quote(str(value))]
    return " ".join([*words, *([more] if more else [])])


def next_step(path: Path, record: Mapping[str, Any], diagnoses: Sequence[Mapping[str, str]],
              tested: Result | None) -> tuple[str, str] | None:
    """The command to type next, and what for: the first remedy, else the test, else answers to new rows."""
    place = shlex.quote(str(path))
    if diagnoses:
        options = diagnoses[0].get("options", "")
        command = again(record, options) if options else ""
        return (command, "train it again with the remedy") if command else (f"chainrule doctor {place}", "what went wrong, and what to do")
    if tested is None:
        return f"chainrule test {place}", "open the test part, once"
    return f"chainrule predict {place} NEW_ROWS", "answer new rows"


def files_in(path: Path) -> list[str]:
    """The pictures and exports that lie in a run's folder, by name."""
    names = sorted(p.name for p in path.iterdir() if p.suffix in LISTED) if path.is_dir() else []
    own = {"rows.safetensors", "valid.safetensors", "test.safetensors", "encoder.safetensors", "start.safetensors"}
    return [name for name in names if name not in own and not name.startswith(("last", "best", "snapshot"))][:MOST_FILES]
