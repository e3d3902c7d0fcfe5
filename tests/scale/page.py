"""Every action of a user on every tab, timed in the page from the click to the frame that shows its result."""

import json
import pathlib
import re
import statistics
import time
from collections.abc import Mapping

import psutil
from playwright.sync_api import Page

from tests.scale.made import Made

TIMES = 3
PATIENCE_MS = 20_000
CALM_MS = 1200
"""So long what comes before an action has time, and more where it is slow: nothing of it may count for the action."""
ANEW = 3
"""So often an action is timed anew where the host of a virtual machine gave its cores to others meanwhile …"""
STOLEN = 0.1
"""… for more than this share of one core; where it is so each time, and of what can be done only once, it counts."""
# From before the click until two frames after the first one in which `until` holds, so that it has been painted.
MEASURE = """
async ([number, patience]) => {
  const frame = () => new Promise(requestAnimationFrame);
  const { act, until } = actions[number];
  const begun = performance.now();
  try {
    // What has happened meanwhile is timed by the page itself: from when it was asked for to when it was there.
    const then = act();
    let there = until();
    while (!there) {
      if (performance.now() - begun > patience) return -1;
      await frame();
      there = until();
    }
    if (typeof then === "number") return there - then;
  } catch {
    return -1;
  }
  await frame();
  await frame();
  return performance.now() - begun;
}
"""


def table(page: Page, made: Made, wanted: str = "") -> Mapping[str, tuple[float, float]]:
    """The median and the longest milliseconds of every action whose name `wanted` is found in, printed as they come.

    -1 where the result of an action never came. Printed beside it: the share of a core that was stolen at the most.
    """
    places = {"pictures": str(made.pictures), "crowd": str(made.crowd)}
    script = pathlib.Path(__file__).with_name("actions.js").read_text(encoding="utf-8")
    page.evaluate(f"window.made = {json.dumps(places)};\n{script}")
    found: dict[str, tuple[float, float]] = {}
    names = page.evaluate("actions.map(({ name, times, first }) => [name, times ?? 0, Boolean(first)])")
    for number, (name, times, prepared) in enumerate(names):
        if not re.search(wanted, name):
            continue
        taken, stolen = zip(*_taken(page, number, times or TIMES, prepared), strict=True)
        found[name] = statistics.median(taken), max(taken)
        print(f"  {name:36s} {found[name][0]:8.0f} {found[name][1]:8.0f} {max(stolen):8.0%}", flush=True)
    return found


def _taken(page: Page, number: int, times: int, prepared: bool) -> list[tuple[float, float]]:
    """The milliseconds of an action, and what share of a core was stolen meanwhile, for each time that counts."""
    taken: list[tuple[float, float]] = []
    tries = 0
    while len(taken) < times:
        tries += 1
        if prepared:
            page.evaluate(f"() => {{ try {{ actions[{number}].first(); }} catch {{}} }}")
            page.wait_for_timeout(CALM_MS + max((ms for ms, _ in taken), default=0))
        begun, stolen = time.monotonic(), _stolen_s()
        ms = page.evaluate(MEASURE, [number, PATIENCE_MS])
        share = (_stolen_s() - stolen) / (time.monotonic() - begun)
        if times == 1 or share <= STOLEN or tries >= ANEW * times:
            taken.append((ms, share))
        page.wait_for_timeout(300)
    return taken


def _stolen_s() -> float:
    """Seconds that the host has taken from this machine, of all cores; 0 where no host says so."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))
