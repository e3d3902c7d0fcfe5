"""Whether a picture file looks cut off, from a few bytes of it: decoding thousands to know would take minutes.

A check may say yes of a whole file (the caller then decodes it to be sure) but should say no only of a whole one.
"""

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import BinaryIO

from PIL import Image, TiffImagePlugin

_TAIL_BYTES = 65_536
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_LATE_EXIF = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type exif")


def seems_cut_off(file: BinaryIO, picture: Image.Image) -> bool:
    """Whether the pixels of `picture`, opened from `file`, should be decoded to know it whole, and its EXIF complete.

    The place in `file` stays, for the picture is read on from there.
    """
    check = _CHECKS.get(picture.format or "")
    if check is None:
        return True
    place = file.tell()
    try:
        return check(file, os.fstat(file.fileno()).st_size, picture)
    finally:
        file.seek(place)


def _png(file: BinaryIO, size: int, picture: Image.Image) -> bool:
    tail = _tail(file, size)
    # EXIF may stand behind the pixels, where Pillow meets it only after decoding them.
    return not tail.endswith(_PNG_END) or ("exif" not in picture.info and any(mark in tail for mark in _PNG_LATE_EXIF))


def _jpeg(file: BinaryIO, size: int, picture: Image.Image) -> bool:
    return not _tail(file, size, 1024).rstrip(b"\0\n\r").endswith(b"\xff\xd9")


def _gif(file: BinaryIO, size: int, picture: Image.Image) -> bool:
    return not _tail(file, size, 1024).rstrip(b"\0").endswith(b";")


def _webp(file: BinaryIO, size: int, picture: Image.Image) -> bool:
    return int.from_bytes(_head(file, 8)[4:], "little") + 8 > size


def _bmp(file: BinaryIO, size: int, picture: Image.Image) -> bool:
    return int.from_bytes(_head(file, 6)[2:], "little") != size


def _tiff(file: BinaryIO, size: int, picture: Image.Image) -> bool:
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        return True
    tags = picture.tag_v2
    starts = tags.get(TiffImagePlugin.STRIPOFFSETS) or tags.get(TiffImagePlugin.TILEOFFSETS)
    lengths = tags.get(TiffImagePlugin.STRIPBYTECOUNTS) or tags.get(TiffImagePlugin.TILEBYTECOUNTS)
    if not starts or not lengths:
        return True
    return any(start + length > size for start, length in zip(starts, lengths, strict=True))


def _avif(file: BinaryIO, size: int, picture: Image.Image) -> bool:
    """Whether the boxes (ISO/IEC 14496-12, 4.2) reach beyond the end of the file."""
    at = 0
    while at < size:
        file.seek(at)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 0:
            return False
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:
            return True
        at += length
    return at > size


def _head(file: BinaryIO, count: int) -> bytes:
    file.seek(0)
    return file.read(count)


def _tail(file: BinaryIO, size: int, count: int = _TAIL_BYTES) -> bytes:
    file.seek(max(0, size - count))
    return file.read()


_CHECKS: Mapping[str, Callable[[BinaryIO, int, Image.Image], bool]] = MappingProxyType(
    {"PNG": _png, "JPEG": _jpeg, "MPO": _jpeg, "GIF": _gif, "WEBP": _webp, "BMP": _bmp, "TIFF": _tiff, "AVIF": _avif}
)
