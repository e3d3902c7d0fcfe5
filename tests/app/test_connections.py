"""A connection on which no whole head of a request comes in time is closed; all others go on as before."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from app import connections

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def slow(scope: Any, receive: Any, send: Any) -> None:
    """Answers everything, after longer than a head may take."""
    await asyncio.sleep(0.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A connection to a server that gives a head 0.3 seconds."""
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    with contextlib.closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(
            uvicorn.Config(slow, http=connections.PromptProtocol, log_level="error", lifespan="off")
        )
        serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        serving.start()
        with socket.create_connection(listening.getsockname(), timeout=60) as connected:
            yield connected
        server.should_exit = True
        serving.join()


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_who_sends_no_whole_head_is_left(guest: socket.socket, said: bytes) -> None:
    guest.sendall(said)
    assert guest.recv(9) == b""


def test_who_sends_it_drop_by_drop_gets_no_more_time(guest: socket.socket) -> None:
    def drops() -> None:
        for _ in range(600):
            guest.sendall(b"G")
            time.sleep(0.1)

    with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
        drops()


def test_no_other_machine_has_very_many_connections(guest: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    guest.sendall(HEAD)
    assert guest.recv(12) == b"HTTP/1.1 200"
    monkeypatch.setattr(connections, "network", lambda _: "192.0.2.7")
    monkeypatch.setattr(connections, "MOST_OF_ONE", 1)
    monkeypatch.setattr(connections, "HEAD_S", 60.0)
    others = [socket.create_connection(guest.getpeername(), timeout=60) for _ in range(3)]
    with contextlib.ExitStack() as stack:
        first, *rest = map(stack.enter_context, others)
        for refused in rest:
            with contextlib.suppress(ConnectionResetError):
                assert refused.recv(1) == b""
        first.sendall(HEAD)
        assert first.recv(12) == b"HTTP/1.1 200"
    answers = (answer(guest.getpeername()) for _ in range(600))  # it may not have seen yet that the first one left
    assert b"HTTP/1.1 200" in answers


def answer(address: Any) -> bytes:
    """How the answer on a new connection begins."""
    time.sleep(0.1)
    with socket.create_connection(address, timeout=60) as again, contextlib.suppress(OSError):
        again.sendall(HEAD)
        return again.recv(12)
    return b""


@pytest.mark.parametrize(
    ("address", "one"),
    [("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8::1", "2001:db8::/64"), ("x", "x")],
)
def test_what_one_person_has_at_hand(address: str, one: str) -> None:
    assert connections.network(address) == one


def test_an_answer_may_take_long_and_a_second_request_may_follow(guest: socket.socket) -> None:
    with guest.makefile("rb") as answers:
        for _ in range(2):
            guest.sendall(HEAD)
            assert answers.readline().startswith(b"HTTP/1.1 200")
            while answers.readline().strip():
                pass
            assert answers.read(2) == b"hi"
        guest.sendall(HEAD[:9])
        assert answers.read(1) == b""
