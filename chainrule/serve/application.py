"""The routes of the page: files of its own, the logs of runs, commands to them, and what a trained net answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from chainrule.core.errors import ChainruleError, InputError
from chainrule.engine.commands import Command, send
from chainrule.serve.answering import Answering
from chainrule.serve.folders import Runs, measures_of
from chainrule.serve.play import Play
from chainrule.serve.stream import MOST_RUNS, MOST_STREAMS, STREAM, Streams

Handler = Callable[[Request], Awaitable[Response]]
KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8"}
ASKED = ("net", "examples", "answer", "vary", "mistakes", "neurons", "dream", "play")     # of a net, in a process of its own
OPTIONS = ("net", "rule", "loss", "optimizer", "schedule", "init", "augment", "constraint", "epochs", "steps", "seconds", "batch", "seed",
           "patience", "plan", "precision", "device", "threads", "target", "columns", "classes", "split", "stages", "class_weights")


@dataclass
class Page:
    """What the routes share: the runs, the readers, the process that answers for nets, and the one that trains in Play."""

    runs: Runs
    streams: Streams = field(default_factory=Streams)

    def __post_init__(self) -> None:
        self.files = own_files()
        self.answering = Answering(self.runs.root)
        self.play = Play(self.runs.root)

    def routes(self) -> list[Route]:
        """The table of all there is; the gate stands before every one of them."""
        return [
            Route("/", self.index, methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/static/{file:path}", self.file, methods=["GET"]),
            Route("/favicon.ico", self.icon, methods=["GET"]),
            Route("/api/runs", self.list_runs, methods=["GET"]),
            Route("/api/record", self.describe, methods=["GET"]),
            Route("/api/log", self.log, methods=["GET"]),
            Route("/api/command", self.command, methods=["POST"]),
            Route("/api/ask", self.ask, methods=["POST"]),
            Route("/api/compare", self.compare, methods=["POST"]),
            Route("/api/chain", self.chain, methods=["POST"]),
            Route("/api/play", self.play_on, methods=["POST"]),
        ]

    async def index(self, request: Request) -> Response:
        return self._own("index.html")

    async def health(self, request: Request) -> Response:
        return JSONResponse({"ok": True})

    async def file(self, request: Request) -> Response:
        return self._own(request.path_params["file"])

    async def icon(self, request: Request) -> Response:
        """What browsers ask for before they have read the page."""
        return self._own("icon.svg")

    async def list_runs(self, request: Request) -> Response:
        summaries = [self.runs.summary(name) for name in self.runs.names()]
        return JSONResponse({"first": self.runs.first, "root": self.runs.root.name, "runs": [one for one in summaries if one is not None]})

    async def describe(self, request: Request) -> Response:
        name = request.query_params.get("run", "")
        folder = self._folder(name)
        record, summary = self.runs.record(folder), self.runs.summary(name)
        options, data = _mapping(record.get("options")), _mapping(record.get("data"))
        shown = {key: options[key] for key in OPTIONS if options.get(key) is not None}
        about = {key: data.get(key) for key in ("name", "n", "splits", "inputs", "classes", "task")}
        return _json({"summary": summary, "options": shown, "data": about, "machine": record.get("machine", {}),
                      "versions": record.get("versions", {}), **measures_of(folder)})

    async def log(self, request: Request) -> Response:
        names = request.query_params.getlist("run")
        if not 0 < len(names) <= MOST_RUNS:
            return _sentence(400, f"A stream is of 1 to {MOST_RUNS} runs.")
        folders = [self._folder(name) for name in names]
        if self.streams.open >= MOST_STREAMS:
            return _sentence(503, "Too many readers. Close a page.")
        places = request.headers.get("last-event-id") or request.query_params.get("place", "")
        return StreamingResponse(self.streams.records(folders, places), media_type=STREAM)

    async def command(self, request: Request) -> Response:
        asked = await _body(request)
        send(self._folder(_text(asked, "run")), Command.of(asked))
        return JSONResponse({"sent": True})

    async def ask(self, request: Request) -> Response:
        asked = await _body(request)
        if asked.get("about") not in ASKED:
            return _sentence(404, "There is no such question.")
        self._folder(_text(asked, "run"))
        return _json(await self.answering.ask(asked))

    async def compare(self, request: Request) -> Response:
        asked = await _body(request)
        names = asked.get("runs")
        if not isinstance(names, list) or not 2 <= len(names) <= MOST_RUNS or not all(isinstance(name, str) for name in names):
            return _sentence(400, f"2 to {MOST_RUNS} runs are compared.")
        for name in names:
            self._folder(name)
        return _json(await self.answering.ask({"about": "compare", "runs": names}))

    async def chain(self, request: Request) -> Response:
        """The graph of a formula or of a run's net; what cannot be read is a sentence, with 400."""
        try:
            asked = await _body(request)
            if "run" in asked:
                self._folder(_text(asked, "run"))
            elif "formula" not in asked:
                raise InputError("A graph is of a formula or of a run. Name one.")
            return _json(await self.answering.ask({**asked, "about": "chain"}))
        except InputError as error:
            return _sentence(400, str(error))

    async def play_on(self, request: Request) -> Response:
        return JSONResponse(self.play.start(await _body(request)))

    async def close(self) -> None:
        """End the processes that were started for this page."""
        self.play.close()
        await self.answering.close()

    def _folder(self, name: str) -> Path:
        folder = self.runs.find(name)
        if folder is None:
            raise Absent
        return folder

    def _own(self, name: str) -> Response:
        """A file of the page by its name in a fixed table: no name of a request becomes a path."""
        if name not in self.files:
            raise Absent
        kind, content = self.files[name]
        return Response(content, media_type=kind)


class Absent(Exception):
    """What was asked for is not there."""


def application(page: Page) -> Starlette:
    """The routes, without the gate before them."""

    async def absent(request: Request, error: Exception) -> Response:
        return Response(status_code=404)

    async def refused(request: Request, error: Exception) -> Response:
        return _sentence(422, str(error))

    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=413)

    return Starlette(routes=page.routes(), exception_handlers={Absent: absent, ChainruleError: refused, ClientDisconnect: gone})


def own_files() -> dict[str, tuple[str, bytes]]:
    """The page's own files, by the path under which they are asked for."""
    top = resources.files("chainrule.serve") / "static"
    files: dict[str, tuple[str, bytes]] = {}

    def walk(folder: Any, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                walk(entry, f"{prefix}{entry.name}/")
            elif (kind := KINDS.get(Path(entry.name).suffix)) is not None:
                files[prefix + entry.name] = kind, entry.read_bytes()

    walk(top, "")
    return files


async def _body(request: Request) -> dict[str, Any]:
    try:
        value = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise InputError("The body is a JSON object. Send one.") from None
    if not isinstance(value, dict):
        raise InputError("The body is a JSON object. Send one.")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(asked: dict[str, Any], key: str) -> str:
    value = asked.get(key)
    return value if isinstance(value, str) else ""


def _json(value: Any) -> Response:
    """Numbers that JSON has no words for become null."""
    return Response(json.dumps(_finite(value), allow_nan=False, default=str), media_type="application/json")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value


def _sentence(status: int, text: str) -> Response:
    """In ASCII: a text may hold half a character, which no encoding has."""
    return Response(json.dumps({"error": text}), status_code=status, media_type="application/json")
