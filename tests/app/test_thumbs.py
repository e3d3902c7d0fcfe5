"""Thumbnails of signed addresses only."""

import io
import pathlib
import subprocess
import sys

import fastapi
import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageChops, ImageOps, ImageStat, UnidentifiedImageError

from app import thumbs


def client() -> TestClient:
    """A client of the route alone."""
    app = fastapi.FastAPI()
    app.include_router(thumbs.router)
    return TestClient(app)


def ask(path: pathlib.Path, /, **change: str) -> httpx2.Response:
    """The answer to a page that was shown `path`, with some of what it sends changed."""
    return client().get("/thumb", params={"path": str(path), **thumbs.ticket(path, 1), **change})


def test_a_signed_address_gives_a_small_upright_picture(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ね こ&#?.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (800, 400), "red").save(path, exif=exif)
    answer = ask(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(answer.content)).size == (128, 256)


def test_transparent_and_palette_pictures_work(tmp_path: pathlib.Path) -> None:
    for mode in ("RGBA", "P", "LA", "CMYK", "I;16", "1"):
        path = tmp_path / f"{mode.replace(';', '')}.tif"
        Image.new(mode, (300, 300)).save(path)
        assert ask(path).status_code == 200, mode


def test_another_path_or_size_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (9, 9)).save(path)
    for change in ({"path": str(tmp_path / "b.png")}, {"px": "512"}, {"key": "0" * 32}, {"key": "é"}, {"ending": ".t"}):
        assert ask(path, **change).status_code == 403


def test_what_is_no_picture_is_not_found(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    assert ask(tmp_path / "a.png").status_code == 404
    assert ask(tmp_path / "gone.png").status_code == 404


def test_a_picture_of_too_many_pixels_is_not_decoded(tmp_path: pathlib.Path) -> None:
    bomb = tmp_path / "bomb.png"
    Image.new("1", (10_000, 9_000)).save(bomb)
    with pytest.raises(Image.DecompressionBombError, match="more pixels than is safe"):
        thumbs.scaled(bomb, 256)
    assert ask(bomb).status_code == 404


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tif", "webp", "jpg"])
def test_a_large_picture_is_turned_as_a_viewer_turns_it(tmp_path: pathlib.Path, kind: str, orientation: int) -> None:
    lying = Image.new("RGBA" if kind in ("png", "webp") else "RGB", (1600, 800), "white")
    lying.paste("red", (0, 0, 400, 400))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{kind}"
    lying.save(path, exif=exif)
    wanted = ImageOps.exif_transpose(Image.open(path)).convert("RGB").resize((8, 8), Image.Resampling.BOX)
    small = Image.open(io.BytesIO(thumbs.scaled(path, 256)[0])).convert("RGB")
    assert small.size == ((128, 256) if orientation >= 5 else (256, 128))
    difference = ImageChops.difference(small.resize((8, 8), Image.Resampling.BOX), wanted)
    assert max(high for _, high in difference.getextrema()) < 16


def test_what_shines_through_is_averaged_as_a_whole_however_large(tmp_path: pathlib.Path) -> None:
    small = Image.effect_noise((25, 20), 90)
    picture = Image.merge("RGBA", [small, small, small.rotate(180), small.rotate(90)]).resize((2500, 2000))
    picture.save(tmp_path / "a.png")
    wanted = picture.resize((250, 200))
    with Image.open(tmp_path / "a.png") as opened:
        found = thumbs.fitted(opened, (250, 250), 1.0)
    for colour in ("black", "white"):
        seen = [Image.alpha_composite(Image.new("RGBA", (250, 200), colour), each) for each in (found, wanted)]
        assert max(ImageStat.Stat(ImageChops.difference(*seen)).mean) < 2


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (7, 20_000)])
def test_of_a_very_narrow_picture_something_is_left(tmp_path: pathlib.Path, size: tuple[int, int]) -> None:
    Image.new("RGBA", size).save(tmp_path / "a.png")
    assert max(Image.open(io.BytesIO(thumbs.scaled(tmp_path / "a.png", 256)[0])).size) == 256


MANY_AT_ONCE = """
import concurrent.futures, pathlib, sys
from app import live, thumbs

def most_mib():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))

path, before = pathlib.Path(sys.argv[1]), most_mib()
with concurrent.futures.ThreadPoolExecutor(12) as pool:
    asked = [pool.submit(each, path, 96) for each in (thumbs.scaled, live.shrunk) for _ in range(6)]
    assert all(each.result() for each in asked)
print(most_mib() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the most memory that a process had is read from /proc")
def test_of_many_large_pictures_asked_for_at_once_only_two_take_memory(tmp_path: pathlib.Path) -> None:
    Image.new("RGBA", (5000, 5000)).save(tmp_path / "a.png")
    decoded_mib = 5000 * 5000 * 4 // 2**20
    done = subprocess.run(
        [sys.executable, "-c", MANY_AT_ONCE, str(tmp_path / "a.png")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 3 * decoded_mib


def test_no_program_is_started_for_a_picture(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "postscript.png"
    script.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(UnidentifiedImageError):
        thumbs.scaled(script, 256)


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_a_grey_picture_of_16_bits_is_shown(tmp_path: pathlib.Path, ending: str) -> None:
    path = tmp_path / f"deep.{ending}"
    Image.fromarray(np.full((900, 1200), 40_000, dtype=np.uint16)).save(path)
    content, _ = thumbs.scaled(path, thumbs.SIZES_PX[0])
    with Image.open(io.BytesIO(content)) as shown:
        assert abs(shown.convert("L").getpixel((5, 5)) - 40_000 / 257) < 3
