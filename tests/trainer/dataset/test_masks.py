"""Which mask belongs to which picture, and what is wrong with masks."""

import pathlib

import pytest
from PIL import Image

from tests.trainer.dataset.made import errors, only, picture, pictures, scanned, turned, warnings
from trainer.dataset.masks import read_mask
from trainer.dataset.pictures import BrokenPicture, open_alpha
from trainer.dataset.scan import Picture
from trainer.job.settings import Dataset


@pytest.fixture
def data(tmp_path: pathlib.Path) -> pathlib.Path:
    """Five pictures in each of two folders; a mask for all that are called 1, and for one of the second folder."""
    for name in ("1_cat", "2_dog"):
        pictures(tmp_path / "data" / name)
    for mask in ("1.png", "2_dog/1.webp", "2_dog/2.png"):
        picture(tmp_path / "masks" / mask, caption=None)
    return tmp_path / "data"


def with_masks(data: pathlib.Path, folder: str = "masks") -> dict[str, object]:
    return {"masked_loss": "folder", "mask_folder": str(data.with_name(folder))}


def test_a_mask_lies_in_a_folder_of_the_same_name_or_beside_the_others(data: pathlib.Path) -> None:
    found = scanned(data, **with_masks(data))
    masks = {
        picture.path.relative_to(data).as_posix(): picture.mask.relative_to(data.with_name("masks")).as_posix()
        for subset in found.subsets
        for picture in subset.pictures
        if picture.mask
    }
    assert masks == {"1_cat/1.png": "1.png", "2_dog/1.png": "2_dog/1.webp", "2_dog/2.png": "2_dog/2.png"}
    assert only(warnings(found), "Pictures without a mask", "7 (2.png, 3.png", "All of each is learned")
    assert [problem.setting for problem in found.problems] == ["dataset.mask_folder"]


def test_masks_are_looked_for_only_when_asked(data: pathlib.Path) -> None:
    found = scanned(data, mask_folder="/nowhere")
    assert not found.problems
    assert all(picture.mask is None for subset in found.subsets for picture in subset.pictures)


def test_a_mask_folder_without_masks_is_an_error(data: pathlib.Path) -> None:
    data.with_name("none").mkdir()
    assert only(errors(scanned(data, **with_masks(data, "none"))), "No picture has a mask")
    assert only(errors(scanned(data, **with_masks(data, "nowhere"))), "nowhere", "cannot be read")


def test_a_mask_is_read_in_grey_and_in_the_size_of_its_picture(tmp_path: pathlib.Path) -> None:
    Image.new("RGB", (4, 4), (0, 255, 0)).save(tmp_path / "mask.png")
    mask = read_mask(Picture(tmp_path / "a.png", 8, 6, "", None, tmp_path / "mask.png"), Dataset())
    assert mask is not None
    # Rec. 601: green is 0.587 of the brightness
    assert (mask.mode, mask.size, mask.getpixel((5, 5))) == ("L", (8, 6), round(0.587 * 255))
    assert read_mask(Picture(tmp_path / "a.png", 8, 6, ""), Dataset()) is None


def test_a_broken_mask_is_named_with_its_picture(tmp_path: pathlib.Path) -> None:
    (tmp_path / "mask.png").write_bytes(b"no picture")
    with pytest.raises(BrokenPicture, match=r"a\.png cannot be read: its mask .*mask\.png cannot be read") as caught:
        read_mask(Picture(tmp_path / "a.png", 8, 6, "", None, tmp_path / "mask.png"), Dataset())
    assert caught.value.path == tmp_path / "a.png"


def test_the_alpha_channel_is_upright_and_white_where_there_is_none(tmp_path: pathlib.Path) -> None:
    clear = Image.new("RGBA", (8, 4), (10, 20, 30, 255))
    clear.putpixel((0, 0), (10, 20, 30, 40))
    clear.save(tmp_path / "a.png", exif=turned(6))
    alpha = open_alpha(tmp_path / "a.png")
    # turned a quarter to the right, what was top left is top right
    assert (alpha.mode, alpha.size, alpha.getpixel((3, 0)), alpha.getpixel((0, 0))) == ("L", (4, 8), 40, 255)
    Image.new("RGB", (8, 4)).save(tmp_path / "b.png")
    assert open_alpha(tmp_path / "b.png").getextrema() == (255, 255)
