"""Starting the page: a port of this machine alone, a token that is new each time, a browser that is shown the way."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from chainrule.core.errors import InputError
from chainrule.serve.folders import Runs

if TYPE_CHECKING:
    import uvicorn

    from chainrule.serve.stream import Streams

ADDRESS, PORT, TRIES = "127.0.0.1", 8417, 50
COLLECTED = (700, 10, 10)   # objects, as Python has it: a reader who leaves in mid-stream leaves a circle that holds half a megabyte
LINGER = 30.0            # seconds that a page which came with a training outlives its last reader
REDIRECT = """<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={url}"><title>chainrule</title>
<a href="{url}">Open the page</a>
"""


def serve(path: Path, *, port: int = PORT, browser: bool = True, announce: Callable[[str], None], linger: bool = False) -> None:
    """Serve the runs under `path` until a signal comes; `announce` is given the address. With `linger`, only while there are readers.

    Raises InputError where no port is free.
    """
    import uvicorn

    from chainrule.serve.application import Page, application
    from chainrule.serve.guard import Guard, new_token

    listening, taken = bound(port)
    own, token = listening.getsockname()[1], new_token()
    if taken:
        announce(f"Port {taken} is taken; the page is at {own}.")
    page, url = Page(Runs.at(path)), f"http://{ADDRESS}:{own}/?token={token}"
    config = uvicorn.Config(Guard(application(page), own, token), log_config=None, access_log=False, lifespan="off", server_header=False,
                            ws="none", http="h11", loop="asyncio", timeout_graceful_shutdown=1, timeout_keep_alive=30,
                            limit_concurrency=2000, backlog=512)
    server = uvicorn.Server(config)
    gc.set_threshold(*COLLECTED)
    announce(url)

    async def run() -> None:
        _end_by_signals(server)
        watching = asyncio.create_task(_until_left(page.streams, server)) if linger else None
        try:
            await server.serve(sockets=[listening])
        finally:
            if watching is not None:
                watching.cancel()
            await page.close()

    with shown(url) if browser else contextlib.nullcontext():
        asyncio.run(run())


def _end_by_signals(server: uvicorn.Server) -> None:
    """Let a signal end the server in its own time, so that the processes it started end with it; uvicorn would raise the signal again."""

    def end() -> None:
        server.should_exit = True

    with contextlib.suppress(NotImplementedError):           # where a loop knows no signals, uvicorn's own way remains
        for number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
            asyncio.get_running_loop().add_signal_handler(number, end)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]


async def _until_left(streams: Streams, server: uvicorn.Server) -> None:
    """End the server once the training that it came with has ended and nobody reads any more."""
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.buffer.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()       # which a signal need not wait for
    while not ended.is_set():
        await asyncio.sleep(0.5)
    streams.since = time.monotonic()
    while streams.open or time.monotonic() - streams.since < LINGER:
        await asyncio.sleep(0.5)
    server.should_exit = True


def bound(port: int) -> tuple[socket.socket, int]:
    """A socket that listens on this machine alone, and the port that was wanted where another had to be taken, else 0."""
    if not 0 <= port <= 65535:
        raise InputError(f"--port is a number from 0 to 65535; got {port}. Leave it out for {PORT}.")
    for one in range(port, min(port + TRIES, 65536)):
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if os.name == "posix":
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((ADDRESS, one))
            listening.listen(512)
        except OSError as error:
            listening.close()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            raise InputError(f"Port {one} cannot be opened: {error.strerror}. Name another with --port.") from None
        return listening, port if one != port and port else 0
    raise InputError(f"None of the ports {port} to {port + TRIES - 1} is free. Name another with --port.")


@contextlib.contextmanager
def shown(url: str) -> Iterator[None]:
    """A browser is shown the page, where there is a screen. The address goes through a file that only its owner may read: a process list,
    which everybody may, shows what a program was started with.
    """
    if not (sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        yield
        return
    descriptor, name = tempfile.mkstemp(prefix="chainrule-", suffix=".html")       # of mode 600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(REDIRECT.format(url=url))
        with contextlib.suppress(webbrowser.Error, OSError):
            webbrowser.open(Path(name).as_uri())
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)
