"""Who may come in: one ASGI middleware in front of every route.

Atelier answers on this machine only. That alone does not keep web pages out that the same browser has open: they can
post to a local port, and can reach it by a name of their own that resolves to it (DNS rebinding). So the Host must be
this machine, and writes must come from Atelier's own page or from a program.
"""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

CLOSED_PATHS = (
    "/gradio_api/proxy=",
    "/gradio_api/file=http",
    "/gradio_api/vibe",
    "/gradio_api/run-history",
    "/gradio_api/runs",
    "/gradio_api/process_recording",
    "/gradio_api/deep_link",
    "/monitoring",
)
"""Routes of Gradio that fetch from elsewhere or tell of others' doings; Atelier uses none of them."""

CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline';"
    " script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; font-src 'self' data:;"
    " connect-src 'self' data: blob:; frame-ancestors 'self'; base-uri 'self'; form-action 'self'"
)
"""Gradio compiles its templates in the page, which needs unsafe-eval; nothing may come from or go to other hosts."""

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"content-security-policy", CONTENT_POLICY.encode()),
)


class Guard:
    """Turns away what does not come from this machine's own browser or programs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = refused(scope)
        if refusal:
            await _deny(scope, send, *refusal)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self._app(scope, receive, with_headers)


def refused(scope: Scope) -> tuple[int, str] | None:
    """Status and sentence for a request that may not come in, else None."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    if _host_name(headers.get("host", "")) not in LOCAL_HOSTS:
        return 421, "Atelier answers to localhost and 127.0.0.1 only."
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        return 403, "Another web page may not use Atelier."
    writes = scope.get("method", "GET") not in ("GET", "HEAD")
    if writes and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return 403, "Another web page may not use Atelier."
    path = scope["path"].lower()
    if path.startswith(CLOSED_PATHS):
        return 404, "There is nothing here."
    return None


def _host_name(host: str) -> str:
    try:
        return urlsplit("//" + host).hostname or ""
    except ValueError:
        return ""


async def _deny(scope: Scope, send: Send, status: int, sentence: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": sentence})
        return
    body = json.dumps({"detail": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
