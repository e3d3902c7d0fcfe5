"""Small pictures of pictures: made on request, and only of those that this process has shown."""

import functools
import hashlib
import hmac
import io
import os
import pathlib
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import fastapi
from PIL import Image

from trainer.dataset.buckets import Size
from trainer.dataset.pictures import eight_bits, opened, upright

router = fastapi.APIRouter()

SIZES_PX = (256, 1280)
"""In the grid of a data set, and enlarged."""
STRIP_ROWS = 16
# Threads of their own instead of a lock: what pictures have taken up stays with the thread that has decoded them.
DECODERS = ThreadPoolExecutor(2, "decoder")
"""So many large pictures are decoded at once for pages: they take hundreds of MiB each, however small their file."""
SMALL_PX, SMALL_BYTES = 4 * 2**20, 16 * 2**20
"""Pictures up to these are decoded by whoever asks: hundreds of them are waited for when a grid is scrolled."""
Made = TypeVar("Made")
_SECRET = secrets.token_bytes(32)


def ticket(path: pathlib.Path, changed_ns: int, ending: str = "") -> dict[str, str]:
    """What a page needs to ask for this picture: `at`, which changes when the file does, and `key`, the proof."""
    folder = _real_folder(str(path.parent), int(time.monotonic()))
    return {"at": f"{changed_ns:x}", "key": _key(str(path), folder, ending)}


def key_of(path: str, ending: str = "") -> str:
    """A short proof that this process has shown the picture at `path`, whose caption's file ends in `ending`.

    It proves nothing any more once a link leads elsewhere from there. Raises OSError and ValueError.
    """
    return _key(path, os.path.realpath(os.path.dirname(path)), ending)


def _key(path: str, real_folder: str, ending: str) -> str:
    real = os.path.join(real_folder, os.path.basename(path))
    return _signed(f"{path}\0{os.path.realpath(real) if os.path.islink(real) else real}\0{ending}")


# Of one folder thousands of pictures are shown at once. A proof is never checked with what is remembered.
@functools.lru_cache(maxsize=64)
def _real_folder(folder: str, second: int) -> str:
    return os.path.realpath(folder)


@functools.lru_cache(maxsize=16_384)
def _signed(text: str) -> str:
    return hmac.new(_SECRET, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def is_shown(path: str, key: str, ending: str = "") -> bool:
    """Whether `key` is the proof for this picture and this ending."""
    try:
        return hmac.compare_digest(key_of(path, ending).encode(), key.encode("utf-8", "replace"))
    except (OSError, ValueError):  # no file can have such a path
        return False


@router.get("/thumb")
def thumb(path: str, key: str, px: int = SIZES_PX[0], ending: str = "") -> fastapi.Response:
    """The scaled picture; 403 for one that was not shown with this `ending` or another size, 404 for no picture."""
    if not is_shown(path, key, ending) or px not in SIZES_PX:
        return fastapi.Response(status_code=403)
    try:
        content, kind = scaled(pathlib.Path(path), px)
    except Exception:  # noqa: BLE001 damaged files make Pillow raise anything from SyntaxError to struct.error
        return fastapi.Response(status_code=404)
    return fastapi.Response(
        content, media_type=f"image/{kind.lower()}", headers={"Cache-Control": "private, max-age=86400"}
    )


def scaled(path: pathlib.Path, side_px: int) -> tuple[bytes, str]:
    """The picture at `path`, upright, at most `side_px` wide and high, and its format. Raises what Pillow raises.

    It is a JPEG, which is written in half the time, unless parts of it are transparent: then it is a WebP.
    """
    return decoded(path, functools.partial(_scaled, side_px))


def decoded(path: pathlib.Path, make: Callable[[Image.Image], Made]) -> Made:
    """What `make` makes of the picture at `path`, of which it is given the header. Raises what Pillow and it raise."""
    if path.stat().st_size <= SMALL_BYTES:
        with opened(path) as (picture, _):
            if picture.width * picture.height <= SMALL_PX:
                return make(picture)
    return DECODERS.submit(_by_a_decoder, path, make).result()


def _by_a_decoder(path: pathlib.Path, make: Callable[[Image.Image], Made]) -> Made:
    with opened(path) as (picture, _):
        return make(picture)


def _scaled(side_px: int, found: Image.Image) -> tuple[bytes, str]:
    # Whole pixels are averaged as far as that goes: of many pictures at once, each is there sooner.
    picture = upright(fitted(found, (side_px, side_px), 1.0), found)
    has_alpha = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    stream = io.BytesIO()
    kind = "WEBP" if has_alpha else "JPEG"
    picture.convert("RGBA" if has_alpha else "RGB").save(stream, kind, quality=85)
    return stream.getvalue(), kind


def fitted(picture: Image.Image, most: Size, gap: float) -> Image.Image:
    """`picture` decoded, at most as wide and high as `most`, not turned yet. Raises what Pillow raises.

    Whole pixels are averaged first, down to `gap` times that size: the larger, the finer. It may be the same object.
    """
    share = gap * min(most[0] / picture.width, most[1] / picture.height)
    picture.draft("RGB", (max(1, int(picture.width * share)), max(1, int(picture.height * share))))
    picture.load()
    if picture.mode.startswith("I;16"):
        picture = picture.convert("I")  # 16 bits alone Pillow neither averages nor scales
    factor = int(max(picture.width / most[0], picture.height / most[1]) / gap)
    if factor > 1 and picture.mode in ("RGBA", "LA"):
        picture = _averaged(picture, factor)
    # After averaging alone, a finer one shows no more, and takes more than twice as long.
    resampling = Image.Resampling.LANCZOS if gap > 1 else Image.Resampling.HAMMING
    picture.thumbnail(most, resampling, reducing_gap=gap)
    return eight_bits(picture)


def _averaged(picture: Image.Image, factor: int) -> Image.Image:
    """The transparent `picture`, each square of `factor` pixels made one; Pillow at once would copy it whole, twice."""
    width, height = picture.size
    small = Image.new(picture.mode, (-(-width // factor), -(-height // factor)))
    for row in range(0, small.height, STRIP_ROWS):
        strip = (0, row * factor, width, min((row + STRIP_ROWS) * factor, height))
        small.paste(picture.crop(strip).reduce(factor), (0, row))
    return small
