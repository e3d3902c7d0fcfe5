"""Thumbnails of signed addresses only."""

import io
import pathlib

import fastapi
import httpx2
import pytest
from fastapi.testclient import TestClient
from PIL import Image, UnidentifiedImageError

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


def test_no_program_is_started_for_a_picture(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "postscript.png"
    script.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(UnidentifiedImageError):
        thumbs.scaled(script, 256)
