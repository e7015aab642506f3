"""Whoever is not this page at this machine with its token gets nothing, by any route and any method; asked of the route table itself."""

import asyncio
import json
import re
from http.cookies import SimpleCookie
from urllib.parse import quote

import httpx2 as httpx
import pytest
from starlette.testclient import TestClient
from synthetic_run import write_run

from chainrule.core.events import Finished
from chainrule.serve.application import Page, application
from chainrule.serve.folders import Runs
from chainrule.serve.guard import POLICY, Guard, new_token

PORT, TOKEN = 8417, new_token()
HOST = f"127.0.0.1:{PORT}"
PLAIN = "%/;.:\\~*$-"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
FORGED = ("evil.com", f"evil.com:{PORT}", f"127.0.0.1.evil.com:{PORT}", "localhost.",
          f"localhost.:{PORT}", "127.0.0.1", "localhost", "127.0.0.1:80",
          f"127.1:{PORT}", f"0.0.0.0:{PORT}", f"2130706433:{PORT}", f"0x7f000001:{PORT}", f"127.0.0.1:{PORT}@evil.com",
          f"[::]:{PORT}", "[::1]", "",
          f"[::ffff:127.0.0.1]:{PORT}", f"LOCALHOST:{PORT}", f"127.0.0.1:{PORT}0", f" 127.0.0.1:{PORT}", f"127.0.0.1:{PORT},evil.com",
          f"http://127.0.0.1:{PORT}", f"127.0.0.1:{PORT}/", f"user@127.0.0.1:{PORT}", f"127.0.0.2:{PORT}", f"::1:{PORT}")


@pytest.fixture
def page(tmp_path):
    write_run(tmp_path / "runs" / "one")
    write_run(tmp_path / "runs-secret" / "two")
    (tmp_path / "runs-secret" / "precious").write_text("mine alone")
    return Page(Runs.at(tmp_path / "runs"))


@pytest.fixture
def client(page):
    return TestClient(Guard(application(page), PORT, TOKEN), base_url=f"http://{HOST}", raise_server_exceptions=False)


@pytest.fixture
def known(client):
    """A client that has brought its token once."""
    client.cookies.set(f"chainrule-{PORT}", TOKEN)
    return client


PATHS = [re.sub(r"\{(\w+)(:\w+)?\}", "app.mjs", route.path) for route in Page(Runs.at(__import__("pathlib").Path("."))).routes()]
everywhere = pytest.mark.parametrize("path", PATHS)


def test_the_route_table_is_what_is_asked_of():
    assert len(PATHS) >= 10
    assert {"/", "/health", "/api/log", "/api/command"} <= set(PATHS)


@everywhere
@pytest.mark.parametrize("method", METHODS)
def test_no_forged_host_gets_anything(client, path, method):
    client.cookies.set(f"chainrule-{PORT}", TOKEN)
    for host in FORGED:
        answer = client.request(method, path, headers={"host": host, "origin": f"http://{HOST}"})
        assert (answer.status_code, answer.content) == (403, b""), host


@everywhere
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("headers", [{"origin": "http://evil.com"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"},
                                     {"sec-fetch-site": "same-site"}, {"origin": f"https://{HOST}"}, {"origin": "http://127.0.0.1:1"}])
def test_no_other_site_reads_or_changes_anything(known, page, path, method, headers):
    if path == "/health" and "origin" not in headers and method in ("GET", "HEAD"):
        return
    answer = known.request(method, path, headers=headers, **({"content": b"{}"} if method == "POST" else {}))
    assert answer.status_code in (403, 405)
    assert answer.content == b""
    assert "access-control-allow-origin" not in answer.headers
    assert not (page.runs.root / "one" / "commands.jsonl").exists()


@everywhere
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x"], ids=["none", "wrong", "short", "long"])
def test_nothing_without_the_token(client, path, method, token):
    client.cookies.set(f"chainrule-{PORT}", token)
    answer = client.request(method, f"{path}?token={token}", headers={"origin": f"http://{HOST}"})
    if path == "/health" and method in ("GET", "HEAD"):
        assert answer.status_code == 200
        return
    assert answer.status_code in (401, 405)
    assert answer.content == b""


def test_the_token_of_the_address_becomes_a_cookie_that_no_script_and_no_other_site_has(client):
    answer = client.get(f"/?token={TOKEN}", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    cookie = SimpleCookie(answer.headers["set-cookie"])[f"chainrule-{PORT}"]
    assert (cookie.value, cookie["samesite"], bool(cookie["httponly"])) == (TOKEN, "Strict", True)
    assert TOKEN not in answer.text
    assert client.get("/").status_code == 200
    assert client.get("/api/runs").json()["runs"][0]["run"] == "one"


def test_the_token_is_long_and_new_each_time():
    assert len({new_token() for _ in range(50)}) == 50
    assert all(len(new_token()) >= 43 for _ in range(5))             # 256 bits


@everywhere
def test_every_answer_forbids_what_is_not_the_page_s_own(known, path):
    answer = known.get(path, params={"run": "nothing"})
    assert answer.headers["content-security-policy"] == POLICY
    assert (answer.headers["x-content-type-options"], answer.headers["cross-origin-resource-policy"]) == ("nosniff", "same-origin")
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "unsafe" not in POLICY


def test_a_change_needs_an_origin_and_json(known, page):
    body, headers = json.dumps({"run": "one", "command": "stop"}), {"origin": f"http://{HOST}"}
    assert known.post("/api/command", content=body, headers={"content-type": "application/json"}).status_code == 403
    assert known.post("/api/command", content=body, headers={**headers, "content-type": "text/plain"}).status_code == 403
    assert not (page.runs.root / "one" / "commands.jsonl").exists()
    assert known.post("/api/command", content=body, headers={**headers, "content-type": "application/json"}).status_code == 200
    assert json.loads((page.runs.root / "one" / "commands.jsonl").read_text()) == {"command": "stop", "value": 0.0}


def payloads():
    ways = ["../", "..", "../../", "..%2f", "%2e%2e/", "%252e%252e%252f", "..\\", "..%5c", "..;/", ".;/", "/", "//",
            "\\\\server\\share\\", "C:\\", "file:///",
            "one/../", "one/../../", "./", "one/./../../", "%00",
            "one\x00", "one%00/../", "....//", "..%c0%af", "．．/", "~", "$HOME/", "-", "one//", "*", "?"]
    ends = ["runs-secret/two", "runs-secret/precious", "etc/passwd", "two", "precious", "run.json", "log.jsonl"]
    return [way + end for way in ways for end in ends]


def test_no_path_leads_outside(known):
    headers = {"origin": f"http://{HOST}", "content-type": "application/json"}
    assert len(payloads()) > 200
    for payload in payloads():
        for path in ("/api/record", "/api/log"):
            assert known.get(path, params={"run": payload}).status_code == 404, payload
        for path, body in (("/api/command", {"run": payload, "command": "stop"}), ("/api/ask", {"about": "net", "run": payload}),
                           ("/api/compare", {"runs": ["one", payload]}), ("/api/chain", {"run": payload})):
            assert known.post(path, content=json.dumps(body), headers=headers).status_code == 404, payload
        answer = known.get(f"/static/{quote(payload, safe=PLAIN)}")
        assert answer.status_code in (400, 404), payload
        assert b"mine alone" not in answer.content


def test_links_are_not_followed(known, page, tmp_path):
    root = page.runs.root
    (root / "linked").symlink_to(tmp_path / "runs-secret" / "two")
    (root / "alias").symlink_to(root / "one")
    (root / "three").mkdir()
    (root / "three" / "log.jsonl").symlink_to(tmp_path / "runs-secret" / "two" / "log.jsonl")
    (root / "three" / "run.json").symlink_to(tmp_path / "runs-secret" / "two" / "run.json")
    (root / "one" / "valid.json").symlink_to(tmp_path / "runs-secret" / "precious")
    (root / "one" / "commands.jsonl").symlink_to(tmp_path / "runs-secret" / "precious")
    assert [one["run"] for one in known.get("/api/runs").json()["runs"]] == ["one"]
    assert known.get("/api/record", params={"run": "linked"}).status_code == 404
    assert known.get("/api/record", params={"run": "alias"}).status_code == 404
    assert known.get("/api/record", params={"run": "three"}).status_code == 404
    assert known.get("/api/record", params={"run": "one"}).json()["valid"] == {}
    headers = {"origin": f"http://{HOST}", "content-type": "application/json"}
    assert known.post("/api/command", content=json.dumps({"run": "one", "command": "stop"}), headers=headers).status_code == 422
    assert (tmp_path / "runs-secret" / "precious").read_text() == "mine alone"


def test_a_large_body_is_refused(known):
    headers = {"origin": f"http://{HOST}", "content-type": "application/json"}
    assert known.post("/api/ask", content=b" " * (2**20 + 1), headers=headers).status_code == 413


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("path", ["/api/command", "/api/ask", "/api/compare", "/api/chain", "/api/play"])
def test_what_is_no_object_is_a_sentence(known, path, body):
    answer = known.post(path, content=body, headers={"origin": f"http://{HOST}", "content-type": "application/json"})
    assert answer.status_code in (400, 404, 422)
    assert answer.status_code == 404 or answer.json()["error"]


HOSTILE = ["<script>alert(1)</script>", "\ud800", "a" * 10**5, "(" * 1000, "-" * 600, "a\x00b", "'; DROP TABLE runs; --", "${7*7}",
           "x0=a;" + ";".join(f"x{i + 1} = x{i} x{i}" for i in range(45)), "a" + "+a" * 290, "a/0", "a^" * 40 + "a", "9" * 590 + "a"]


def test_a_hostile_formula_is_one_sentence_or_a_graph(page):
    """By the process that answers, as the page asks it: nothing hangs, nothing is thrown, and the next question is answered."""
    headers = {"origin": f"http://{HOST}", "content-type": "application/json", "cookie": f"chainrule-{PORT}={TOKEN}"}

    async def asking():
        app = Guard(application(page), PORT, TOKEN)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{HOST}", headers=headers, timeout=120) as client:
            answers = [(text, await client.post("/api/chain", content=json.dumps({"formula": text, "at": {"a": 2}}))) for text in HOSTILE]
            answers += [(str(at), await client.post("/api/chain", content=json.dumps({"formula": "a b", "at": at})))
                        for at in (3, {"a": "x" * 1000}, {"a": [1]})]
            answers.append(("", await client.post("/api/chain", content=json.dumps({"formula": "e = (a + b) (b + 1)"}))))
        await page.close()
        return answers

    answers = asyncio.run(asking())
    for text, answer in answers:
        assert answer.headers["content-type"] == "application/json", text[:60]
        assert answer.status_code == (200 if "nodes" in answer.json() else 400), (text[:60], answer.text[:300])
        assert answer.status_code == 200 or len(answer.json()["error"]) < 1000
        assert "cannot be answered" not in answer.text, answer.text[:300]
    assert [answer.status_code for _, answer in answers[-4:]] == [400, 400, 400, 200]


def test_a_graph_is_of_a_formula_or_of_a_run(known):
    headers = {"origin": f"http://{HOST}", "content-type": "application/json"}
    answer = known.post("/api/chain", content="{}", headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "A graph is of a formula or of a run. Name one.")


def test_hostile_names_are_json_and_nothing_else(known, page):
    name = "<script>alert(1)</script>"
    write_run(page.runs.root / "x\"'<img src=x onerror=alert(1)>", net=name, classes=(name, "</script>"))
    answer = known.get("/api/runs")
    assert answer.headers["content-type"] == "application/json"
    assert {one["net"] for one in answer.json()["runs"]} == {name, "mlp:hidden=10x10"}


def test_a_whole_log_comes_with_the_place_after_it(page):
    """The stream of a finished run: all of its events, once, each whole."""
    async def first(count):
        got = []
        stream = page.streams.records([page.runs.root / "one"], "")
        async for message in stream:
            got.append(message)
            if len(got) == count:
                break
        await stream.aclose()
        return got

    retry, records = asyncio.run(first(2))
    assert retry.startswith(b"retry:")
    lines = records.decode().splitlines()
    assert lines[0].startswith("id: ")
    assert lines[1] == "event: records"
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert data[0] == "0"
    assert json.loads(data[-1])["event"] == Finished.__name__.lower()
    assert [json.loads(one)["at"] for one in data[1:]] == list(range(len(data) - 1))
    assert page.streams.open == 0
