"""Measures the program with years of runs and thousands of pictures; prints tables, asserts nothing.

`python -m tests.scale [routes] [page] [day] [reloads] --base FOLDER`: how long every route and every action on the page
takes, and what a day of polling, pressed into less, and 200 loads of the page do to the memory of the program.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from playwright.sync_api import Page, sync_playwright

from tests.end_to_end.conftest import CHROMIUMS, ROOT
from tests.scale import day, page, served
from tests.scale.made import Made, Size, live, make

RELOADS = 200


def main() -> None:
    """Reads the command line and prints what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    parser.add_argument("what", nargs="*", default=["routes", "page"], help="routes, page, day, reloads")
    parser.add_argument("--base", type=pathlib.Path, help="where the runs and pictures are made, and found again")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT, help="another checkout, to compare with")
    parser.add_argument("--only", default="", help="a pattern of the names of the actions on the page")
    parser.add_argument("--limit-s", type=float, default=3600.0, help="the most that the day may take")
    given = parser.parse_args()
    with _base(given.base) as base:
        made = make(base, Size())
        alive = live(made.living)
        gui = served.Gui(made, given.program.resolve())
        try:
            for what in given.what:
                print(what)
                does = {
                    "routes": lambda: _routes(gui, made),
                    "page": lambda: _page(gui, made, given.only),
                    "day": lambda: day.polled(gui, made, given.limit_s),
                    "reloads": lambda: _reloads(gui),
                }
                does[what]()
                print(f"  memory {gui.memory_mib():.0f} MiB")
        finally:
            gui.end()
            alive.kill()
            alive.wait()


@contextlib.contextmanager
def _base(given: pathlib.Path | None) -> Iterator[pathlib.Path]:
    if given:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        yield pathlib.Path(folder).resolve()


def _routes(gui: served.Gui, made: Made) -> None:
    print(f"  {'route':30s} {'p50 ms':>8s} {'max ms':>8s} {'cpu ms':>8s} {'bytes':>9s}")
    for name, (middle, most, busy, size) in served.routes(gui, made).items():
        print(f"  {name:30s} {middle:8.1f} {most:8.1f} {busy:8.1f} {size:9d}")


def _page(gui: served.Gui, made: Made, wanted: str) -> None:
    with opened(gui) as shown:
        print(f"  {'action':36s} {'p50 ms':>8s} {'max ms':>8s} {'stolen':>8s}")
        page.table(shown, made, wanted)


def _reloads(gui: served.Gui) -> None:
    with opened(gui) as shown:
        day.reloaded(gui, shown, RELOADS)


@contextlib.contextmanager
def opened(gui: served.Gui, width_px: int = 1440) -> Iterator[Page]:
    """The page in a browser, ready to be used."""
    path = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        shown = browser.new_context(locale="en-US", viewport={"width": width_px, "height": 900}).new_page()
        shown.goto(gui.address)
        shown.wait_for_function("document.body.dataset.ready === '1'", timeout=120_000)
        yield shown
        browser.close()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
