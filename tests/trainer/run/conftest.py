"""Folders of their own for what keeps something in the program's home."""

import pathlib

import pytest


@pytest.fixture
def places(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder in which `home` and `outputs` are the program's."""
    monkeypatch.setenv("LORA_ATELIER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LORA_ATELIER_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path
