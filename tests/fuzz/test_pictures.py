"""Pictures of every kind, damaged: a size and pixels come of them, or what is wrong with the file."""

import io
import pathlib
import subprocess
import sys
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st
from PIL import Image, features

from app import live, thumbs
from tests.fuzz.mutations import damaged
from tests.fuzz.trials import Trials, said
from trainer.dataset import pictures
from trainer.dataset.pictures import BrokenPicture

KINDS = ("png", "jpg", "webp", "bmp", "gif", "tif")
SIDES_PX = (1, 65_535, 2**24, 2**31 - 1)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """The picture as a file of this kind."""
    stream = io.BytesIO()
    picture.save(stream, {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind.upper()), **options)
    return stream.getvalue()


def whole() -> Iterator[bytes]:
    """Small pictures in all kinds, modes and with all that may hang on them."""
    plain = Image.effect_noise((23, 17), 90).convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x9286] = 6, "桜" * 20, b"rubbish" * 9
    for kind in KINDS:
        yield saved(plain, kind)
        yield saved(plain.convert("P"), "png" if kind in ("jpg", "webp", "bmp") else kind)
    for kind in ("jpg", "png", "webp", "tif"):
        yield saved(plain, kind, exif=exif, icc_profile=b"\0\0\0\x90" + b"rubbish" * 40)
    for mode in ("1", "L", "LA", "RGBA", "I;16"):
        yield saved(plain.convert("L").convert(mode) if mode.startswith("I") else plain.convert(mode), "png")
    yield saved(plain.convert("CMYK"), "jpg", progressive=True)
    yield saved(plain.convert("F"), "tif")
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield saved(plain, "tif", compression=compression)
    frames = [plain.rotate(turn) for turn in (30, 60)]
    for kind in ("gif", "webp", "png", "tif"):
        yield saved(plain, kind, save_all=True, append_images=frames)
    yield saved(plain, "webp", lossless=True)
    if features.check("avif"):
        yield saved(plain, "avif")


WHOLE = tuple(whole())


def chunk(name: bytes, data: bytes) -> bytes:
    """A piece of a PNG."""
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def png(width: int, height: int, data: bytes, *others: bytes) -> bytes:
    """A PNG that says it is as large as that, whatever is in it."""
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(others) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bombs() -> Iterator[tuple[str, bytes]]:
    """Files of a few kilobytes that would fill the memory."""
    zeros = zlib.compress(bytes(2**24), 9)
    for side in SIDES_PX:
        yield f"side{side}.png", png(side, side, zeros)
    yield "text.png", png(8, 8, zlib.compress(bytes(200)), *[chunk(b"zTXt", b"a\0\0" + zeros)] * 40)
    yield "profile.png", png(8, 8, zlib.compress(bytes(200)), chunk(b"iCCP", b"a\0\0" + zeros))
    small = Image.new("RGB", (8, 8))
    for kind, places, order in (("gif", (6, 8), "little"), ("bmp", (18, 22), "little")):
        content = bytearray(saved(small, kind))
        for place in places:
            size = 2 if kind == "gif" else 4
            content[place : place + size] = (2 ** (8 * size - 1) - 1).to_bytes(size, order)
        yield f"large.{kind}", bytes(content)
    jpeg = bytearray(saved(small, "jpg"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\xff\xff\xff"
    yield "large.jpg", bytes(jpeg)
    tiff = saved(small, "tif").replace(
        b"\x00\x01\x04\x00\x01\x00\x00\x00\x08\x00", b"\x00\x01\x04\x00\x01\x00\x00\x00\xff\x7f"
    )
    yield "large.tif", tiff
    frames = [Image.new("L", (1000, 1000), shade) for shade in range(30)]
    yield "frames.gif", saved(frames[0], "gif", save_all=True, append_images=frames[1:])


def looked_at(path: pathlib.Path) -> None:
    """All that is read of a picture, for the training and for the page."""
    for read in (pictures.size_px, pictures.open_picture, pictures.open_alpha):
        try:
            found = read(path)
            assert found
        except BrokenPicture as error:
            said(f"{error}.")
    thumbs.thumb(str(path), thumbs.key_of(str(path)))
    assert thumbs.thumb(str(path), "no proof").status_code == 403


def test_pictures(trials: Trials, tmp_path: pathlib.Path) -> None:
    def read(given: tuple[bytes, str]) -> None:
        content, kind = given
        path = tmp_path / f"a.{kind}"
        path.write_bytes(content)
        looked_at(path)

    known = [(content, "png") for content in (b"", b"\0", b"\x89PNG", b"GIF89a", b"RIFF\xff\xff\xff\xffWEBP")]
    odd = st.tuples(damaged(WHOLE), st.sampled_from(KINDS)) | st.tuples(st.binary(max_size=60), st.sampled_from(KINDS))
    trials.of("pictures", read, odd, [*known, *((content, "png") for content in WHOLE)], count=120)


def test_samples_of_a_run(trials: Trials, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.png"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        live.shrunk(path, 96)

    trials.of("samples", read, damaged(WHOLE), WHOLE[:6], count=40)


@pytest.mark.skipif(sys.platform == "win32", reason="the memory of a process cannot be limited there")
def test_small_files_that_unfold_do_not_fill_the_memory(tmp_path: pathlib.Path) -> None:
    """With less memory than any of them would take, every one is answered in its time."""
    files = dict(bombs())
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.little_memory", str(tmp_path)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == len(files)
