"""Captions are written beside pictures that this program has shown, and nowhere else."""

import pathlib

import pytest

from app import captions, thumbs


def given(path: pathlib.Path, text: str) -> dict[str, str]:
    """What the page sends for a picture that it was shown."""
    return {"path": str(path), "key": thumbs.sign(str(path)), "text": text}


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
    assert captions.save_caption({**given(tmp_path / "a.png", "new"), "ending": ".tags"})["ok"]
    assert (tmp_path / "a.tags").read_text(encoding="utf-8") == "new\n"
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "other"


def test_no_picture_and_nothing_elsewhere_is_written_over(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.png").touch()
    for ending in (".png", ".PNG", "/../b", "png", ".x/y"):
        assert not captions.save_caption({**given(tmp_path / "a.png", "new"), "ending": ending})["ok"]
    assert [path.name for path in tmp_path.glob("*.*")] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b""


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
