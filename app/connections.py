"""Connections to the page: none waits for ever for the head of a request, and no other machine holds very many."""

import asyncio
import ipaddress

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0
MOST_OF_ONE = 100
"""So many connections another machine has at once; a browser needs about ten for each page."""
OWN = ("127.0.0.1", "::/64")


def network(address: str) -> str:
    """What one person has at hand: an address, of IPv6 the 2^64 that every household gets."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    found = getattr(found, "ipv4_mapped", None) or found
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


class PromptProtocol(H11Protocol):
    """As uvicorn's, which itself waits for the head of a request for ever."""

    _giving_up: asyncio.TimerHandle | None = None
    _holder: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._holder = network(self.client[0] if self.client else "")
        held = sum(getattr(other, "_holder", None) == self._holder for other in self.connections)
        # Behind a proxy on this machine there may be many others.
        if held > MOST_OF_ONE and self._holder not in OWN:
            transport.abort()
            return
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        """Gives a head that is not whole so much time in all, however often a part of it comes."""
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._giving_up is None:
            self._giving_up = self.loop.call_later(HEAD_S, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
