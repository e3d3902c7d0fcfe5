"""Serves the application on this machine only, until Ctrl-C."""

import contextlib
import errno
import os
import socket
import sys
import threading
import webbrowser
from concurrent.futures import Future

import uvicorn

from app.main import create_app
from app.words import say

HOST = "127.0.0.1"
PORTS_TRIED = 100


def serve(port: int, *, browser: bool, under_way: "Future[int] | None", then_exit: bool) -> int:
    """Serves until Ctrl-C, or, with `then_exit`, until the training that is `under_way` has ended; the exit status."""
    listening = listen(port)
    server = uvicorn.Server(
        uvicorn.Config(create_app(), log_level="error", access_log=False, timeout_graceful_shutdown=1, lifespan="on")
    )
    url = f"http://{HOST}:{listening.getsockname()[1]}"
    print(say("cli.ready", url=url), flush=True)
    if browser and has_browser():
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
    if under_way is not None and then_exit:
        under_way.add_done_callback(lambda _: setattr(server, "should_exit", True))
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    if under_way is not None and then_exit:
        return under_way.result() if under_way.done() else 130
    print(say("cli.ended"), flush=True)
    return 0


def listen(port: int) -> socket.socket:
    """A socket on `port` of this machine, or on the next free one. Raises OSError when there is none."""
    for number in [port, *range(port + 1, min(port + PORTS_TRIED, 65536))]:
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if os.name != "nt":  # there it would let two programs share a port
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((HOST, number))
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
