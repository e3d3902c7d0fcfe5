"""The program under test in a process of its own, and what it costs: seconds of its processor, memory, bytes sent."""

import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import psutil

from tests.scale.made import Made

MIB = 2**20


class Gui:
    """The running program at `address`."""

    def __init__(self, made: Made, program: pathlib.Path) -> None:
        command = [sys.executable, "-m", "app", "--port", "0", "--no-browser"]
        command += ["--home", str(made.home), "--outputs", str(made.outputs)]
        environment = {**os.environ, "HOME": str(made.home.parent), "PYTHONPATH": str(program)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=made.home)
        assert self.process.stdout
        found = re.search(r"http://127\.0\.0\.1:\d+", self.process.stdout.readline())
        assert found, "the program did not start"
        self.address = found[0]
        self._seen = psutil.Process(self.process.pid)

    def end(self) -> None:
        """Ends it."""
        self.process.terminate()
        self.process.wait(15)

    def busy_s(self) -> float:
        """The seconds of processor time that it has used so far."""
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    def memory_mib(self) -> float:
        """What it holds of the machine's memory now."""
        return float(self._seen.memory_info().rss) / MIB

    def get(self, route: str) -> bytes:
        """What it answers on `route`."""
        with urllib.request.urlopen(f"{self.address}/{route}", timeout=60) as answer:
            content: bytes = answer.read()
        return content

    def json(self, route: str) -> Any:
        """The same, read."""
        return json.loads(self.get(route))


def timed(gui: Gui, times: int, ask: Callable[[], bytes]) -> tuple[float, float, float, int]:
    """p50 and maximum of the time of an answer, the processor time of each (all in ms), and its length in bytes."""
    taken, size, before = [], 0, gui.busy_s()
    for _ in range(times):
        begun = time.perf_counter()
        size = len(ask())
        taken.append(1000 * (time.perf_counter() - begun))
    return statistics.median(taken), max(taken), 1000 * (gui.busy_s() - before) / times, size


def routes(gui: Gui, made: Made) -> Mapping[str, tuple[float, float, float, int]]:
    """`timed` of each route that a page asks again and again, and of those that it asks once."""
    runs = {run["name"]: run["key"] for run in gui.json("runs")["runs"]}
    long, living = runs[made.long.name], runs[made.living.name]
    end = gui.json(f"live/{living}?since=0")
    while end["more"]:
        end = gui.json(f"live/{living}?since={end['next']}")
    known = gui.json(f"samples/{long}")["table"]["version"]
    version = gui.json("runs").get("version", "")
    sample = f"{made.long.name}_e0001_p01_s42.png"
    asked = {
        "runs": "runs",
        "runs, known": f"runs?known={version}",
        "news": f"news?since={time.time()}",
        "live, nothing new": f"live/{living}?since={end['next']}",
        "live, the first 5,000 steps": f"live/{long}?since=0",
        "samples, 2,000 of them": f"samples/{long}",
        "samples, known": f"samples/{long}?known={known}",
        "sample, 96 px": f"sample/{long}/{sample}?w=96",
        "log": f"log/{long}?lines=300",
    }
    return {name: timed(gui, 20, lambda route=route: gui.get(route)) for name, route in asked.items()}  # type: ignore[misc]
