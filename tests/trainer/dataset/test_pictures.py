"""Pictures of every kind, whole and broken, made for the test."""

import os
import pathlib
import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.trainer.dataset.made import errors, only, picture, pictures, scanned, turned
from tests.trainer.dataset.made import warnings as warned
from trainer.dataset.pictures import MAX_BYTES, BrokenPicture, fit, open_picture, size_px
from trainer.dataset.scan import without
from trainer.job.settings import Dataset

WHOLE = ("png", "jpg", "webp", "tif", "avif", "bmp", "gif")


def noise(size: tuple[int, int]) -> Image.Image:
    """A picture that does not compress to nothing."""
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def near(picture: Image.Image, colour: tuple[int, int, int], at: tuple[int, int] = (0, 0)) -> bool:
    """Whether the pixel is this colour but for what a lossy format does."""
    pixel = picture.getpixel(at)
    assert isinstance(pixel, tuple)
    return max(abs(have - want) for have, want in zip(pixel, colour, strict=True)) < 12


@pytest.mark.parametrize("end", ["png", "jpg", "webp", "tif", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_upright(tmp_path: pathlib.Path, end: str, orientation: int) -> None:
    upright = Image.new("RGB", (64, 32), "black")
    upright.paste("red", (0, 0, 16, 16))
    camera = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    path = tmp_path / f"a.{end}"
    camera.save(path, exif=turned(orientation))
    opened = open_picture(path)
    assert size_px(path) == opened.size == (64, 32)
    assert near(opened, (255, 0, 0), (3, 3))
    assert near(opened, (0, 0, 0), (60, 28))


def test_exif_behind_the_pixels_of_a_png_counts(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.png"
    noise((80, 40)).save(path)
    exif = turned(6).tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    path.write_bytes(path.read_bytes()[:-12] + chunk + path.read_bytes()[-12:])
    assert size_px(path) == open_picture(path).size == (40, 80)


def test_unreadable_exif_is_no_fault_of_the_picture(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.jpg"
    noise((80, 40)).save(path, exif=b"Exif\0\0II*\0garbage that is no directory")
    assert size_px(path) == open_picture(path).size == (80, 40)


@pytest.mark.parametrize(("name", "value"), [("white", 255), ("grey", 128), ("black", 0)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparency_is_flattened_on_the_chosen_colour(
    tmp_path: pathlib.Path, mode: str, name: str, value: int
) -> None:
    path = tmp_path / "a.png"
    clear = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    if mode == "RGB":
        Image.new("RGB", (8, 8), (10, 20, 30)).save(path, transparency=(10, 20, 30))
    elif mode == "P":
        palette = Image.new("P", (8, 8), 3)
        palette.putpalette(bytes(range(24)))
        palette.save(path, transparency=3)
    else:
        clear.convert(mode).save(path)
    opened = open_picture(path, name)
    assert (opened.mode, opened.getpixel((4, 4))) == ("RGB", (value, value, value))


def test_half_transparency_mixes(tmp_path: pathlib.Path) -> None:
    Image.new("RGBA", (8, 8), (255, 0, 0, 128)).save(tmp_path / "a.png")
    assert near(open_picture(tmp_path / "a.png", "black"), (128, 0, 0))


@pytest.mark.parametrize(("mode", "end"), [("CMYK", "jpg"), ("CMYK", "tif"), ("P", "gif"), ("L", "jpg"), ("1", "png")])
def test_other_kinds_of_colour_become_rgb(tmp_path: pathlib.Path, mode: str, end: str) -> None:
    path = tmp_path / f"a.{end}"
    Image.new("RGB", (16, 16), "white").convert(mode).save(path)
    opened = open_picture(path)
    assert opened.mode == "RGB"
    assert near(opened, (255, 255, 255))


@pytest.mark.parametrize(
    ("end", "dtype", "top"),
    [
        ("png", np.uint16, 65535),
        ("tif", np.uint16, 65535),
        ("tif", np.int32, 65535),
        ("tif", np.float32, 1.0),
        ("tif", np.float32, 255.0),
    ],
)
def test_more_than_8_bits_are_scaled_and_not_clipped(tmp_path: pathlib.Path, end: str, dtype: type, top: float) -> None:
    path = tmp_path / f"a.{end}"
    Image.fromarray(np.linspace(0, top, 256).reshape(16, 16).astype(dtype)).save(path)
    values = np.asarray(open_picture(path))[..., 0].reshape(-1).astype(int)
    assert abs(values - np.arange(256)).max() <= 1


@pytest.mark.parametrize("end", ["gif", "webp", "png"])
def test_of_an_animated_picture_the_first_frame_is_used(tmp_path: pathlib.Path, end: str) -> None:
    path = tmp_path / f"a.{end}"
    red, blue = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (32, 32), "blue")
    red.save(path, save_all=True, append_images=[blue])
    assert near(open_picture(path), (255, 0, 0))


@pytest.mark.parametrize("share", [0.97, 0.6, 0.2])
@pytest.mark.parametrize("end", WHOLE)
def test_a_truncated_picture_is_found_by_the_scan_already(tmp_path: pathlib.Path, end: str, share: float) -> None:
    whole, cut = tmp_path / f"a.{end}", tmp_path / f"cut.{end}"
    noise((90, 70)).save(whole)
    raw = whole.read_bytes()
    cut.write_bytes(raw[: int(len(raw) * share)])
    assert size_px(whole) == (90, 70)
    for read in (size_px, open_picture):
        with pytest.raises(BrokenPicture, match="cut"):
            read(cut)


@pytest.mark.parametrize("end", ["jpg", "png", "gif"])
def test_a_whole_picture_with_something_behind_it_is_whole(tmp_path: pathlib.Path, end: str) -> None:
    path = tmp_path / f"a.{end}"
    noise((90, 70)).save(path)
    path.write_bytes(path.read_bytes() + b"a film that a phone hangs on" * 100)
    assert size_px(path) == open_picture(path).size == (90, 70)


def test_damage_in_the_middle_is_found_when_the_picture_is_opened(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.png"
    noise((90, 70)).save(path)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(BrokenPicture, match=r"a\.png"):
        open_picture(path)


@pytest.mark.parametrize("raw", [b"", b"<html>not found</html>", b"version https://git-lfs.github.com/spec/v1"])
def test_a_file_that_is_no_picture_is_an_error_or_left_out(tmp_path: pathlib.Path, raw: bytes) -> None:
    leaf = pictures(tmp_path / "1_x", 5)
    (leaf / "bad.jpg").write_bytes(raw)
    (leaf / "bad.txt").write_text("a cat")
    refused, skipped = scanned(tmp_path), scanned(tmp_path, broken_pictures="skip")
    assert only(errors(refused), "bad.jpg", "Replace or remove it, or set Broken pictures to skip")
    assert only(warned(skipped), "bad.jpg", "left out")
    assert (skipped.ok, skipped.pictures) == (True, 5)


def test_a_picture_that_is_a_dead_link_is_named(tmp_path: pathlib.Path) -> None:
    leaf = pictures(tmp_path / "1_x", 5)
    (leaf / "gone.png").symlink_to(leaf / "nowhere.png")
    assert only(errors(scanned(tmp_path)), "gone.png", "No such file")


def test_a_decompression_bomb_is_refused_and_not_opened(tmp_path: pathlib.Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "1_x").mkdir()
    path = tmp_path / "1_x" / "bomb.png"
    path.write_bytes(png + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
    assert only(errors(scanned(tmp_path)), "bomb.png", "more pixels than is safe")


@pytest.mark.parametrize("end", ["webp", "avif", "png"])
def test_a_file_too_large_for_a_picture_is_refused_before_it_is_read(tmp_path: pathlib.Path, end: str) -> None:
    path = tmp_path / "1_x" / f"large.{end}"
    path.parent.mkdir()
    noise((90, 70)).save(path)
    os.truncate(path, MAX_BYTES + 1)
    tracemalloc.start()
    try:
        assert only(errors(scanned(tmp_path)), f"large.{end}", "more than 704 MiB; save it smaller")
        most_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most_bytes < 2**20


def test_a_picture_just_above_pillows_warning_is_refused_without_a_warning(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    path = picture(tmp_path / "a.png", (40, 40))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BrokenPicture, match="more pixels"):
            size_px(path)


def test_a_swollen_text_in_a_png_is_no_crash(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 10)
    notes = PngImagePlugin.PngInfo()
    notes.add_text("parameters", "x" * 1000, zip=True)
    path = picture(tmp_path / "a.png", pnginfo=notes)
    with pytest.raises(BrokenPicture, match=r"a\.png"):
        size_px(path)


def test_bytes_that_cannot_be_read_are_not_repeated(tmp_path: pathlib.Path) -> None:
    noise((400, 400)).save(tmp_path / "a.png")
    first, *others = (tmp_path / "a.png").read_bytes().split(b"IDAT")
    (tmp_path / "a.png").write_bytes(first + b"IDAT" + b"\x01\xde(\xdc".join(others))
    with pytest.raises(BrokenPicture, match=r"\(broken PNG file\)$"):
        open_picture(tmp_path / "a.png")


def test_a_program_in_disguise_is_not_run(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    with pytest.raises(BrokenPicture, match="no picture"):
        open_picture(path)


def test_all_pictures_broken_leaves_nothing_to_train_on(tmp_path: pathlib.Path) -> None:
    (tmp_path / "1_x").mkdir()
    (tmp_path / "1_x" / "bad.png").write_bytes(b"")
    assert only(errors(scanned(tmp_path, broken_pictures="skip")), "No picture in")


def test_a_picture_found_broken_later_leaves_the_scan(tmp_path: pathlib.Path) -> None:
    leaf = pictures(tmp_path / "1_x", 5)
    broken = [BrokenPicture(leaf / "2.png", "it is damaged")]
    found = scanned(tmp_path)
    skipped = without(found, broken, Dataset(broken_pictures="skip"))
    assert [p.path.name for p in skipped.subsets[0].pictures] == ["1.png", "3.png", "4.png", "5.png"]
    assert skipped.ok
    assert not without(found, broken, Dataset()).ok


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (64, 64), (65, 127), (20, 20)])
def test_fit_covers_the_bucket_and_cuts_the_centre(size: tuple[int, int]) -> None:
    pattern = Image.new("RGB", size, "blue")
    pattern.paste("red", (size[0] // 2 - 5, size[1] // 2 - 5, size[0] // 2 + 5, size[1] // 2 + 5))
    fitted = fit(pattern, (64, 64))
    assert fitted.size == (64, 64)
    assert near(fitted, (255, 0, 0), (32, 32))


@pytest.mark.parametrize(("crop", "left"), [(0, 0), (0.25, 16), (0.5, 32), (1, 64)])
def test_a_crop_is_cut_where_it_is_asked_for(crop: float, left: int) -> None:
    pattern = noise((128, 64))
    assert fit(pattern, (64, 64), crop).tobytes() == pattern.crop((left, 0, left + 64, 64)).tobytes()
    assert fit(pattern.transpose(Image.Transpose.ROTATE_270), (64, 64), crop).tobytes() == (
        pattern.transpose(Image.Transpose.ROTATE_270).crop((0, left, 64, left + 64)).tobytes()
    )


def test_a_picture_of_the_buckets_size_stays_as_it_is() -> None:
    pattern = noise((64, 128))
    assert fit(pattern, (64, 128)).tobytes() == pattern.tobytes()
