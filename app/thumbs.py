"""Small pictures of pictures: made on request, and only of those whose address this process has signed."""

import hashlib
import hmac
import io
import pathlib
import secrets
import urllib.parse
from typing import Annotated

import fastapi
from PIL import Image, ImageOps

router = fastapi.APIRouter()

THUMB_PX = 256
LARGE_PX = 1280
_SECRET = secrets.token_bytes(32)


def thumb_url(path: pathlib.Path, side_px: int = THUMB_PX) -> str:
    """An address that gives `path`, scaled down to fit a square of `side_px`; it changes when the file does."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        changed = 0
    given = {"path": str(path), "px": str(side_px), "at": str(changed)}
    return "thumb?" + urllib.parse.urlencode({**given, "key": sign(f"{side_px}:{path}")})


def sign(text: str) -> str:
    """A short proof that this process has said `text`."""
    return hmac.new(_SECRET, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def is_signed(text: str, key: str) -> bool:
    """Whether `key` is the proof for `text`."""
    return hmac.compare_digest(sign(text).encode(), key.encode())


@router.get("/thumb")
def thumb(path: str, px: Annotated[int, fastapi.Query(ge=16, le=4096)], key: str) -> fastapi.Response:
    """The scaled picture as WebP; 403 for an address not signed here, 404 for what is no picture (any more)."""
    if not is_signed(f"{px}:{path}", key):
        return fastapi.Response(status_code=403)
    try:
        content = scaled(pathlib.Path(path), px)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return fastapi.Response(status_code=404)
    return fastapi.Response(content, media_type="image/webp", headers={"Cache-Control": "private, max-age=86400"})


def scaled(path: pathlib.Path, side_px: int) -> bytes:
    """The picture at `path`, upright, at most `side_px` wide and high, as WebP. Raises what Pillow raises."""
    with Image.open(path) as opened:
        opened.draft("RGB", (side_px, side_px))
        picture = ImageOps.exif_transpose(opened)
        picture.thumbnail((side_px, side_px))
        has_alpha = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
        stream = io.BytesIO()
        picture.convert("RGBA" if has_alpha else "RGB").save(stream, "WEBP", quality=82, method=2)
        return stream.getvalue()
