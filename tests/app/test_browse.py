"""The file browser shows what is inside of its roots, and nothing else."""

import json
import os
import pathlib
import sys
import time

import pytest
from PIL import Image

from app import browse


@pytest.fixture
def user(tmp_path: pathlib.Path) -> pathlib.Path:
    """A home folder with two pictures folders, a model, something hidden, and links that lead in and out."""
    user = tmp_path / "user"
    for name in ("10_cat", "2_dog", ".hidden"):
        (user / name).mkdir()
    Image.new("RGB", (8, 8)).save(user / "10_cat" / "1.png")
    (user / "10_cat" / "1.txt").write_text("a cat", encoding="utf-8")
    (user / "model.safetensors").write_bytes(bytes(2**20))
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.safetensors").write_bytes(b"")
    os.symlink(tmp_path / "secret", user / "way out")
    os.symlink(tmp_path / "secret" / "a.safetensors", user / "out.safetensors")
    os.symlink(user / "2_dog", user / "inside")
    return user


def names(found: list[dict[str, object]]) -> list[object]:
    """The names of entries."""
    return [entry["name"] for entry in found]


def test_folders_in_natural_order_with_their_pictures(user: pathlib.Path) -> None:
    found = browse.listing({"path": str(user), "kind": "folder"})
    assert names(found["folders"]) == ["2_dog", "10_cat", "inside"]
    assert [entry["pictures"] for entry in found["folders"]] == [0, 1, 0]
    assert found["files"] == []


def test_models_are_listed_where_one_is_wanted(user: pathlib.Path) -> None:
    found = browse.listing({"path": str(user), "kind": "model"})
    assert [(entry["name"], entry["size"]) for entry in found["files"]] == [("model.safetensors", "1 MB")]


@pytest.mark.parametrize("path", ["/", "/etc", "..", "", "relative", "\0", "~no such user/x", "/proc/self/root"])
def test_a_path_outside_of_the_roots_shows_a_root_instead(user: pathlib.Path, path: str) -> None:
    assert browse.listing({"path": path, "kind": "folder"})["path"] == str(user)


def test_links_that_lead_out_are_not_followed(user: pathlib.Path) -> None:
    assert browse.listing({"path": str(user / "way out")})["path"] == str(user)
    assert browse.listing({"path": str(user / ".." / "secret")})["path"] == str(user)


def test_a_file_or_a_missing_folder_shows_the_nearest_folder(user: pathlib.Path) -> None:
    assert browse.listing({"path": str(user / "10_cat" / "1.png")})["path"] == str(user / "10_cat")
    assert browse.listing({"path": str(user / "10_cat" / "no" / "such")})["path"] == str(user / "10_cat")


def test_crumbs_end_at_the_root(user: pathlib.Path) -> None:
    found = browse.listing({"path": str(user / "10_cat")})
    assert names(found["crumbs"]) == ["user", "10_cat"]


def test_a_name_that_is_too_long_shows_the_nearest_folder(user: pathlib.Path) -> None:
    assert browse.listing({"path": str(user / ("long" * 100))})["path"] == str(user)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every name is Unicode")
def test_names_that_are_no_text_are_left_out(user: pathlib.Path) -> None:
    (user / os.fsdecode(b"\x83l\x83R")).mkdir()
    json.dumps(browse.listing({"path": str(user)}), ensure_ascii=False).encode()


def test_thousands_of_folders_are_listed_soon(user: pathlib.Path) -> None:
    for number in range(2000):
        (user / "2_dog" / str(number)).mkdir(parents=True)
    begun = time.perf_counter()
    assert len(browse.listing({"path": str(user / "2_dog")})["folders"]) == 2000
    assert time.perf_counter() - begun < 2


@pytest.mark.parametrize(
    "path", [r"\\evil\share\x", r"\\?\C:\x", r"\\.\PhysicalDrive0", "//evil/share/x", r"\\?\UNC\evil\share"]
)
def test_other_machines_and_devices_are_not_even_looked_for_on_windows(path: str) -> None:
    assert browse.is_elsewhere(pathlib.PureWindowsPath(path))


def test_drives_of_windows_are_looked_for() -> None:
    assert not browse.is_elsewhere(pathlib.PureWindowsPath(r"D:\pictures"))


@pytest.mark.parametrize(
    "path", ["\0", "/etc\0/passwd", "/" + "x/" * 5000, "/proc/self/root/etc", "~nobody/x", "//etc", 7, None]
)
def test_a_path_that_leads_nowhere_or_out_shows_a_root(user: pathlib.Path, path: object) -> None:
    found = browse.listing({"path": path, "kind": "checkpoint"})
    assert any(found["path"].startswith(root["path"]) for root in found["roots"])
    assert not found["path"].startswith("/etc")
