"""Small pictures of pictures: made on request, and only of those that this process has shown."""

import functools
import hashlib
import hmac
import io
import os
import pathlib
import secrets

import fastapi
from PIL import ImageOps

from trainer.dataset.pictures import opened

router = fastapi.APIRouter()

SIZES_PX = (256, 1280)
"""In the grid of a data set, and enlarged."""
_SECRET = secrets.token_bytes(32)


def ticket(path: pathlib.Path, changed_ns: int, ending: str = "") -> dict[str, str]:
    """What a page needs to ask for this picture: `at`, which changes when the file does, and `key`, the proof."""
    return {"at": f"{changed_ns:x}", "key": key_of(str(path), ending)}


def key_of(path: str, ending: str = "") -> str:
    """A short proof that this process has shown the picture at `path`, whose caption's file ends in `ending`.

    It proves nothing any more once a link leads elsewhere from there. Raises OSError and ValueError.
    """
    return _signed(f"{path}\0{os.path.realpath(path)}\0{ending}")


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
    with opened(path) as (found, _):
        found.draft("RGB", (side_px, side_px))
        picture = ImageOps.exif_transpose(found)
        # Whole pixels are averaged first, as far as that goes: of many pictures at once, each is there sooner.
        picture.thumbnail((side_px, side_px), reducing_gap=1.0)
        has_alpha = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
        stream = io.BytesIO()
        kind = "WEBP" if has_alpha else "JPEG"
        picture.convert("RGBA" if has_alpha else "RGB").save(stream, kind, quality=85)
        return stream.getvalue(), kind
