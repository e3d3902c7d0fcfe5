"""Kohya's folder convention without its traps."""

import os
import pathlib

import pytest

from tests.trainer.dataset.made import errors, only, picture, pictures, scanned, warnings
from trainer.dataset.folders import Named, first_with_pictures, natural, read_name, resolve
from trainer.dataset.pictures import BrokenPicture
from trainer.dataset.scan import scan
from trainer.job.settings import Dataset


@pytest.mark.parametrize(
    ("name", "repeats", "words"),
    [
        ("25_cat", 25, "cat"),
        ("10_black cat_v2", 10, "black cat_v2"),
        ("25", 25, ""),
        ("25_", 25, ""),
        ("１０_cat", 10, "cat"),
        (" 10_cat", 10, "cat"),
        ("+5_cat", 5, "cat"),
        ("0_cat", 0, "cat"),
        ("-3_cat", -3, "cat"),
        ("cat", None, "cat"),
        ("x_cat", None, "x_cat"),
        ("1.5_cat", None, "cat"),
        ("²_cat", None, "²_cat"),
    ],
)
def test_the_name_of_a_folder_says_repeats_and_words(name: str, repeats: int | None, words: str) -> None:
    assert read_name(name) == Named(repeats, words)


def test_a_parent_folder_holds_numbered_folders(tmp_path: pathlib.Path) -> None:
    pictures(tmp_path / "10_black cat_v2", 3)
    pictures(tmp_path / "2_dog", 5)
    found = scanned(tmp_path)
    shown = [(s.name, s.repeats, s.words, len(s.pictures)) for s in found.subsets]
    assert shown == [("2_dog", 2, "dog", 5), ("10_black cat_v2", 10, "black cat_v2", 3)]
    assert (found.pictures, found.repeated, found.ok, found.problems) == (8, 40, True, ())


def test_a_leaf_folder_may_be_given(tmp_path: pathlib.Path) -> None:
    found = scanned(pictures(tmp_path / "25_cat"))
    assert [(s.name, s.repeats) for s in found.subsets] == [("25_cat", 25)]
    assert not found.problems


def test_a_name_that_is_no_unicode_can_still_be_trained_with_and_written_to_a_file(tmp_path: pathlib.Path) -> None:
    inner = tmp_path / os.fsdecode(b"3_caf\xe9")
    try:
        inner.mkdir()
    except OSError:
        pytest.skip("this file system holds Unicode names only")
    picture(inner / "1.png", caption=None)
    found = scanned(tmp_path)
    assert [(s.repeats, s.words.encode()) for s in found.subsets] == [(3, b"caf\\udce9")]
    assert found.subsets[0].name.encode()
    assert found.subsets[0].pictures[0].caption == found.subsets[0].words
    assert str(BrokenPicture(found.subsets[0].pictures[0].path, "reason")).encode()


def test_a_relative_leaf_folder_has_its_name(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pictures(tmp_path / "25_cat"))
    assert [s.repeats for s in scan(Dataset(folder=".")).subsets] == [25]


def test_a_folder_without_number_has_the_default_repeats_and_is_named(tmp_path: pathlib.Path) -> None:
    pictures(tmp_path / "cat")
    found = scanned(tmp_path, default_repeats=7)
    assert [(s.repeats, s.words) for s in found.subsets] == [(7, "cat")]
    assert found.ok
    assert only(warnings(found), "cat", "7 ×")


@pytest.mark.parametrize("name", ["0_cat", "-3_cat", "20240101_cat"])
def test_impossible_repeats_are_refused_and_named(tmp_path: pathlib.Path, name: str) -> None:
    pictures(tmp_path / name)
    pictures(tmp_path / "2_dog")
    found = scanned(tmp_path)
    assert only(errors(found), name)
    assert [s.name for s in found.subsets] == ["2_dog"]


def test_loose_pictures_beside_numbered_folders_are_named_and_not_used(tmp_path: pathlib.Path) -> None:
    pictures(tmp_path / "2_dog")
    pictures(tmp_path, 3)
    found = scanned(tmp_path)
    assert [s.name for s in found.subsets] == ["2_dog"]
    assert only(warnings(found), str(tmp_path), "not used: 3")


def test_a_numbered_folder_with_a_numbered_folder_inside_is_a_leaf(tmp_path: pathlib.Path) -> None:
    leaf = pictures(tmp_path / "25_cat")
    pictures(leaf / "3_older")
    found = scanned(leaf)
    assert [s.name for s in found.subsets] == ["25_cat"]
    assert only(warnings(found), "25_cat", "3_older")


def test_nested_folders_are_named(tmp_path: pathlib.Path) -> None:
    pictures(tmp_path / "2_dog")
    pictures(tmp_path / "2_dog" / "more")
    pictures(tmp_path / "4_cow")
    (tmp_path / "4_cow" / "notes").mkdir()
    pictures(tmp_path / "shelf" / "3_cat")
    found = scanned(tmp_path)
    assert [s.name for s in found.subsets] == ["2_dog", "4_cow"]
    assert [("more" in w, "3_cat" in w) for w in warnings(found)] == [(True, False), (False, True)]


def test_a_numbered_folder_without_pictures_is_named(tmp_path: pathlib.Path) -> None:
    pictures(tmp_path / "2_dog")
    (tmp_path / "5_cat").mkdir()
    assert only(warnings(scanned(tmp_path)), "There are no pictures right in 5_cat", "or remove it")


@pytest.mark.parametrize("inner", ["img/10_cat", "img/raw/cats"])
def test_pictures_that_lie_deeper_are_found_for_the_advice(tmp_path: pathlib.Path, inner: str) -> None:
    pictures(tmp_path / inner)
    wanted = tmp_path / inner if inner.endswith("cats") else tmp_path / "img"
    assert only(errors(scanned(tmp_path)), f"Choose {wanted} as")
    assert not warnings(scanned(tmp_path))


def test_a_missing_folder(tmp_path: pathlib.Path) -> None:
    assert only(
        errors(scanned(tmp_path / "nowhere")),
        "There is no folder",
        "nowhere",
        "Check the spelling, or choose the folder again",
    )


def test_a_file_instead_of_a_folder(tmp_path: pathlib.Path) -> None:
    assert only(
        errors(scanned(picture(tmp_path / "a.png"))),
        "a.png is a file, not a folder",
        "Choose the folder that the file lies in",
    )


def test_an_empty_folder(tmp_path: pathlib.Path) -> None:
    assert only(errors(scanned(tmp_path)), "is empty", "Put a folder such as 10_cat with your pictures")


def test_a_folder_without_pictures(tmp_path: pathlib.Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert only(errors(scanned(tmp_path)), "There are no pictures in", "Put PNG, JPEG or WebP files into it")


@pytest.mark.parametrize("denied", ["", "2_dog"])
def test_a_folder_that_may_not_be_read(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, denied: str) -> None:
    pictures(tmp_path / "2_dog")
    real = os.scandir

    def scandir(path: pathlib.Path) -> object:
        if path == tmp_path / denied:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert only(
        errors(scanned(tmp_path)), str(tmp_path / denied), "Permission denied", "or copy the pictures elsewhere"
    )


def test_links_are_followed_but_loops_are_not(tmp_path: pathlib.Path) -> None:
    real = pictures(tmp_path / "elsewhere", 3)
    data = tmp_path / "data"
    data.mkdir()
    try:
        (data / "4_cat").symlink_to(real, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    (data / "5_loop").symlink_to(data, target_is_directory=True)
    (data / "6_up").symlink_to(tmp_path, target_is_directory=True)
    (data / "7_self").symlink_to(data / "7_self")
    found = scanned(data)
    assert [(s.name, len(s.pictures)) for s in found.subsets] == [("4_cat", 3)]
    assert [name in w for w, name in zip(warnings(found), ("5_loop", "6_up"), strict=True)] == [True, True]


def test_links_up_lead_to_nothing_deeper_and_links_down_do(tmp_path: pathlib.Path) -> None:
    picture(tmp_path / "loose.png")
    data, inner = tmp_path / "data", tmp_path / "data" / "a" / "b" / "c"
    inner.mkdir(parents=True)
    try:
        (data / "up").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    assert first_with_pictures(data) is None
    # Seen first where nothing more is looked for.
    (inner / "first").symlink_to(data / "z", target_is_directory=True)
    deep = data / "z" / "deep"
    picture(deep / "1_cat" / "1.png")
    assert first_with_pictures(data) == deep


def test_hidden_and_foreign_things_are_ignored(tmp_path: pathlib.Path) -> None:
    leaf = pictures(tmp_path / "2_dog", 5)
    for name in (".hidden.png", "._1.png", "Thumbs.db", "desktop.ini", "notes.md", "model.safetensors", "1.npz"):
        (leaf / name).write_bytes(b"foreign")
    pictures(tmp_path / ".cache")
    pictures(tmp_path / "__MACOSX")
    found = scanned(tmp_path)
    assert (found.pictures, found.problems) == (5, ())


def test_the_order_is_natural_and_the_same_everywhere(tmp_path: pathlib.Path) -> None:
    for name in ("b10.png", "b9.png", "A2.png", "a10.png", "C.png"):
        picture(tmp_path / "1_x" / name)
    found = scanned(tmp_path)
    assert [p.path.name for p in found.subsets[0].pictures] == ["A2.png", "a10.png", "b9.png", "b10.png", "C.png"]
    assert natural("²3") != natural("3²")


@pytest.mark.parametrize("end", ["png", "PNG", "Jpg", "jpeg", "JPEG", "WebP", "bmp", "gif", "tif", "TIFF", "avif"])
def test_endings_in_upper_and_lower_case(tmp_path: pathlib.Path, end: str) -> None:
    picture(tmp_path / "1_x" / f"a.{end}")
    found = scanned(tmp_path)
    assert (found.pictures, found.problems) == (1, ())


def test_pictures_of_a_kind_that_cannot_be_read_are_named(tmp_path: pathlib.Path) -> None:
    pictures(tmp_path / "1_x")
    (tmp_path / "1_x" / "phone.HEIC").write_bytes(b"heic")
    assert only(warnings(scanned(tmp_path)), "phone.HEIC", "PNG or JPEG")


def test_two_pictures_with_one_stem_are_refused_and_both_named(tmp_path: pathlib.Path) -> None:
    picture(tmp_path / "1_x" / "cat.jpg")
    picture(tmp_path / "1_x" / "cat.PNG")
    assert only(errors(scanned(tmp_path)), "cat.jpg", "cat.PNG", "Rename")


def test_names_of_data_sets_that_come_with_the_program() -> None:
    assert resolve("starter").parts[-3:] == ("trainer", "starter", "dataset")
    assert resolve("starter-style").parts[-3:] == ("trainer", "starter", "dataset_style")


def test_a_pasted_path_may_have_quotes_and_a_tilde(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(f'"{tmp_path}"') == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert resolve("~/cats") == tmp_path / "cats"


@pytest.mark.skipif(os.name != "posix" or os.uname().sysname == "Darwin", reason="names are always Unicode here")
def test_a_name_that_is_no_unicode_can_still_be_shown(tmp_path: pathlib.Path) -> None:
    leaf = pictures(tmp_path / "1_x")
    (leaf / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    assert only([s.encode().decode() for s in errors(scanned(tmp_path))], "caf", ".png", "0 bytes")
