"""A folder is really written to, and nothing is left in it."""

import json
import os
import pathlib
import sys
import time
from typing import Any

import pytest

from trainer.doctor.probes import disk


@pytest.fixture
def outputs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The output folder, which is not there yet."""
    monkeypatch.setenv("LORA_ATELIER_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """All facts about the output folder."""
    disk.main("outputs")
    return {key: value for line in capsys.readouterr().out.splitlines() for key, value in json.loads(line).items()}


def test_a_good_folder(outputs: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs.mkdir()
    facts = told(capsys)
    assert (facts["path"], facts["exists"], facts["is_folder"]) == (str(outputs), True, True)
    assert facts["whole"]
    assert facts["locks"]
    assert facts["free"] > 0
    assert list(outputs.iterdir()) == []


def test_one_that_is_not_there_is_not_made(outputs: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = told(capsys)
    assert (facts["exists"], facts["locks"]) == (False, True)
    assert not outputs.exists()


def test_a_file_in_its_place(outputs: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs.touch()
    assert told(capsys)["is_folder"] is False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a folder that not even root can write")
def test_one_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LORA_ATELIER_OUTPUTS", "/proc/sys")
    facts = told(capsys)
    assert facts["problem"]
    assert facts["number"] > 0


def test_what_a_killed_doctor_left_is_taken_away(outputs: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (outputs / ".doctor-old").mkdir(parents=True)
    os.utime(outputs / ".doctor-old", (0, time.time() - 3600))
    (outputs / ".doctor-new").mkdir()
    told(capsys)
    assert [path.name for path in outputs.iterdir()] == [".doctor-new"]
