"""Who may talk to the server, how much they may send, and what the page may load: one ASGI layer around it all."""

from __future__ import annotations

import contextlib
import hmac
import html
import json
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "segue_token"  # and the port: cookies are shared by all servers of one host
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """Checks every request before the application sees it.

    * The Host header must name this machine while ``local``: a foreign name that resolves here is refused.
    * With a ``token`` every request carries it, in the cookie, as bearer or (once, for the page) in the address.
    * A changing request must come from this origin.
    * A body of more than ``max_upload`` bytes is refused, also when it lies about its length.
    """

    def __init__(self, app: Application, *, local: bool, token: str | None, max_upload: int) -> None:
        self._app, self._local, self._token, self._max = app, local, token, max_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        guarded = _with_headers(send)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(guarded, *refusal, page="text/html" in headers.get("accept", ""))
            return
        if self._token is not None and "token=" in scope.get("query_string", b"").decode("latin-1"):
            await self._exchange(scope, headers, guarded)
            return
        limit = _Limit(receive, guarded, self._max)
        with contextlib.suppress(TooLarge):
            await self._app(scope, limit.receive, limit.send)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        name = _hostname(host)
        if self._local and name not in LOCAL:
            return 421, f"this server answers to localhost only, not to '{name}'"
        if self._token is not None and not self._knows(scope, headers):
            return 401, "A token is needed: open the address that segue printed at its start."
        if scope["method"] not in SAFE:
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != host:
                return 403, "a change must come from the page itself, not from another site"
            if origin is None and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
                return 403, "a change must come from the page itself, not from another site"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._max:
            return 413, f"the request is larger than {self._max // 1024**2} MB"
        return None

    def _knows(self, scope: Scope, headers: dict[str, str]) -> bool:
        assert self._token is not None
        given = [_cookie(headers.get("cookie", ""), _cookie_name(headers))]
        bearer = headers.get("authorization", "")
        if bearer.lower().startswith("bearer "):
            given.append(bearer[7:])
        given += parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
        wanted = self._token.encode()
        return any(hmac.compare_digest(text.encode(), wanted) for text in given)

    async def _exchange(self, scope: Scope, headers: dict[str, str], send: Send) -> None:
        """The token moves from the address, where it would be seen, into a cookie that scripts cannot read."""
        cookie = f"{_cookie_name(headers)}={self._token}; HttpOnly; SameSite=Strict; Path=/; Max-Age=31536000"
        path = "/" + quote(scope["path"].lstrip("/\\"))  # two slashes would be another host
        moved = [(b"location", path.encode()), (b"set-cookie", cookie.encode())]
        await send({"type": "http.response.start", "status": 303, "headers": moved})
        await send({"type": "http.response.body", "body": b""})


class TooLarge(Exception):
    """A body without a length turned out larger than allowed."""


class _Limit:
    """Counts a body while it arrives; once it is too large, whatever the application says becomes 413."""

    def __init__(self, receive: Receive, send: Send, most: int) -> None:
        self._receive, self._send, self._most = receive, send, most
        self._seen, self._refused = 0, False

    async def receive(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self._seen > self._most:
            if not self._refused:
                self._refused = True
                await _answer(self._send, 413, f"the request is larger than {self._most // 1024**2} MB")
            raise TooLarge
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if not self._refused:
            await self._send(message)


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _cookie_name(headers: dict[str, str]) -> str:
    """Each server has a cookie of its own, also where two run on one host."""
    with contextlib.suppress(ValueError):
        port = urlsplit(f"//{headers.get('host', '')}").port
        return COOKIE if port is None else f"{COOKIE}_{port}"
    return COOKIE


def _cookie(header: str, name: str) -> str:
    try:
        morsel = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


def _with_headers(send: Send) -> Send:
    async def guarded(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            held = [(name.lower(), value) for name, value in message.get("headers", [])]
            names = {name for name, _ in held}
            held += [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in names]
            if b"cache-control" not in names:
                held.append((b"cache-control", b"no-store"))
            message = {**message, "headers": held}
        await send(message)

    return guarded


async def _answer(send: Send, status: int, message: str, *, page: bool = False) -> None:
    """Refuse: in JSON to the page, as a page to somebody who typed the address."""
    if page:
        body = f"<!doctype html><title>segue</title><h1>segue</h1><p>{html.escape(message)}</p>".encode()
    else:
        body = json.dumps({"message": message, "arrived": "", "expected": "", "fix": ""}).encode()
    kind = b"text/html; charset=utf-8" if page else b"application/json"
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
