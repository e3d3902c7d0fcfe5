"""What a person asks of a training while it goes on, the same for all processes that train together."""

import time
from collections.abc import Callable

from trainer.engine.device import Device
from trainer.run.folder import REQUESTS, Request, RunFolder, asked

LOOK_EVERY_S = 0.2


def wishes(run: RunFolder, place: Device) -> frozenset[Request]:
    """What was asked for since the last call; each process has to call this, the main one looks."""
    found = asked(run) if place.is_main else frozenset()
    number = place.said_by_main(sum(1 << place_of for place_of, what in enumerate(REQUESTS) if what in found))
    return frozenset(what for place_of, what in enumerate(REQUESTS) if number >> place_of & 1)


def waited(
    now: frozenset[Request],
    listen: Callable[[], frozenset[Request]],
    grant: Callable[[frozenset[Request]], object] | None,
) -> tuple[frozenset[Request], float]:
    """Waits until the pause is over or a stop is asked for; what is still to be done, and the seconds it took.

    What is asked for `now`, beside the pause, and what `listen` hears of saving and sampling is granted at once, or
    still to be done where there is no `grant`.
    """
    began = time.monotonic()
    later: frozenset[Request] = frozenset()
    while "pause" in now and "stop" not in now:
        at_once = now & {"save", "sample"} if grant else frozenset()
        if grant and at_once:
            grant(at_once)
        later |= now - at_once
        time.sleep(LOOK_EVERY_S)
        now = listen()
    return (later | now) - {"pause"}, time.monotonic() - began
