"""The page as a test reaches it: its server in a process of its own, requests with its token, the stream of a run's events."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
SECONDS = 60


class Page:
    """A page at the address that its server has told."""

    def __init__(self, url: str):
        address = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/\?token=(.+)", url)
        assert address, url
        self.base, self.token = address.groups()
        self.port = int(self.base.rpartition(":")[2])

    def open(self, path: str, body: object = None, **headers: str) -> Any:
        known = {"cookie": f"chainrule-{self.port}={self.token}", **headers}
        if body is not None:
            known |= {"origin": self.base, "content-type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        return urllib.request.urlopen(urllib.request.Request(self.base + path, content, known), timeout=SECONDS)

    def json(self, path: str, body: object = None) -> Any:
        with self.open(path, body) as answer:
            return json.load(answer)

    def records(self, run: str) -> Iterator[dict[str, Any]]:
        """The records of a run's log as they come, without end; closing it leaves the stream."""
        with self.open(f"/api/log?run={run}") as stream:
            for line in stream:
                word, _, value = line.decode().rstrip("\n").partition(": ")
                if word == "data" and value.startswith("{"):
                    yield json.loads(value)


class Served(Page):
    """A server in a process of its own, started as a user does."""

    def __init__(self, folder: Path, *words: str):
        command = [sys.executable, "-m", "chainrule", "serve", str(folder), "--no-open", "--json", *words]
        self.child = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.child.stdout
        super().__init__(json.loads(self.child.stdout.readline())["url"])

    def end(self) -> str:
        self.child.terminate()
        _, err = self.child.communicate(timeout=SECONDS)
        return err
