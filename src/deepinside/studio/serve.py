"""The server of the page: who may reach it, and what it never does.

Without `--host`, only this machine reaches it, and with another host a name and a password are required. Browsers are
told to fetch nothing from elsewhere, and other sites cannot post to it. Of Gradio's own addresses, only those are open
that the page asks for; photos come in memory (`routes`).
"""

from __future__ import annotations

import base64
import binascii
import socket
from collections.abc import Callable, Iterable
from hmac import compare_digest
from ipaddress import ip_address
from threading import Thread
from urllib.parse import urlsplit

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deepinside.core.errors import DeepInsideError
from deepinside.studio.desk import Desk
from deepinside.studio.page import THEME, page
from deepinside.studio.parts import asset
from deepinside.studio.routes import routes
from deepinside.studio.runs import Runs

LOOPBACK = "127.0.0.1"
# Gradio builds functions of templates while it runs, so scripts may be evaluated; none may come from elsewhere.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # a link has the id of a photo in it
    "X-Frame-Options": "DENY",
}
# What the page asks for. All else that Gradio can do, such as uploads, files and editors of the page, is closed.
OPEN = frozenset({
    "/", "/config", "/favicon.ico", "/manifest.json", "/theme.css", "/gradio_api/theme.css", "/gradio_api/cancel",
    "/gradio_api/reset", "/gradio_api/startup-events",
})  # fmt: skip
OPEN_BELOW = ("/assets/", "/static/", "/studio/", "/gradio_api/heartbeat/", "/gradio_api/queue/", "/gradio_api/run/")


def studio(desk: Desk, runs: Runs, host: str = LOOPBACK, auth: str | None = None) -> ASGIApp:
    """The page and its addresses as one application.

    Args:
        desk: networks and examples.
        runs: that the page shows.
        host: where it is served, whose name requests have to be for where that is this machine alone.
        auth: `NAME:PASSWORD`, without which nobody gets anything; required for another host than this machine.

    Raises `DeepInsideError` for another host without `auth`, and for one without a name or a password.
    """
    check(host, auth)
    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    application.routes.extend(routes(desk, runs))
    blocks = page(desk, runs)
    application = gr.mount_gradio_app(
        application, blocks, path="/", footer_links=[], run_history=False, show_error=False, theme=THEME,
        head=f"<style>{asset('page.css')}</style>", ssr_mode=False, mcp_server=False, allowed_paths=[], max_file_size=1,
    )  # fmt: skip
    return Guard(application, auth, _names(host))


def serve(
    desk: Desk,
    runs: Runs,
    host: str = LOOPBACK,
    port: int = 7860,
    auth: str | None = None,
    tell: Callable[[str], None] = print,
) -> None:
    """Serve the page until somebody interrupts it.

    Args:
        desk: as in `studio`, and so are `runs`, `host` and `auth`.
        runs: that the page shows.
        host: where it is served.
        port: 0 for any free one.
        auth: name and password.
        tell: gets the address once the page is there.

    Raises `DeepInsideError` as `studio`, and for a port or a host that is not to be had.
    """
    application = studio(desk, runs, host, auth)
    with _listening(host, port) as listening:
        address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
        config = uvicorn.Config(application, log_level="error", timeout_graceful_shutdown=1, lifespan="on")
        Thread(target=desk.warm_up, daemon=True).start()
        tell(address)
        uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise DeepInsideError(f"cannot serve at {host}:{port}: {why}; name another --port or --host") from None


def check(host: str, auth: str | None) -> None:
    """Raise `DeepInsideError` for a host that others reach without a name and a password."""
    name, _, password = (auth or "").partition(":")
    if auth is not None and not (name and password):
        raise DeepInsideError("expected --auth NAME:PASSWORD, got one of them at most")
    if auth is None and not is_loopback(host):
        raise DeepInsideError(f"expected --auth NAME:PASSWORD for {host}, where others reach the page, got none")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """What stands before the page: names, password, foreign origins, closed addresses, and headers of every answer."""

    def __init__(self, application: ASGIApp, auth: str | None, names: Iterable[str] | None):
        self.application, self.auth = application, auth
        self.names = None if names is None else frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        if scope["type"] != "http":  # the page has no other connections, and whoever opens one has shown no password
            await send({"type": "websocket.close"})
            return
        given = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        refused = self._refused(scope, given)
        if refused:
            await _refuse(send, *refused)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(key.lower().encode(), value.encode()) for key, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *own]
            await send(message)

        await self.application(scope, receive, with_headers)

    def _refused(self, scope: Scope, given: dict[str, str]) -> tuple[int, str, dict[str, str]] | None:
        host = _host_of(given.get("host", ""))
        if self.names is not None and host not in self.names:
            return 421, "this page is for this machine alone", {}
        if "origin" in given and urlsplit(given["origin"]).netloc != given.get("host"):
            return 403, "expected a request of this page, got one of another site", {}
        if self.auth is not None and not _is_known(given.get("authorization", ""), self.auth):
            return 401, "expected a name and a password", {"WWW-Authenticate": 'Basic realm="deepinside"'}
        path = str(scope["path"])
        if path not in OPEN and not path.startswith(OPEN_BELOW):
            return 404, "nothing is here", {}
        return None


async def _refuse(send: Send, status: int, why: str, headers: dict[str, str]) -> None:
    told = {"Content-Type": "text/plain"} | HEADERS | headers
    own = [(key.lower().encode(), value.encode()) for key, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": why.encode()})


def _is_known(given: str, auth: str) -> bool:
    kind, _, encoded = given.partition(" ")
    try:
        known = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    return kind.lower() == "basic" and compare_digest(known, auth.encode())


def _names(host: str) -> set[str] | None:
    """The names that requests may be for; any where others reach the page, as they know it by many names.

    A page of another site whose name is made to point to this machine is none of them.
    """
    return {"localhost", "127.0.0.1", "[::1]", host} if is_loopback(host) else None


def _host_of(header: str) -> str:
    """The host of a `Host` header, without its port.

    >>> _host_of("localhost:7860"), _host_of("[::1]:7860"), _host_of("[::1]")
    ('localhost', '[::1]', '[::1]')
    """
    return header if header.endswith("]") else header.rpartition(":")[0] or header
