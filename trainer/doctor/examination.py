"""All that the doctor looks at, in order: quick things first, so that lines appear at once.

Only the standard library is imported here, for this has to run where a package is broken or missing.
"""

import contextlib
import functools
import os
import pathlib
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

from trainer.doctor import child, graphics, installed, surroundings
from trainer.doctor.child import Child, Outcome
from trainer.doctor.line import Line, line

HEAVY_S, LIGHT_S, HUB_S = 90.0, 20.0, 8.0
FOLDERS = ("outputs", "home", "cache", "temp")
_PROBES = "trainer.doctor.probes"


def lines(places: Mapping[str, str], *, network: bool) -> Generator[Line]:
    """Every line as soon as it is known; `places` is what the environment of the probes says of home and outputs.

    Raises nothing; no line takes longer than its probe's limit. The hub is asked only with `network`.
    """
    with contextlib.ExitStack() as life:
        yield from _guarded("python", lambda: [installed.python(installed.python_here())])
        yield from _guarded("packages", lambda: [installed.packages(installed.packages_here())])
        begun = {name: _begin(life, name, places, *command) for name, command in _commands(network).items()}
        found = _Results(begun)
        for name, verdicts in _looks(found):
            yield from _guarded(name, verdicts)


def _commands(network: bool) -> dict[str, tuple[str, ...]]:
    offline = os.environ.get("HF_HUB_OFFLINE", "")
    hub = {"hub": ("hub",)} if network and surroundings.hub(None, offline).ok == "yes" else {}
    disks = {folder: ("disk", folder) for folder in FOLDERS}
    return {**{name: (name,) for name in ("computation", "eight_bit", "nvidia", "memory", "traces")}, **disks, **hub}


def _begin(life: contextlib.ExitStack, name: str, places: Mapping[str, str], module: str, *words: str) -> Child:
    limit_s = {"computation": HEAVY_S, "eight_bit": HEAVY_S, "nvidia": HEAVY_S / 3, "hub": HUB_S}.get(name, LIGHT_S)
    found = child.begin(["-m", f"{_PROBES}.{module}", *words], limit_s, places)
    life.callback(child.forget, found)
    return found


class _Results:
    """What the probes have told, each waited for when it is first asked about."""

    def __init__(self, begun: Mapping[str, Child]) -> None:
        self._begun = begun
        self._ended: dict[str, Outcome] = {}

    def __getitem__(self, name: str) -> Outcome:
        if name not in self._ended:
            self._ended[name] = child.outcome(self._begun[name])
        return self._ended[name]

    def get(self, name: str) -> Outcome | None:
        """None for what was not begun."""
        return self[name] if name in self._begun else None


def _looks(found: _Results) -> Iterator[tuple[str, Callable[[], Iterable[Line | None]]]]:
    """Each look with its name."""
    for folder in FOLDERS:
        yield folder, functools.partial(_disk, found, folder)
    yield "memory", lambda: [surroundings.memory(found["memory"], sys.platform)]
    yield "open", lambda: surroundings.traces(found["traces"], sys.platform)
    yield "proxy", lambda: [_proxy()]
    yield "hub", lambda: [surroundings.hub(found.get("hub"), os.environ.get("HF_HUB_OFFLINE", ""))]
    yield "clock", lambda: [_clock(found)]
    yield "driver", lambda: [graphics.driver(_machine(found))]
    yield "torch", lambda: [graphics.torch(_machine(found))]
    yield "card", lambda: [graphics.card(_machine(found))]
    yield "computation", lambda: [graphics.computation(_machine(found))]
    yield "bitsandbytes", lambda: [graphics.bitsandbytes(_machine(found))]


def _disk(found: _Results, folder: str) -> list[Line]:
    return [surroundings.disk(folder, found[folder])]


def _machine(found: _Results) -> graphics.Machine:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return graphics.Machine(found["nvidia"], found["computation"], found["eight_bit"], visible=visible)


def _proxy() -> Line:
    local = all(urllib.request.proxy_bypass(host) for host in ("127.0.0.1", "localhost"))
    return surroundings.proxy(urllib.request.getproxies(), local)


def _clock(found: _Results) -> Line:
    hub = found.get("hub")
    ahead_s = hub.facts.get("ahead_s") if hub else None
    made_s = pathlib.Path(__file__).stat().st_mtime
    return surroundings.clock(time.time(), made_s, found["traces"].facts.get("latest", 0.0), ahead_s)


def _guarded(name: str, verdicts: Callable[[], Iterable[Line | None]]) -> list[Line]:
    """The lines of one look; a fault of the doctor's own is one of them, and the others go on."""
    try:
        return [each for each in verdicts() if each is not None]
    except Exception as error:  # noqa: BLE001 it is told, and there is nobody else to tell
        return [line(name, "note", "fault", reason=f"{type(error).__name__}: {error}")]
