"""Who may come in from other machines: whoever knows the password, or the token that was printed instead of one."""

import asyncio
import collections
import hashlib
import hmac
import html
import pathlib
import secrets
import string
import time
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.connections import HEAD_S, network
from app.cookies import cookie, named
from app.words import say

ENTRANCE, EXIT = "/enter", "/leave"
LEFT, LED = "left", "led"
FREE_TRIES = 3
LONGEST_WAIT_S = 300.0
LONGEST_PAUSE_S = 5.0
FORGOTTEN_AFTER_S = 3600.0
MOST_ADDRESSES = 1024
MOST_AT_ONCE = 32
MAX_FORM_BYTES = 4096
MOST_INSIDE = 1024
SESSION_S = 7 * 24 * 3600


class Attempts:
    """How long somebody who guesses has to wait: the longer, the more often the address, and all together, were wrong.

    Memory is bounded: of many addresses the ones longest silent are forgotten, and the wait of all together remains.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tries: collections.OrderedDict[str, tuple[int, float]] = collections.OrderedDict()
        self._all: collections.deque[float] = collections.deque(maxlen=100)

    def wait_s(self, address: str) -> float:
        """0 when the address may try now, which counts as a wrong try until `forgive`; else the seconds left."""
        key, now = network(address), self._clock()
        count, last = self._tries.get(key, (0, now))
        if now - last > FORGOTTEN_AFTER_S:
            count = 0
        # Not 2 to any power: the exponent grows as long as somebody tries.
        delay_s = min(2.0 ** min(count - FREE_TRIES, 16), LONGEST_WAIT_S) if count >= FREE_TRIES else 0.0
        if now - last < delay_s:
            return delay_s - (now - last)
        self._tries[key] = (count + 1, now)
        self._tries.move_to_end(key)
        if len(self._tries) > MOST_ADDRESSES:
            self._tries.popitem(last=False)
        self._all.append(now)
        return 0.0

    def pause_s(self) -> float:
        """How long any answer is to be held back, by how many tries of all addresses were wrong of late."""
        since = self._clock() - FORGOTTEN_AFTER_S
        wrong = sum(when > since for when in self._all)
        return min(0.05 * max(wrong - FREE_TRIES, 0), LONGEST_PAUSE_S)

    def forgive(self, address: str) -> None:
        """The last try was right."""
        self._tries.pop(network(address), None)
        if self._all:
            self._all.pop()


class Door:
    """Lets in who has the password and remembers it with a cookie. Whoever knocks without one is shown the entrance."""

    def __init__(self, password: str, attempts: Attempts | None = None) -> None:
        self._secret = secrets.token_bytes(32)
        self._password = self._sign(password)
        self._attempts = attempts or Attempts()
        self._at_once = 0
        self._inside: collections.OrderedDict[str, float] = collections.OrderedDict()

    def before(self, app: ASGIApp) -> ASGIApp:
        """`app` behind this door."""

        async def behind(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                request = Request(scope, receive)
                answer = None if self.admits(request) else await self._answer(request)
                await (answer or app)(scope, receive, send)
            elif self._is_session(Headers(scope=scope)):
                await app(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008})

        return behind

    def admits(self, request: Request) -> bool:
        """Whether who asks has come in before and wants something other than the entrance."""
        asks_in = request.url.path in (ENTRANCE, EXIT) or "token" in request.query_params
        return not asks_in and self._is_session(request.headers)

    async def _answer(self, request: Request) -> Response:
        if request.method == "GET" and "token" in request.query_params:
            # A page from elsewhere must neither bring somebody in nor use up the tries of who it leads here.
            if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
                return RedirectResponse(f"{ENTRANCE}?{LED}", 303)
            return await self._try(request, request.query_params["token"])
        if request.url.path == EXIT and request.method == "POST":
            return self._let_out(request)
        if request.url.path != ENTRANCE:
            if "text/html" in request.headers.get("accept", "") and request.method == "GET":
                return RedirectResponse(ENTRANCE, 303)
            return PlainTextResponse(say("door.closed"), 401)
        if request.method == "POST":
            return await self._try(request, await _typed(request))
        inside = self._is_session(request.headers)
        told = [word for name, word in ((LEFT, "door.left"), (LED, "door.led")) if name in request.query_params]
        return _page(about="door.inside" if inside else [*told, "door.about"][0], inside=inside)

    def _let_out(self, request: Request) -> Response:
        """Forgets who asks, so that a copy of the cookie is worth nothing either."""
        name = named(request.headers, "session")
        self._inside.pop(_ticket(request.headers), None)
        answer = RedirectResponse(f"{ENTRANCE}?{LEFT}", 303)
        answer.delete_cookie(name, httponly=True, samesite="lax")
        return answer

    async def _try(self, request: Request, password: str) -> Response:
        address = request.client.host if request.client else ""
        wait_s = self._attempts.wait_s(address) if self._at_once < MOST_AT_ONCE else LONGEST_PAUSE_S
        if wait_s:
            seconds = int(wait_s) + 1
            return _page(say("door.wait", seconds=seconds), 429, {"Retry-After": str(seconds)})
        self._at_once += 1
        try:
            await asyncio.sleep(self._attempts.pause_s())
        finally:
            self._at_once -= 1
        # Both sides are as long as each other whatever was typed, so the time tells nothing about the password.
        if not hmac.compare_digest(self._sign(password), self._password):
            return _page(say("door.wrong"), 401)
        self._attempts.forgive(address)
        answer = RedirectResponse("/", 303)
        # Lax, unlike the cookie of a page: who follows a link to this program is still known.
        answer.set_cookie(named(request.headers, "session"), self._session(), httponly=True, samesite="lax")
        return answer

    def _sign(self, text: str) -> bytes:
        return hmac.new(self._secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()

    def _session(self) -> str:
        ticket = secrets.token_urlsafe(32)
        self._inside[_hashed(ticket)] = time.time() + SESSION_S
        if len(self._inside) > MOST_INSIDE:
            self._inside.popitem(last=False)
        return ticket

    def _is_session(self, headers: Headers) -> bool:
        # Looked up by its hash, the time says nothing about how much of a guess was right.
        return self._inside.get(_ticket(headers), 0.0) > time.time()


def _ticket(headers: Headers) -> str:
    return _hashed(cookie(headers, named(headers, "session")))


def _hashed(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).hexdigest()


def way_out() -> str:
    """What stands above the page itself: that it is shared, and the button that logs out."""
    shared, log_out = html.escape(say("door.shared")), html.escape(say("door.log_out"))
    return f'<form method="post" action="{EXIT}"><span>{shared}</span><button type="submit">{log_out}</button></form>'


async def _typed(request: Request) -> str:
    """What was entered; "" where the form is not one of ours, or has not come whole in time."""
    if int(request.headers.get("content-length", "0")) > MAX_FORM_BYTES:
        return ""
    try:
        async with asyncio.timeout(HEAD_S):
            content = await request.body()
        fields = parse_qs(content.decode("utf-8"), max_num_fields=8)
    except (ValueError, TimeoutError, ClientDisconnect):
        return ""
    return fields.get("password", [""])[0]


def _page(
    problem: str = "",
    status: int = 200,
    headers: dict[str, str] | None = None,
    *,
    about: str = "door.about",
    inside: bool = False,
) -> Response:
    """The entrance, or, to who is `inside`, the way on and the way out; `about` is the key of what it says."""
    folder = pathlib.Path(__file__).parent
    template = string.Template((folder / "door.html").read_text(encoding="utf-8"))
    words = {
        "title": say("app.title"),
        "about": say(about),
        "problem": problem,
        "password": say("door.password"),
        "enter": say("door.enter"),
        "open": say("door.open"),
        "leave": say("door.leave"),
        "outside": "hidden" if inside else "",
        "inside": "" if inside else "hidden",
        "focus": "" if inside else "autofocus",
    }
    page = template.substitute({name: html.escape(text) for name, text in words.items()})
    return HTMLResponse(page, status, headers)
