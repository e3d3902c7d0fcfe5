"""What time does to the memory: a day of one open page's polling pressed into minutes, and page loads one by one."""

import http.client
import time
from urllib.parse import urlsplit

from playwright.sync_api import Page

from tests.scale.made import Made
from tests.scale.served import Gui

DAY_S = 24 * 3600
LIST_S, RUN_S, TABLE_S = 2.5, 0.7, 2.0
"""How often a page asks for the list, the chosen run and the table of samples while a training goes on."""
TOLD = 24


def polled(gui: Gui, made: Made, limit_s: float) -> None:
    """Asks what a page asks in a day, in its proportions, for at most `limit_s`; prints the memory as it goes."""
    runs = {run["name"]: run["key"] for run in gui.json("runs")["runs"]}
    key, table, since, known, version = runs[made.living.name], runs[made.long.name], 0, "", ""
    connection = http.client.HTTPConnection(urlsplit(gui.address).netloc, timeout=60)
    rounds, begun, done, told = int(DAY_S / LIST_S), time.monotonic(), 0, 0.0
    while done < rounds and time.monotonic() - begun < limit_s:
        version = _version(_ask(connection, f"/runs?known={version}")) or version
        _ask(connection, f"/news?since={time.time() - LIST_S}")
        for _ in range(round(LIST_S / RUN_S)):
            answer = _ask(connection, f"/live/{key}?since={since}")
            since = int(answer.partition(b'"next":')[2].partition(b",")[0])
        answer = _ask(connection, f"/samples/{table}?known={known}")
        known = _version(answer) or known
        done += 1
        if done * LIST_S >= told:
            told += DAY_S / TOLD
            print(f"  {done * LIST_S / 3600:6.2f} h polled  {gui.memory_mib():6.1f} MiB", flush=True)
    print(
        f"  {done * LIST_S / 3600:6.2f} h polled  {gui.memory_mib():6.1f} MiB, after {time.monotonic() - begun:.0f} s",
        flush=True,
    )


def _ask(connection: http.client.HTTPConnection, route: str) -> bytes:
    connection.request("GET", route)
    return connection.getresponse().read()


def _version(answer: bytes) -> str:
    return answer.partition(b'"version":"')[2].partition(b'"')[0].decode()


def reloaded(gui: Gui, page: Page, times: int) -> None:
    """Loads the page anew again and again; prints the memory of the program as it goes."""
    for number in range(times + 1):
        if number % max(1, times // TOLD) == 0:
            print(f"  {number:4d} page loads  {gui.memory_mib():6.1f} MiB", flush=True)
        page.goto(gui.address)
        page.wait_for_function("document.body.dataset.ready === '1'", timeout=120_000)
