"""What the app's tests share: folders of their own."""

import asyncio
import pathlib
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def loop_of_gradio() -> Iterator[None]:
    """An event loop, since a page that is built outside of a server makes one and never closes it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(autouse=True)
def places_of_the_test(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's home and output folder are empty and new, and so is the user's."""
    for name, folder in (("LORA_ATELIER_HOME", "home"), ("LORA_ATELIER_OUTPUTS", "outputs"), ("HOME", "user")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path / "user")
