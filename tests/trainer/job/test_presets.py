"""Job and preset files: what is read, refused, reported and written; every preset that comes with the program."""

import json
import pathlib

import pytest

from trainer.check import read_job_file
from trainer.job import presets
from trainer.job.facts import FAMILIES
from trainer.job.fields import Invalid, parse
from trainer.run import folder
from trainer.run.folder import write_text

FILES = sorted(presets.PRESETS.rglob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_preset_is_valid_and_says_what_it_is_for(path: pathlib.Path) -> None:
    document = presets.read(path)
    assert not document.unknown
    assert document.title
    assert document.purpose
    assert document.job.model.family == path.parent.name
    assert path.parent.name in FAMILIES


def test_every_family_has_the_same_presets_and_a_beginner_has_one_more() -> None:
    names = {"character", "style", "few-pictures", "many-pictures", "8gb", "mac"}
    expected = {f"{family}/{name}" for family in FAMILIES for name in names} | {"sd15/starter"}
    assert {f"{path.parent.name}/{path.stem}" for path in FILES} == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_preset_for_a_real_model_gives_reasons_and_says_what_it_needs(path: pathlib.Path) -> None:
    document = presets.read(path)
    if path.stem == "starter":
        return
    assert len(document.reasoning) >= 4
    assert all(sentence.endswith(".") for sentence in document.reasoning)
    assert document.file_mb
    card_gb = {"8gb": 8.0, "mac": 24.0}.get(path.stem, 13.0)
    assert document.memory_gb <= card_gb
    assert len(document.title) <= 40
    assert len(document.purpose) <= 110


def test_what_a_file_says_of_its_own_cost_need_not_make_sense(tmp_path: pathlib.Path) -> None:
    write_text(tmp_path / "a.json", '{"reasoning": "why", "file_mb": "x", "memory_gb": -1}')
    document = presets.read(tmp_path / "a.json")
    assert (document.reasoning, document.file_mb, document.memory_gb) == ((), 0, 0)


def test_what_is_written_is_read_back(tmp_path: pathlib.Path) -> None:
    job = parse({"training": {"steps": 7}, "samples": {"prompts": ["猫 --w 512"]}, "output": {"name": "ねこ"}})
    write_text(tmp_path / "a.json", presets.dump(job, "猫", "why"))
    document = presets.read(tmp_path / "a.json")
    assert (document.title, document.purpose, document.job) == ("猫", "why", job)
    write_text(tmp_path / "b.json", job.model_dump_json())
    assert presets.read(tmp_path / "b.json").job == job


def test_the_job_of_a_run_can_be_run_again(tmp_path: pathlib.Path) -> None:
    job = parse({"training": {"steps": 7}})
    run = folder.create(tmp_path, "cat")
    folder.write_job(run, job, {"torch": "2"})
    assert read_job_file(run.job, []) == job


def test_unknown_settings_are_reported_and_the_command_line_refuses_them(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"training": {"epochs": 3, "epoch": 2}, "trainning": {}}), encoding="utf-8-sig")
    document = presets.read(path)
    assert [message.path for message in document.unknown] == ["trainning", "training.epoch"]
    assert document.job.training.epochs == 3
    with pytest.raises(Invalid, match=r"training\.epochs"):
        read_job_file(path, [])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not a JSON file"),
        (b"{", "is not a JSON file"),
        (b"[]", "holds no job"),
        (b'{"training": 3}', "holds no job"),
        (b'{"version": "x"}', "holds no job"),
        (b'{"version": 99}', "newer version"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"[" * 100_000, "holds no job"),
        (b" " * (presets.MAX_BYTES + 1), "is no job or preset: it is larger than 4 MB"),
        (b'{"version": ' + b"9" * 5000 + b"}", "holds no job"),
    ],
)
def test_a_file_that_is_no_job_is_refused_in_a_sentence(tmp_path: pathlib.Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(Invalid, match=sentence):
        presets.read(path)


def test_a_missing_file_and_a_folder_are_refused_in_a_sentence(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Invalid, match="does not exist"):
        presets.read(tmp_path / "none.json")
    with pytest.raises(Invalid, match="cannot be read"):
        presets.read(tmp_path)
