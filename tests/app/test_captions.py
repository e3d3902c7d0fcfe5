"""Captions are written beside pictures that this program has shown, and nowhere else."""

import os
import pathlib

import pytest

from app import captions, thumbs


def given(path: pathlib.Path, text: str, ending: str = "") -> dict[str, str]:
    """What the page sends for a picture that it was shown with captions of this ending."""
    return {"path": str(path), "key": thumbs.key_of(str(path), ending), "ending": ending, "text": text}


def test_a_caption_is_written_as_utf8_in_one_line(tmp_path: pathlib.Path) -> None:
    picture = tmp_path / "ねこ.png"
    picture.touch()
    answer = captions.save_caption(given(picture, " 白い猫、\n 窓辺 "))
    assert (answer["ok"], answer["caption"]) == (True, "白い猫、 窓辺")
    assert (tmp_path / "ねこ.txt").read_text(encoding="utf-8") == "白い猫、 窓辺\n"


def test_the_caption_file_that_is_there_is_used(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "a.caption").write_text("old", encoding="utf-8")
    captions.save_caption(given(tmp_path / "a.png", "new"))
    assert (tmp_path / "a.caption").read_text(encoding="utf-8") == "new\n"
    assert not (tmp_path / "a.txt").exists()


def test_an_ending_in_capitals_is_the_same_one(tmp_path: pathlib.Path) -> None:
    (tmp_path / "A.PNG").touch()
    (tmp_path / "A.TXT").write_text("old", encoding="utf-8")
    captions.save_caption(given(tmp_path / "A.PNG", "new"))
    assert [path.read_text(encoding="utf-8") for path in tmp_path.glob("A.[Tt]*")] == ["new\n"]


def test_a_caption_gets_the_ending_that_training_reads(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "a.txt").write_text("other", encoding="utf-8")
    assert captions.save_caption(given(tmp_path / "a.png", "new", ".tags"))["ok"]
    assert (tmp_path / "a.tags").read_text(encoding="utf-8") == "new\n"
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "other"


def test_no_picture_and_nothing_elsewhere_is_written_over(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.png").touch()
    for ending in (".png", ".PNG", "/../b", "png", ".x/y"):
        assert not captions.save_caption(given(tmp_path / "a.png", "new", ending))["ok"]
    assert [path.name for path in tmp_path.glob("*.*")] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b""


def test_the_ending_is_the_one_that_the_picture_was_shown_with(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "a.tags").write_text("other", encoding="utf-8")
    sent = {**given(tmp_path / "a.png", "new"), "ending": ".tags"}
    assert (captions.whole_caption(sent), captions.save_caption(sent)["ok"]) == ("", False)
    assert (tmp_path / "a.tags").read_text(encoding="utf-8") == "other"


@pytest.mark.parametrize("ending", [".env", ".py", ".sh", ".json", ".safetensors", ".txt.py", ".tags.lnk"])
def test_what_is_no_caption_is_neither_read_nor_written(tmp_path: pathlib.Path, ending: str) -> None:
    (tmp_path / "app.png").touch()
    (tmp_path / f"app{ending}").write_text("secret", encoding="utf-8")
    sent = given(tmp_path / "app.png", "new", ending)
    assert (captions.whole_caption(sent), captions.save_caption(sent)["ok"]) == ("", False)
    assert (tmp_path / f"app{ending}").read_text(encoding="utf-8") == "secret"


@pytest.mark.skipif(os.name == "nt", reason="links are for administrators there")
@pytest.mark.parametrize("secret", ["elsewhere/secret.txt", "data/.env"])
def test_a_link_to_what_is_no_caption_beside_the_picture_is_not_followed(tmp_path: pathlib.Path, secret: str) -> None:
    picture = tmp_path / "data" / "app.png"
    for folder in ("data", "elsewhere"):
        (tmp_path / folder).mkdir()
    picture.touch()
    (tmp_path / secret).write_text("first\nsecond", encoding="utf-8")
    picture.with_suffix(".txt").symlink_to(tmp_path / secret)
    assert captions.whole_caption({**given(picture, ""), "all_lines": True}) == ""
    answer = captions.save_caption(given(picture, "new"))
    assert answer["message"] == (
        "Not saved: app.txt is a link to a file elsewhere. Put the file itself beside the picture."
    )
    assert picture.with_suffix(".txt").is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="links are for administrators there")
def test_a_picture_and_its_caption_that_are_links_into_one_folder_are_a_caption(tmp_path: pathlib.Path) -> None:
    for folder in ("data", "library"):
        (tmp_path / folder).mkdir()
    (tmp_path / "library" / "a.png").touch()
    (tmp_path / "library" / "a.txt").write_text("a cat", encoding="utf-8")
    for name in ("a.png", "a.txt"):
        (tmp_path / "data" / name).symlink_to(tmp_path / "library" / name)
    assert captions.whole_caption(given(tmp_path / "data" / "a.png", "")) == "a cat"


@pytest.mark.skipif(os.name == "nt", reason="links are for administrators there")
def test_captions_in_a_store_of_content_without_endings_are_captions(tmp_path: pathlib.Path) -> None:
    for folder in ("data", "blobs"):
        (tmp_path / folder).mkdir()
    for name, content in (("a.png", "1f0c"), ("a.txt", "77ab")):
        (tmp_path / "blobs" / content).write_text("a cat", encoding="utf-8")
        (tmp_path / "data" / name).symlink_to(tmp_path / "blobs" / content)
    assert captions.whole_caption(given(tmp_path / "data" / "a.png", "")) == "a cat"


@pytest.mark.parametrize("ending", [".cap", ".joycaption", ".wd14_cap", ".en.txt", ".txt2"])
def test_endings_that_captioners_use_can_be_written(tmp_path: pathlib.Path, ending: str) -> None:
    (tmp_path / "a.png").touch()
    assert captions.save_caption(given(tmp_path / "a.png", "a cat", ending))["ok"]
    assert (tmp_path / f"a{ending}").read_text(encoding="utf-8") == "a cat\n"


@pytest.mark.skipif(os.name == "nt", reason="links are for administrators there")
def test_a_folder_that_a_link_has_replaced_is_not_the_one_that_was_shown(tmp_path: pathlib.Path) -> None:
    for folder in ("data", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").touch()
    (tmp_path / "elsewhere" / "a.txt").write_text("secret", encoding="utf-8")
    sent = given(tmp_path / "data" / "a.png", "new")
    (tmp_path / "data").rename(tmp_path / "away")
    (tmp_path / "data").symlink_to(tmp_path / "elsewhere")
    assert (captions.whole_caption(sent), captions.save_caption(sent)["ok"]) == ("", False)
    assert (tmp_path / "elsewhere" / "a.txt").read_text(encoding="utf-8") == "secret"


def test_lines_that_wildcards_choose_from_stay_lines(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.png").touch()
    sent = {**given(tmp_path / "a.png", " a {black|white}  cat\n\n a dog \n"), "all_lines": True}
    assert captions.save_caption(sent)["caption"] == "a {black|white} cat\na dog"
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "a {black|white} cat\na dog\n"


def test_lines_that_were_not_shown_stay(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "a.txt").write_text("a cat\n\na dog\n", encoding="utf-8-sig")
    assert captions.save_caption(given(tmp_path / "a.png", "a white\ncat"))["caption"] == "a white cat"
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "a white cat\na dog\n"
    captions.save_caption(given(tmp_path / "a.png", ""))
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "\n", "the second line must not become the caption"


@pytest.mark.parametrize("held", ["ねこ".encode("cp932"), b"a cat\n" * 20_000])
def test_a_file_that_no_caption_was_read_from_stays(tmp_path: pathlib.Path, held: bytes) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "a.txt").write_bytes(held)
    answer = captions.save_caption(given(tmp_path / "a.png", "a cat"))
    assert not answer["ok"]
    assert answer["message"].startswith("Not saved: a.txt is no UTF-8 text, or too long for a caption")
    assert (tmp_path / "a.txt").read_bytes() == held


def test_a_caption_that_training_would_not_read_is_not_written(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.png").touch()
    assert captions.save_caption(given(tmp_path / "a.png", "ね" * 21_844))["ok"]
    answer = captions.save_caption(given(tmp_path / "a.png", "ね" * 21_846))
    assert answer == {"ok": False, "message": "Not saved: a caption file has at most 64 KiB. Shorten it."}
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "ね" * 21_844 + "\n"


def test_a_caption_that_has_become_a_folder_is_neither_read_nor_replaced(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "a.txt").mkdir()
    assert captions.whole_caption(given(tmp_path / "a.png", "")) == ""
    assert not captions.save_caption(given(tmp_path / "a.png", "a cat"))["ok"]
    assert (tmp_path / "a.txt").is_dir()


def test_an_unsigned_path_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.png").touch()
    for wrong in ({"key": "0"}, {"path": str(tmp_path / "b.png")}, {"path": None}):
        assert captions.save_caption({**given(tmp_path / "a.png", "x"), **wrong})["ok"] is False
    assert [path.name for path in tmp_path.glob("*.txt")] == []


def test_a_caption_that_cannot_be_written_is_said_and_kept_in_sight(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "a.txt").mkdir()
    answer = captions.save_caption(given(tmp_path / "a.png", "new"))
    assert answer["ok"] is False
    assert answer["message"].startswith("Not saved: ")
    assert "directory" in answer["message"]
