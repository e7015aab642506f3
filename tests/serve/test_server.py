"""The server as it is started: its port, its token, its own process; and that a training notices nothing of it."""

import json
import os
import re
import signal
import socket
import time
import urllib.error
from pathlib import Path

import pytest
from served import SECONDS, Served
from synthetic_run import write_run

from chainrule.core.errors import InputError
from chainrule.serve.server import ADDRESS, bound


@pytest.fixture
def served(tmp_path):
    write_run(tmp_path / "runs" / "one", vanishing=False)
    server = Served(tmp_path / "runs", "--port", "0")
    yield server
    server.end()


def test_it_answers_with_its_token_and_not_without(served):
    assert served.json("/api/runs")["runs"][0]["run"] == "one"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        served.open("/api/runs", cookie="")
    with served.open("/") as page:
        assert b"/static/app.mjs" in page.read()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="this system has no /proc")
def test_the_server_stays_small_listens_here_alone_and_shows_no_token(served):
    process = Path(f"/proc/{served.child.pid}")
    served.json("/api/runs")
    assert served.token not in (process / "cmdline").read_text()
    assert "libtorch" not in (process / "maps").read_text()
    addresses = {line.split()[1] for line in (process / "net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"}
    assert f"0100007F:{served.port:04X}" in addresses
    assert f"00000000:{served.port:04X}" not in addresses


def test_a_busy_port_is_the_next_free_one():
    first, none = bound(0)
    port = first.getsockname()[1]
    second, taken = bound(port)
    try:
        assert (none, taken) == (0, port)
        assert port < second.getsockname()[1] < port + 50
        assert second.getsockname()[0] == ADDRESS
    finally:
        first.close()
        second.close()
    with pytest.raises(InputError):
        bound(70_000)


def test_a_server_that_is_killed_and_started_again_misses_and_doubles_nothing(tmp_path):
    folder = write_run(tmp_path / "runs" / "one")
    content = (folder / "log.jsonl").read_bytes()
    half = content.index(b"\n", len(content) // 2) - 20                   # in mid-record
    (folder / "log.jsonl").write_bytes(content[:half])
    got, place = [], ""
    for more in (b"", content[half:]):
        with (folder / "log.jsonl").open("ab") as log:
            log.write(more)
        server = Served(tmp_path / "runs", "--port", "0")
        with server.open("/api/log?run=one" + (f"&place={place}" if place else "")) as stream:
            kind = ""
            for line in stream:
                word, _, value = line.decode().rstrip("\n").partition(": ")
                if word == "event":
                    kind = value
                if kind == "current":
                    break
                if word == "id":
                    place = value
                if word == "data" and value.startswith("{"):
                    got.append(json.loads(value))
        server.child.kill()
        server.child.communicate()
    assert got == [json.loads(line) for line in content.splitlines()]


def test_slow_readers_cost_little(served, tmp_path):
    """Readers that never read: the server answers others, and holds no more than what the system's own buffers take."""
    log = tmp_path / "runs" / "one" / "log.jsonl"
    with log.open("ab") as file:
        for i in range(2000):
            file.write(json.dumps({"event": "warned", "at": 10_000 + i, "seconds": 0, "message": "x" * 4000}).encode() + b"\n")
    lazy = []
    for _ in range(40):
        one = socket.create_connection((ADDRESS, served.port))
        cookie = f"Cookie: chainrule-{served.port}={served.token}"
        one.sendall(f"GET /api/log?run=one HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n{cookie}\r\n\r\n".encode())
        lazy.append(one)
    time.sleep(1)
    assert served.json("/api/runs")["runs"]
    status = Path(f"/proc/{served.child.pid}/status")
    if status.exists():
        assert int(re.search(r"VmRSS:\s+(\d+) kB", status.read_text()).group(1)) < 200_000
    for one in lazy:
        one.close()


def lives(process):
    """Whether a process runs; one that ended and that nobody has waited for does not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_what_it_started_ends_with_it(tmp_path, number):
    write_run(tmp_path / "one")
    server = Served(tmp_path, "--port", "0")
    run = server.json("/api/play", {"data": "moons:count=40", "net": "mlp:hidden=2"})["run"]
    deadline = time.monotonic() + SECONDS
    while not (tmp_path / run / "lock").exists() or not (tmp_path / run / "lock").read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child = int((tmp_path / run / "lock").read_text())
    assert lives(child)
    server.child.send_signal(number)
    server.child.communicate(timeout=SECONDS)
    deadline = time.monotonic() + SECONDS
    while lives(child):                              # of a server that is killed its children notice by themselves
        assert time.monotonic() < deadline, "Play outlives its server"
        time.sleep(0.05)
