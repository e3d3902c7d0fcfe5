"""The words of the doctor: none names a user, none is missing, none is left over."""

import os
import pathlib
import re

import pytest

import trainer.doctor
from trainer.doctor.line import line, private, shown
from trainer.job.words import table

PARTS = ("title_", "disk_low_", "unmeasured_", "how_", "torch_cpu_build", "torch_other_card")
"""Beginnings of keys that are put together."""


def test_the_users_own_folder_and_name_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/Users/mika")
    monkeypatch.setenv("USERPROFILE", "/Users/mika")
    assert private("/Users/mika/out and /Users/mikado") == "~/out and /Users/…"
    assert private(r"C:\Users\mika\a.dll: no") == r"C:\Users\…\a.dll: no"
    assert private("/run/media/mika/disk") == "/run/media/…/disk"
    assert "mika" not in str(line("temp", "no", "disk_full", path="/Users/mika/tmp", free="0"))


def test_what_is_long_is_cut() -> None:
    assert len(private("x" * 5000)) < 700


@pytest.mark.skipif(os.name == "nt", reason="the ways of a shell that Windows lacks")
def test_a_path_can_be_pasted_into_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/Users/mika")
    assert shown("/Users/mika/my loras") == '~/"my loras"'
    assert shown("/data/my loras") == '"/data/my loras"'
    assert shown("torch>=2.11,<2.14") == '"torch>=2.11,<2.14"'
    assert shown("/data/loras") == "/data/loras"


def test_every_word_is_used_and_every_used_word_is_there() -> None:
    folder = pathlib.Path(trainer.doctor.__file__).parent
    text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    keys = {key.removeprefix("doctor_") for key in table() if key.startswith("doctor_")}
    named = set(re.findall(r'"([a-z][a-z_0-9]+)"', text)) | set(re.findall(r'doctor_([a-z_]+)"', text))
    bare = {key.removesuffix("_advice") for key in keys if not key.startswith(PARTS)}
    assert bare - named == set()
    asked = set(re.findall(r'line\(\s*(?:"\w+"|name), "(?:yes|note|no)", "(\w+)"', text))
    assert asked
    assert asked <= keys


def test_every_verdict_is_a_sentence() -> None:
    no_sentences = ("doctor_how_", "doctor_count", "doctor_title")
    keys = [key for key in table() if key.startswith("doctor_") and not key.startswith(no_sentences)]
    assert [key for key in keys if not re.search(r"[.:}]$", table()[key])] == []
