"""The folders that are remembered between two starts."""

import os
import pathlib
import subprocess
import sys

import pytest

from app import places
from trainer.job.settings import Job
from trainer.run import home
from trainer.run.folder import RunFolder, create, list_runs, write_job

ROOT = str(pathlib.Path(__file__).parents[2])


def test_the_default_output_folder_is_always_listed(tmp_path: pathlib.Path) -> None:
    assert places.output_folders() == [tmp_path / "outputs"]


def test_remembered_folders_come_back_latest_first_without_repetition(tmp_path: pathlib.Path) -> None:
    for name in ("one", "二", "one"):
        (tmp_path / name).mkdir(exist_ok=True)
        places.remember_output_folder(tmp_path / name)
    assert places.output_folders() == [tmp_path / "outputs", tmp_path / "one", tmp_path / "二"]


def test_a_folder_that_is_gone_is_not_listed(tmp_path: pathlib.Path) -> None:
    places.remember_output_folder(tmp_path / "unplugged drive")
    assert places.output_folders() == [tmp_path / "outputs"]


def test_an_output_folder_that_cannot_be_read_hides_no_other(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: pathlib.Path) -> list[RunFolder]:
        if path.name == "locked":
            raise PermissionError
        return list_runs(path)

    (tmp_path / "locked").mkdir()
    places.remember_output_folder(tmp_path / "locked")
    write_job(create(tmp_path / "outputs", "mine"), Job(), {})
    monkeypatch.setattr(places, "list_runs", refuse)
    assert [run.name for run in places.runs()] == ["mine"]


@pytest.mark.parametrize("content", ["", "not JSON", "[]", '{"output_folders": [1, null]}', '{"output_folders": 5}'])
def test_a_damaged_memory_is_no_obstacle(tmp_path: pathlib.Path, content: str) -> None:
    (places.home() / "places.json").write_text(content, encoding="utf-8")
    assert places.output_folders() == [tmp_path / "outputs"]
    places.remember_output_folder(tmp_path)
    assert tmp_path in places.output_folders()


def test_the_word_outputs_is_the_default_folder(tmp_path: pathlib.Path) -> None:
    assert places.resolve_outputs("outputs") == tmp_path / "outputs"
    assert places.resolve_outputs("~/loras") == tmp_path / "user" / "loras"
    assert places.resolve_outputs("here") == tmp_path / "user" / "here"
    assert places.resolve_outputs("~nobody is called so/x") == tmp_path / "user" / "~nobody is called so" / "x"


def test_two_programs_that_remember_folders_at_once_forget_none(tmp_path: pathlib.Path) -> None:
    code = (
        "import pathlib, sys; sys.path.insert(0, sys.argv[3]); from app import places\n"
        "for number in range(12): places.remember_output_folder(pathlib.Path(sys.argv[1], sys.argv[2] + str(number)))"
    )
    wanted = {tmp_path / f"{name}{number}" for name in "ab" for number in range(12)}
    for path in wanted:
        path.mkdir()
    programs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name, ROOT]) for name in "ab"]
    assert [program.wait() for program in programs] == [0, 0]
    assert wanted <= set(places.output_folders())


def test_a_memory_that_cannot_be_read_is_no_obstacle() -> None:
    (places.home() / "places.json").mkdir()
    assert len(places.output_folders()) == 1


def test_an_output_folder_that_cannot_be_written_is_said_before_anything_is_tried(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tmp_path / "others" / "runs"
    assert home.outputs_problem(wanted) == ""
    # As the system says of a folder of somebody else; who may do everything is told otherwise.
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    assert home.outputs_problem(wanted).startswith(f"Nothing may be written into {tmp_path}, so runs")
