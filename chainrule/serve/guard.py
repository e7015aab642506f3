"""Who may ask: whoever sits at this machine and has the token. A gate before every route, so that none can be forgotten.

A page of another site may send requests to this machine, and a name of its own may be made to point here; so the Host must be this
machine's, the Origin this page's, and a cookie that no other site can send must bear the token.
"""

from __future__ import annotations

import hmac
import http.cookies
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

METHODS = ("GET", "HEAD", "POST")
OPEN = "/health"                     # the one path that needs no token, and says nothing but that it answers
MOST_BODY = 2**20
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
          "form-action 'none'; frame-ancestors 'none'")
HEADERS = {"content-security-policy": POLICY, "x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin",
           "cross-origin-opener-policy": "same-origin", "referrer-policy": "no-referrer", "cache-control": "no-store",
           "x-frame-options": "DENY"}
ENTRY = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>chainrule</title>
<meta http-equiv="refresh" content="0; url=/"><p><a href="/">Open the page</a></p></html>"""


def new_token() -> str:
    return secrets.token_urlsafe(32)


class Guard:
    """Lets a request pass to `app` that comes from this page at `port` and bears the token; refuses it with an empty body otherwise."""

    def __init__(self, app: App, port: int, token: str):
        self.app, self.token, self.cookie = app, token, f"chainrule-{port}"
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        status, entry = self._judge(scope)
        if status:
            await _answer(send, status)
        elif entry:
            cookie = f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"
            await _answer(send, 200, ENTRY, [(b"set-cookie", cookie.encode()), (b"content-type", b"text/html; charset=utf-8")])
        else:
            await self.app(scope, _bounded(receive), _with_headers(send))

    def _judge(self, scope: Scope) -> tuple[int, bool]:
        """The status that refuses a request, 0 where it may pass, and whether it brings the token in its address to have it put away."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = [h.decode("latin-1") for h in headers.get(b"host", [])]
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return 403, False
        origins = [o.decode("latin-1") for o in headers.get(b"origin", [])]
        if origins and origins != [f"http://{hosts[0]}"]:
            return 403, False
        if scope["method"] not in METHODS:
            return 405, False
        if scope["path"] == OPEN and scope["method"] != "POST":
            return 0, False
        entry = scope["path"] == "/" and scope["method"] == "GET" and self._same(_token_of(scope))
        site = headers.get(b"sec-fetch-site", [b"none"])
        if site not in ([b"same-origin"], [b"none"]):
            return (0, True) if entry else (403, False)
        if entry:
            return 0, True
        if not self._same(self._cookie_of(headers)):
            return 401, False
        if scope["method"] == "POST" and (not origins or headers.get(b"content-type", []) != [b"application/json"]):
            return 403, False
        return 0, False

    def _same(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.token.encode())

    def _cookie_of(self, headers: dict[bytes, list[bytes]]) -> str:
        try:
            jar = http.cookies.SimpleCookie(b"; ".join(headers.get(b"cookie", [])).decode("latin-1"))
        except http.cookies.CookieError:
            return ""
        return jar[self.cookie].value if self.cookie in jar else ""


def _token_of(scope: Scope) -> str:
    values = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
    return values[0] if len(values) == 1 else ""


def _bounded(receive: Receive) -> Receive:
    """A body of at most so many bytes; what is longer ends as if the other side had gone."""
    size = 0

    async def bounded() -> MutableMapping[str, Any]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        return {"type": "http.disconnect"} if size > MOST_BODY else message

    return bounded


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = [(name, value) for name, value in message.get("headers", []) if name.decode().lower() not in HEADERS]
            message = {**message, "headers": [*own, *((n.encode(), v.encode()) for n, v in HEADERS.items())]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, body: bytes = b"", headers: list[tuple[bytes, bytes]] | None = None) -> None:
    sending = _with_headers(send)
    length = (b"content-length", str(len(body)).encode())
    await sending({"type": "http.response.start", "status": status, "headers": [length, *(headers or [])]})
    await sending({"type": "http.response.body", "body": body})
