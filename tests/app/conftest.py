"""What the app's tests share: folders of their own."""

import pathlib

import pytest


@pytest.fixture(autouse=True)
def places_of_the_test(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's home and output folder are empty and new, and so is the user's."""
    for name, folder in (("LORA_ATELIER_HOME", "home"), ("LORA_ATELIER_OUTPUTS", "outputs"), ("HOME", "user")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path / "user")
