"""Reading pictures: their size without decoding them, and their pixels as plain RGB in a bucket's size."""

import contextlib
import functools
import os
import pathlib
import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from trainer.dataset.buckets import CENTRE, Size, place, scaled_size
from trainer.dataset.file_ends import seems_cut_off
from trainer.dataset.looks import Look, is_settled
from trainer.dataset.problems import printable
from trainer.job.files import open_file
from trainer.job.words import say

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".jxl"})
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JXL")
COLOURS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {"white": (255, 255, 255), "grey": (128, 128, 128), "black": (0, 0, 0)}
)
MAX_BYTES = 704 * 2**20
"""What the most pixels take with four channels of 16 bits.

WebP and AVIF are read whole before their pixels can be counted.
"""
_BYTES = re.compile(r"""\s*\((\w+ )?b(['"]).*\2\)""")
"""Pillow repeats what it could not read."""
_ORIENTATION = 0x0112
_REMEMBERED = 16_384
_TURNS: Mapping[int, Image.Transpose] = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)


class BrokenPicture(ValueError):
    """A file that is no readable picture. `path` is the file; the message is a sentence naming it and the reason."""

    def __init__(self, path: pathlib.Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(printable(say("data_broken", path=path, reason=reason)))


def size_px(path: pathlib.Path, look: Look = ()) -> Size:
    """(width, height) as shown, after EXIF orientation, from the header alone; raises BrokenPicture.

    Pixels are decoded only where the end of the file looks cut off, so that a truncated picture is found all the same.
    With the `look` of the file nothing is read again of one that has not changed.
    """
    return _size_as_of(path, look) if is_settled(look) else _size(path)


@functools.lru_cache(maxsize=_REMEMBERED)
def _size_as_of(path: pathlib.Path, look: Look) -> Size:
    return _size(path)


def _size(path: pathlib.Path) -> Size:
    with _opened(path) as (picture, file):
        size = picture.size
        if seems_cut_off(file, picture):
            picture.draft(None, (1, 1))
            picture.load()
        # Of a TIFF, Pillow gives the upright size itself.
        lies = picture.format != "TIFF" and _orientation(picture) >= 5
        return (size[1], size[0]) if lies else size


def open_picture(path: pathlib.Path, background: str = "white") -> Image.Image:
    """The picture as RGB with 8 bits a channel, upright, on `background` where transparent; raises BrokenPicture.

    `background` is one of COLOURS. Of an animated picture, it is the first frame.
    """
    with _opened(path) as (picture, _):
        picture.load()
        return upright(_flattened(eight_bits(picture), COLOURS[background]), picture)


def open_alpha(path: pathlib.Path) -> Image.Image:
    """How opaque the picture is, upright, in grey: white where it is not transparent; raises BrokenPicture."""
    with _opened(path) as (picture, _):
        picture.load()
        opaque = Image.new("L", picture.size, 255)
        return upright(picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else opaque, picture)


def upright(copy: Image.Image, picture: Image.Image) -> Image.Image:
    """`copy` turned as the EXIF of `picture`, which has been decoded, wants it."""
    turn = _TURNS.get(_orientation(picture))
    return copy if turn is None else copy.transpose(turn)


def fit(picture: Image.Image, bucket: Size, crop: float = CENTRE) -> Image.Image:
    """`picture` scaled (Lanczos) so that it just covers `bucket`, and cut to exactly that size.

    `crop` is the share of what is cut off that is cut off on the left or above: 0.5 is the centre.
    """
    width, height = scaled_size(*picture.size, bucket)
    left, top = place(*picture.size, bucket, crop)
    scaled = picture if (width, height) == picture.size else picture.resize((width, height), Image.Resampling.LANCZOS)
    return scaled.crop((left, top, left + bucket[0], top + bucket[1]))


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """The picture, not decoded yet, and its file. Whatever goes wrong in the `with` is raised as BrokenPicture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata: nothing that the owner could act on
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with opened(path) as found:
                yield found
    except BrokenPicture:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenPicture(path, say("data_bomb")) from error
    except UnidentifiedImageError as error:
        raise BrokenPicture(path, say("data_no_picture")) from error
    except Exception as error:  # damaged files make Pillow's readers raise anything from SyntaxError to struct.error
        known = error.strerror if isinstance(error, OSError) and error.strerror else ""
        said = _BYTES.sub("", str(error)) or type(error).__name__
        raise BrokenPicture(path, known or say("data_damaged", reason=said)) from error


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """The picture with only its header read, and its file.

    Raises BrokenPicture for too many bytes or none, DecompressionBombError for too many pixels, else what Pillow does.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise BrokenPicture(path, say("data_zero_bytes"))
        if size > MAX_BYTES:
            raise BrokenPicture(path, say("data_large_file", limit=MAX_BYTES // 2**20))
        with _with_header(file) as picture:
            yield picture, file


def _with_header(file: BinaryIO) -> Image.Image:
    """Only FORMATS are tried: for some others Pillow starts programs."""
    try:
        picture = Image.open(file, formats=_known_formats())
    except Image.DecompressionBombWarning as warning:
        raise Image.DecompressionBombError(say("data_bomb")) from warning
    # Up to twice as many, Pillow only warns, and whether a warning is raised depends on what other threads do.
    if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or 0):
        picture.close()
        raise Image.DecompressionBombError(say("data_bomb"))
    return picture


def _known_formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def readable_extensions() -> frozenset[str]:
    """The endings (lower case, with dot) of the pictures that this installation can read."""
    return EXTENSIONS & frozenset(Image.registered_extensions())


def _orientation(picture: Image.Image) -> int:
    """EXIF's 1 to 8; 1 where there is none or where it cannot be read, as every viewer shows such pictures."""
    try:
        # PngImageFile.getexif would decode all pixels; where it matters, seems_cut_off has had them decoded already.
        value = Image.Image.getexif(picture).get(_ORIENTATION, 1)
    except (AttributeError, KeyError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def eight_bits(picture: Image.Image) -> Image.Image:
    """`picture` unless it has more than 8 bits a channel: Pillow would clip those instead of scaling them."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture, dtype=np.float64)
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    top = float(values.max())
    if picture.mode == "F":
        scale = 255.0 if top <= 1 else 1.0
    else:
        scale = 1 / 257 if top > 255 or picture.mode != "I" else 1.0
    return Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8))


def _flattened(picture: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    above = picture.convert("RGBA")
    below = Image.new("RGBA", above.size, (*colour, 255))
    return Image.alpha_composite(below, above).convert("RGB")
