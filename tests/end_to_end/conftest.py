"""The real program in a process of its own, and one real browser page that every test shares.

A page of its own for every test would double the time; `ui` clears what the page remembers instead.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request, expect

ROOT = pathlib.Path(__file__).parents[2]
PATIENCE_S = 300
"""Only a failing test waits so long: a machine whose cores others use may stand still for a minute."""
# A rejected form is an answer 422; leaving a page ends what it was loading.
EXPECTED = ("422", "AbortError", "net::ERR_ABORTED", "Connection errored out")
# The same ones as in setup.sh.
CHROMIUMS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


# Python loads it in the program and in every process that the program starts.
WATCH = """
import socket, sys
def heard(event, given):
    if event not in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        return
    where = given[0] if event.startswith("socket.get") else given[-1]
    host = where[0] if isinstance(where, tuple) else where
    if isinstance(where, tuple) or event.startswith("socket.get"):
        if host not in (None, "", "127.0.0.1", "::1", "localhost", socket.gethostname()):
            with open({file!r}, "a") as log:
                log.write(f"{{event}} {{where}} {{sys.argv}}\\n")
sys.addaudithook(heard)
"""


@pytest.fixture(scope="session")
def playground(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder in which the program is started; its home and outputs lie in it too."""
    return tmp_path_factory.mktemp("playground")


@pytest.fixture(scope="session")
def home(playground: pathlib.Path) -> pathlib.Path:
    """The program's home folder."""
    return playground / "home"


@pytest.fixture(scope="session")
def outputs(playground: pathlib.Path) -> pathlib.Path:
    """The default output folder."""
    return playground / "outputs"


@pytest.fixture(scope="session")
def base_url(playground: pathlib.Path, home: pathlib.Path, outputs: pathlib.Path) -> Iterator[str]:
    """The address of the running program; until it ends, it must say nothing on stderr and call no other machine."""
    complaints, calls = playground / "stderr.txt", playground / "calls.txt"
    watched = playground / "watched"
    watched.mkdir()
    (watched / "sitecustomize.py").write_text(WATCH.format(file=str(calls)), encoding="utf-8")
    search = os.pathsep.join([str(ROOT), str(watched)])
    environment = {**os.environ, "PYTHONPATH": search, "HOME": str(playground), "USERPROFILE": str(playground)}
    command = [
        sys.executable,
        "-m",
        "app",
        "--port",
        "0",
        "--no-browser",
        "--home",
        str(home),
        "--outputs",
        str(outputs),
    ]
    with (
        complaints.open("wb") as stderr,
        subprocess.Popen(
            command, cwd=playground, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        try:
            yield address_of(process)
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
    assert complaints.read_text(encoding="utf-8") == ""
    assert not calls.exists(), calls.read_text(encoding="utf-8")


def address_of(process: "subprocess.Popen[str]") -> str:
    """The address in the first line that the program prints."""
    late = threading.Timer(PATIENCE_S, process.kill)
    late.start()
    line = process.stdout.readline() if process.stdout else ""
    late.cancel()
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found, f"the program did not start: {line!r}"
    return found[0]


@pytest.fixture(scope="session")
def browser_type_launch_args(playwright: Playwright) -> dict[str, Any]:
    """The Chromium of this machine, or else Playwright's own; without either the tests are skipped, but not in CI."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), playwright.chromium.executable_path)
    if not os.path.exists(found):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no Chromium")
    return {"executable_path": found, "args": ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]}


@pytest.fixture(scope="session", autouse=True)
def patience() -> None:
    """What is expected of a page has as long to come as its actions."""
    expect.set_options(timeout=PATIENCE_S * 1000)


def opened(browser: Browser, **settings: Any) -> Page:
    """A page in a context of its own, which whoever opens it has to close."""
    usual: dict[str, Any] = {"locale": "en-US", "reduced_motion": "reduce", "viewport": {"width": 1440, "height": 900}}
    context = browser.new_context(**{**usual, **settings})
    context.set_default_timeout(PATIENCE_S * 1000)
    return context.new_page()


@pytest.fixture(scope="session")
def shared_page(browser: Browser) -> Iterator[Page]:
    """The one page of all tests."""
    page = opened(browser)
    yield page
    page.context.close()


@pytest.fixture
def ui(shared_page: Page, base_url: str) -> Iterator[Page]:
    """The page, freshly opened and with nothing remembered; no error may occur in it and no request may leave."""
    page, wrong = shared_page, list[str]()

    def on_error(error: object) -> None:
        wrong.append(f"error: {error}")

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error" and not any(text in message.text for text in EXPECTED):
            wrong.append(f"console: {message.text} {message.location['url']}")

    def on_request(request: Request) -> None:
        if not request.url.startswith((base_url, "data:", "blob:")):
            wrong.append(f"outside request: {request.url}")

    # What the page still asks for, of the runs that the test before has taken away, is no error of this one.
    forget(page, base_url)
    page.goto("about:blank")
    listeners = (("pageerror", on_error), ("console", on_console), ("request", on_request))
    for name, listener in listeners:
        page.on(name, listener)  # type: ignore[call-overload]
    reopen(page, base_url)
    yield page
    for name, listener in listeners:
        page.remove_listener(name, listener)
    assert not wrong, "\n".join(wrong)


def forget(page: Page, address: str) -> None:
    """Lets the page remember nothing when it is loaded the next time."""
    if page.url.startswith(address):
        # What the page still wants to remember while it is left must not reach the next test.
        page.evaluate("localStorage.clear(); sessionStorage.clear(); Storage.prototype.setItem = () => {}")


def reopen(page: Page, address: str, *, clear: bool = False) -> None:
    """Loads the page anew and waits until it can be used; with `clear`, it remembers nothing."""
    if clear:
        forget(page, address)
    page.goto(address)
    page.wait_for_function("document.body.dataset.ready === '1'")
