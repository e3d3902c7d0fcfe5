"""Captions beside pictures: every way in which they are missing, doubled or unreadable."""

import pathlib
import unicodedata

import pydantic
import pytest

from tests.trainer.dataset.made import errors, only, picture, pictures, scanned, warnings
from trainer.dataset.scan import Picture, scan
from trainer.job.fields import parse
from trainer.job.settings import Dataset


@pytest.fixture
def cat(tmp_path: pathlib.Path) -> pathlib.Path:
    """A picture without a caption in a folder 1_old cat."""
    return picture(tmp_path / "1_old cat" / "a.png", caption=None)


def first(cat: pathlib.Path) -> Picture:
    return scanned(cat.parent).subsets[0].pictures[0]


@pytest.mark.parametrize("end", [".txt", ".caption", ".TXT"])
def test_a_caption_is_read_from_either_ending(cat: pathlib.Path, end: str) -> None:
    file = cat.with_suffix(end)
    file.write_text(" a black cat, sitting \n", encoding="utf-8")
    assert first(cat) == Picture(cat, 64, 64, "a black cat, sitting", file)
    assert not scanned(cat.parent).problems


def test_of_two_captions_txt_wins_with_a_warning(cat: pathlib.Path) -> None:
    cat.with_suffix(".caption").write_text("from caption")
    cat.with_suffix(".txt").write_text("from txt")
    assert first(cat).caption == "from txt"
    assert only(warnings(scanned(cat.parent)), "1 (a.txt)")


def test_a_broken_picture_is_not_said_to_lack_a_caption(cat: pathlib.Path) -> None:
    cat.with_name("b.png").write_bytes(b"no picture")
    found = scan(Dataset(folder=str(cat.parent), broken_pictures="skip"))
    assert only([wrong for wrong in warnings(found) if "b.png" in wrong], "b.png")


@pytest.mark.parametrize(("ending", "caption"), [(".tags", "tags"), (".tags.txt", "both"), (".none", "old cat")])
def test_captions_of_a_chosen_ending_are_the_only_ones(cat: pathlib.Path, ending: str, caption: str) -> None:
    cat.with_suffix(".txt").write_text("usual")
    cat.with_suffix(".tags").write_text("tags")
    cat.with_suffix(".tags.txt").write_text("both")
    found = scan(Dataset(folder=str(cat.parent), caption_extension=ending)).subsets[0].pictures[0]
    assert found.caption == caption


@pytest.mark.parametrize("ending", ["txt", ".", "./x", ".txt/txt", ".txt."])
def test_what_no_file_can_end_in_is_refused(ending: str) -> None:
    with pytest.raises(pydantic.ValidationError):
        Dataset(caption_extension=ending)


@pytest.mark.parametrize("ending", [".TXT", ".captions", ".wd14_cap", ".joycaption", ".florence2", ".en.txt", ".desc"])
def test_whatever_ending_captioners_use_is_taken(ending: str) -> None:
    assert parse({"dataset": {"caption_extension": ending}}).dataset.caption_extension == ending


def test_a_byte_order_mark_is_no_part_of_the_caption(cat: pathlib.Path) -> None:
    cat.with_suffix(".txt").write_bytes("\ufeffkätzchen".encode())
    assert first(cat).caption == "kätzchen"


@pytest.mark.parametrize("raw", ["kätzchen".encode("latin-1"), "cat".encode("utf-16")])
def test_a_caption_that_is_not_utf8_is_an_error_naming_the_file(cat: pathlib.Path, raw: bytes) -> None:
    cat.with_suffix(".txt").write_bytes(raw)
    assert only(errors(scanned(cat.parent)), str(cat.with_suffix(".txt")), "save it as UTF-8")


@pytest.mark.parametrize("text", ["", " \n\n", "\ufeff"])
def test_an_empty_caption_falls_back_to_the_folders_words(cat: pathlib.Path, text: str) -> None:
    cat.with_suffix(".txt").write_text(text, encoding="utf-8")
    assert (first(cat).caption, first(cat).caption_path) == ("old cat", None)
    assert only(warnings(scanned(cat.parent)), "a.txt", "empty", "old cat")


def test_of_several_lines_the_first_that_is_not_blank_counts(cat: pathlib.Path) -> None:
    cat.with_suffix(".txt").write_text("\n  \r\na cat\nsecond line\n")
    assert first(cat).caption == "a cat"
    assert only(warnings(scanned(cat.parent)), "a.txt", "more than one line")


def test_with_wildcards_all_lines_count(cat: pathlib.Path) -> None:
    cat.with_suffix(".txt").write_text("\na cat \n\n second line\n")
    found = scanned(cat.parent, wildcards=True)
    assert found.subsets[0].pictures[0].caption == "a cat\nsecond line"
    assert not found.problems


def test_missing_captions_make_one_warning_with_the_first_five_names(tmp_path: pathlib.Path) -> None:
    for number in range(7):
        picture(tmp_path / "1_old cat" / f"n{number}.png", caption=None)
    found = scanned(tmp_path)
    assert {p.caption for p in found.subsets[0].pictures} == {"old cat"}
    assert only(warnings(found), "7 (n0.png", "n4.png", "…", "old cat")
    assert "n5.png" not in warnings(found)[0]


@pytest.mark.parametrize(("trigger", "said"), [("", "no words at all"), ("sks", "sks")])
def test_a_missing_caption_in_a_folder_without_words_says_so(tmp_path: pathlib.Path, trigger: str, said: str) -> None:
    picture(tmp_path / "25_" / "a.png", caption=None)
    found = scanned(tmp_path, trigger=trigger)
    assert found.subsets[0].pictures[0].caption == ""
    assert only(warnings(found), said)


def test_a_file_that_is_too_large_for_a_caption_is_refused(cat: pathlib.Path) -> None:
    cat.with_suffix(".txt").write_text("x" * 100_000)
    assert only(errors(scanned(cat.parent)), "a.txt", "64 KiB", "Check that this is a caption; shorten it or remove it")


def test_a_caption_that_may_not_be_read_is_named(cat: pathlib.Path) -> None:
    cat.with_suffix(".caption").mkdir()
    assert not errors(scanned(cat.parent))
    cat.with_suffix(".txt").symlink_to(cat.parent / "gone.txt")
    assert only(
        errors(scanned(cat.parent)), "a.txt", "cannot be read", "Give yourself the right to read it, or remove it"
    )


def test_a_caption_named_on_another_system_is_found(tmp_path: pathlib.Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "kätzchen") for form in ("NFC", "NFD"))
    path = picture(tmp_path / "1_x" / f"{composed}.png", caption=None)
    (path.parent / f"{decomposed}.txt").write_text("a kitten")
    assert first(path).caption == "a kitten"


def test_many_unreadable_captions_are_counted_instead_of_listed(tmp_path: pathlib.Path) -> None:
    leaf = pictures(tmp_path / "1_x", 30)
    for file in leaf.glob("*.txt"):
        file.write_bytes(b"\xff\xfe\xff")
    found = errors(scanned(tmp_path))
    assert len(found) == 11
    assert "20 more" in found[-1]
