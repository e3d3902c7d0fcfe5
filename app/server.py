"""Serves the application until Ctrl-C: on this machine only, or with a door for others."""

import contextlib
import dataclasses
import errno
import gc
import ipaddress
import os
import secrets
import socket
import sys
import threading
import webbrowser
from concurrent.futures import Future

import uvicorn

from app.connections import PromptProtocol
from app.door import Door
from app.main import create_app
from app.words import say
from trainer.run import presence
from trainer.run.home import home

HOST = "127.0.0.1"
PORTS_TRIED = 100


@dataclasses.dataclass(frozen=True)
class Guests:
    """Who else is served: at `address` of this machine, with `password`, or with `token`, made up where that is ""."""

    address: str
    password: str
    token: str = dataclasses.field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def needed(self) -> str:
        """What has to be known."""
        return self.password or self.token


def serve(
    port: int, *, browser: bool, under_way: "Future[int] | None", then_exit: bool, guests: Guests | None = None
) -> int:
    """Serves until Ctrl-C, or, with `then_exit`, until the training that is `under_way` has ended; the exit status."""
    address = guests.address if guests else HOST
    try:
        listening = listen(port, address)
    except OSError as error:
        print(say("cli.not_listening", address=address, port=port, reason=error.strerror or error), file=sys.stderr)
        return 1
    app = create_app(Door(guests.needed) if guests else None)
    # What is there by now stays: to look through all of it again and again for what is not needed any more takes as
    # long as the page's own work.
    gc.freeze()
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=PromptProtocol,
            # Else whoever sends from this machine could name any address as its own.
            proxy_headers=False,
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=1,
            lifespan="on",
        )
    )
    number = listening.getsockname()[1]
    url = address_of(address, number)
    print(say("cli.ready", url=url), flush=True)
    if others := presence.ports(home()):
        print(say("cli.also_open", ports=", ".join(map(str, others))), flush=True)
    if guests and not guests.password:
        print(say("cli.token", url=f"{url}/?token={guests.token}"), flush=True)
    # Without the token: what a browser is started with, everybody on this machine can see.
    if browser and has_browser():
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
    if under_way is not None and then_exit:
        under_way.add_done_callback(lambda _: setattr(server, "should_exit", True))
    with contextlib.suppress(KeyboardInterrupt), presence.present(home(), number):
        server.run(sockets=[listening])
    if under_way is not None and then_exit:
        return under_way.result() if under_way.done() else 130
    print(say("cli.ended"), flush=True)
    return 0


def address_of(address: str, port: int) -> str:
    """Where a browser finds what listens at `address`; for every address at once, the one that others know."""
    found = ipaddress.ip_address(address)
    host = _own_address() if found.is_unspecified else f"[{found}]" if found.version == 6 else address
    return f"http://{host}:{port}"


def _own_address() -> str:
    """The address of this machine in its network, or its name where it is in none."""
    # Choosing where a datagram would leave from sends nothing; 192.0.2.1 is nobody's (RFC 5737).
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return socket.gethostname()


def listen(port: int, address: str = HOST) -> socket.socket:
    """A socket on `port` at `address`, or on the next free one. Raises OSError when there is none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for number in [port, *range(port + 1, min(port + PORTS_TRIED, 65536))]:
        # Named, for asyncio sends at once only through what is said to be TCP: else the body of each answer waits 40 ms
        # for the other side to confirm the head.
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if os.name != "nt":  # there it would let two programs share a port
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((address, number))
            found.listen(128)
        except OSError as error:
            found.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
        else:
            return found
    raise OSError(errno.EADDRINUSE, say("cli.no_port", first=port, last=port + PORTS_TRIED - 1))


def has_browser() -> bool:
    """Whether a window can be opened: a text browser in the terminal would only be in the way."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True
