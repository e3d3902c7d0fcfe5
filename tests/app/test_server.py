"""Where the page is served."""

import contextlib

from app import server


def test_the_next_free_port_is_taken_and_only_this_machine_listens() -> None:
    with contextlib.closing(server.listen(0)) as first:
        host, port = first.getsockname()
        assert host == "127.0.0.1"
        with contextlib.closing(server.listen(port)) as second:
            assert port < second.getsockname()[1] < port + server.PORTS_TRIED
