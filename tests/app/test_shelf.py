"""The presets that can be chosen."""

import json
import pathlib

import pytest

from app import shelf
from trainer.job.fields import Invalid
from trainer.job.settings import Job


def job(rank: int = 24) -> Job:
    """A job that differs from the defaults."""
    return Job.model_validate({"adapter": {"rank": rank}})


def test_the_starter_is_first_and_every_one_has_a_title_and_a_purpose() -> None:
    entries = shelf.entries()
    assert entries[0].key == shelf.STARTER
    assert all(entry.title and entry.purpose for entry in entries)


def test_an_own_preset_is_kept_in_the_home_folder(tmp_path: pathlib.Path) -> None:
    entry = shelf.save(job(), "My: cat / 猫", "for cats")
    assert entry.path.parent == tmp_path / "home" / "presets"
    assert shelf.entries()[-1] == entry
    assert shelf.read(entry.key).job == job()
    assert json.loads(entry.path.read_text(encoding="utf-8"))["title"] == "My: cat / 猫"


def test_another_preset_of_that_name_is_only_replaced_when_it_was_chosen() -> None:
    entry = shelf.save(job(24), "mine", "")
    with pytest.raises(Invalid, match="already"):
        shelf.save(job(8), "mine", "")
    shelf.save(job(8), "mine", "", replace=entry.key)
    assert shelf.read(entry.key).job.adapter.rank == 8


@pytest.mark.parametrize("title", ["", "  ", "...", "///"])
def test_a_preset_needs_a_title(title: str) -> None:
    with pytest.raises(Invalid, match="title"):
        shelf.save(job(), title, "")


@pytest.mark.parametrize("title", ["../../evil", "..\\evil", "/etc/evil"])
def test_no_title_leads_out_of_the_folder(tmp_path: pathlib.Path, title: str) -> None:
    assert shelf.save(job(), title, "").path.resolve().parent == tmp_path / "home" / "presets"


def test_a_damaged_preset_is_listed_by_its_name_and_says_what_is_wrong() -> None:
    shelf.own_folder().mkdir()
    (shelf.own_folder() / "torn.json").write_text("{", encoding="utf-8")
    entry = shelf.entries()[-1]
    assert entry.title == "torn"
    assert "not a JSON file" in entry.purpose
    with pytest.raises(Invalid):
        shelf.read(entry.key)


def test_a_key_that_is_not_listed_is_not_read() -> None:
    for key in (None, "own/../../secret", "nothing/here"):
        assert shelf.find(key) is None
        with pytest.raises(Invalid, match="does not exist"):
            shelf.read(key)
