"""What stands before every route: whatever does not come from a page of this program is turned away.

A foreign web page can make the browser that shows it send requests to this machine. Four things tell them apart:

- Host: a page whose name was made to resolve to 127.0.0.1 (DNS rebinding) still names itself there.
- Origin and Sec-Fetch-Site: browsers say whose page asks; only a link that is followed may come from elsewhere.
- A cookie that each page of this program brings, and without which nothing may be changed. It is SameSite=Strict, so no
  request that another site causes carries it, whatever the browser says of its origin; and HttpOnly, so no script can
  read it. It is a cookie and not a header because Gradio's own requests carry it too, without a change to Gradio.
- Content-Security-Policy: what a page shows cannot make it ask or tell anybody else.
"""

import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.cookies import cookie, named
from app.door import Door
from app.words import say

MAX_BODY_BYTES = 32 * 2**20
READING = ("GET", "HEAD")
API = "/gradio_api/"
API_IN_USE = frozenset(
    {
        "app_id",
        "cancel",
        "component_server",
        "heartbeat",
        "info",
        "queue",
        "reset",
        "run",
        "startup-events",
        "theme.css",
    }
    | {"upload", "upload_progress"}
)
"""All else that Gradio offers is closed: files by their path, proxies, recordings, its own editor."""
CLOSED = frozenset({"custom_component", "login", "logout", "monitoring", "openapi.json"})
"""The same, of what does not lie below `API`."""
# Gradio's page has scripts in it and makes functions of text, so only where things come from can be limited.
POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; connect-src 'self' data: blob:; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
)
ALWAYS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.ASCII)


class Guard:
    """ASGI middleware: nothing is buffered, so that what is streamed stays a stream.

    `is_own` tells whether this program may be called by a host name; `door` asks for a password where it is given.
    """

    def __init__(self, app: ASGIApp, is_own: Callable[[str], bool], door: Door | None = None) -> None:
        self._app = app
        self._is_own = is_own
        self._door = door
        self._secret = secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what is allowed; answers all else with a status from 400 on and a sentence."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        method = scope["method"] if scope["type"] == "http" else "WEBSOCKET"
        refused = self._refused(method, scope["path"], headers)
        if refused:
            await _turn_away(scope, receive, send, *refused)
            return
        sent = self._with_headers(headers, send) if scope["type"] == "http" else send
        app = self._app if self._door is None else self._door.before(self._app)
        await app(scope, receive, sent)

    def _refused(self, method: str, path: str, headers: Headers) -> tuple[int, str] | None:
        """The status and the key of the sentence; None for what may pass."""
        if not self._is_own(host_of(headers)):
            return 400, "guard.host"
        if is_foreign(method, headers):
            return 403, "guard.origin"
        if is_closed(path):
            return 404, "guard.closed"
        if method in READING:
            return None
        if not hmac.compare_digest(self._token(headers).encode(), cookie(headers, named(headers, "page")).encode()):
            return 403, "guard.token"
        # What comes in pieces says nothing true of its length, whatever else it says.
        length = "" if "transfer-encoding" in headers else headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 12 or int(length) > MAX_BODY_BYTES:
            return 413, "guard.large"
        return None

    def _token(self, headers: Headers) -> str:
        return hmac.new(self._secret, named(headers, "page").encode(), hashlib.sha256).hexdigest()

    def _with_headers(self, headers: Headers, send: Send) -> Send:
        name, token = named(headers, "page"), self._token(headers)
        is_known = cookie(headers, name) == token

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for key, value in ALWAYS.items():
                    answer[key] = value
                # After logging out, going back must not show a page without anything behind it.
                if answer.get("content-type", "").startswith("text/html"):
                    answer["Cache-Control"] = "no-store"
                # Also when this program was started anew while the page stayed open: what the page reads mends it.
                if not is_known:
                    answer.append("Set-Cookie", f"{name}={token}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        return sent


def is_local(host: str) -> bool:
    """Whether `host` is how this machine calls itself."""
    return host in ("127.0.0.1", "localhost")


def is_reachable(host: str) -> bool:
    """Whether `host` may be how another machine calls this one: no name that somebody else can give to it."""
    own = socket.gethostname().lower()
    if is_local(host) or host in (own, f"{own.partition('.')[0]}.local"):
        return True
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def host_of(headers: Headers) -> str:
    """The name in the Host header, without its port; "" unless there is exactly one that is well formed."""
    given = headers.getlist("host")
    found = _HOST.fullmatch(given[0].lower()) if len(given) == 1 else None
    return found[1] if found else ""


def is_foreign(method: str, headers: Headers) -> bool:
    """Whether a browser says that a page from elsewhere asks, in other ways than by a link that was followed."""
    site = headers.get("sec-fetch-site", "same-origin")
    if site not in ("same-origin", "none"):
        followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        if method != "GET" or not followed:
            return True
    own = headers["host"].lower()
    return any(origin.lower() not in (f"http://{own}", f"https://{own}") for origin in headers.getlist("origin"))


def is_closed(path: str) -> bool:
    """Whether this is a route of Gradio's that no page here needs."""
    parts = path.strip("/").split("/")
    if path.startswith(API):
        return parts[1] not in API_IN_USE if len(parts) > 1 else True
    return parts[0] in CLOSED


async def only_files(keep: Callable[[Any], Awaitable[str | None]], source: Any) -> str | None:
    """`keep(source)`, where that is no address: whoever uses this page must not make this machine ask another one."""
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(source), re.IGNORECASE):
        raise ValueError(say("guard.address"))
    return await keep(source)


async def _turn_away(scope: Scope, receive: Receive, send: Send, status: int, key: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    answer = PlainTextResponse(say(key), status, {"X-Content-Type-Options": "nosniff", "Connection": "close"})
    await answer(scope, receive, send)
