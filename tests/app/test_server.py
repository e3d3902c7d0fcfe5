"""Where the page is served."""

import contextlib
import socket

import pytest

from app import server


def test_the_next_free_port_is_taken_and_only_this_machine_listens() -> None:
    with contextlib.closing(server.listen(0)) as first:
        # What asyncio looks at before it lets an answer leave at once.
        assert first.proto == socket.IPPROTO_TCP
        host, port = first.getsockname()
        assert host == "127.0.0.1"
        with contextlib.closing(server.listen(port)) as second:
            assert port < second.getsockname()[1] < port + server.PORTS_TRIED


def test_an_address_of_another_machine_is_refused_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    # 192.0.2.1 is nobody's (RFC 5737).
    guests = server.Guests("192.0.2.1", "a password")
    assert server.serve(7860, browser=False, under_way=None, then_exit=False, guests=guests) == 1
    assert "cannot listen at 192.0.2.1" in capsys.readouterr().err
