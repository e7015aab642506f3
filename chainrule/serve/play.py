"""Play: a training of a small net that is started, paused and let go on from the page. It is an ordinary run in a process of its own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from chainrule.core.errors import InputError
from chainrule.engine.commands import Command, send

SETS = ("spiral", "circles", "xor", "moons")
FLAGS = ("net", "rule", "loss", "optimizer", "init", "schedule", "constraint", "batch", "epochs", "steps", "seed", "split", "target",
         "columns")
WORD = re.compile(r"[\w.:=,x+*/ -]{1,200}")
EPOCHS = 100_000         # nobody plays to the end
PATIENCE = 5.0           # seconds that a run may take to save and end
TABLES = (".csv", ".tsv", ".parquet", ".npz")


class Play:
    """The run that is played with, at most one at a time, under `root`."""

    def __init__(self, root: Path):
        self.root = root
        self.child: subprocess.Popen[bytes] | None = None

    def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A new run of these options, paused before its first step. Raises InputError for what is no option or no data."""
        words = arguments(asked)
        self.close()
        folder = self._folder()
        send(folder, Command("pause"))
        command = [sys.executable, "-m", "chainrule.serve.training", "train", *words, f"--out={folder}",
                   "--save-every=0", "--plan=eager", "--threads=1"]
        with (folder / "play.txt").open("wb") as messages:
            self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=messages,
                                          start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        return {"run": folder.name, "command": shlex.join(["chainrule", "train", *words])}

    def close(self) -> None:
        """End the run that is played with."""
        child, self.child = self.child, None
        if child is None:
            return
        with child:                                          # whose standard input is closed, and which is waited for
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    child.kill()

    def _folder(self) -> Path:
        number = 1
        while (folder := self.root / f"play-{number}").exists() or folder.is_symlink():
            number += 1
        folder.mkdir(parents=True)
        return folder


def arguments(asked: dict[str, Any]) -> list[str]:
    """The words of `chainrule train` for what was asked in Play; each option is one word, so that no value can be taken for another."""
    data = asked.get("data")
    if not isinstance(data, str) or not _known(data):
        raise InputError(f"Play is with {', '.join(SETS)}, or a table in the folder of the server; got {str(data)[:40]!r}. Name one.")
    words = [data]
    for name, value in asked.items():
        if name == "data" or value in (None, ""):
            continue
        if name not in FLAGS or not WORD.fullmatch(str(value)):
            raise InputError(f"Play has the options {', '.join(FLAGS)}; got {name[:40]!r} = {str(value)[:40]!r}. Put that right.")
        words.append(f"--{name}={value}")
    if not any(word.startswith(("--epochs", "--steps")) for word in words):
        words.append(f"--epochs={EPOCHS}")
    return words


def _known(data: str) -> bool:
    """Whether this is one of the sets, with options, or a table that lies in the folder of the server itself."""
    if data.partition(":")[0] in SETS:
        return bool(WORD.fullmatch(data))
    path = Path(data)
    return path.name == data and path.suffix in TABLES and path.is_file() and not path.is_symlink()
