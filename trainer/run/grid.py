"""One picture of all samples of a run: a row an epoch, the baseline on top, a column a prompt."""

import contextlib
import os
import pathlib
import textwrap
import typing
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from trainer.dataset.pictures import BrokenPicture, open_picture
from trainer.job.words import say
from trainer.run import events
from trainer.run.folder import RunFolder, write_whole

_CELL_PX, _GAP_PX, _LEFT_PX, _TOP_PX = 192, 6, 64, 58
_LARGEST_ROWS = 100
_LARGEST_COLUMNS = 50
_LARGEST_CELLS = 1000
"""More make a picture that programs do not open, and that takes hundreds of megabytes to draw."""
_FOOT_PX = 28
_MOST = 10**9
_JAPANESE_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "meiryo.ttc",
    "YuGothM.ttc",
    "ヒラギノ角ゴシック W3.ttc",
    "Hiragino Sans GB.ttc",
)
_PAPER, _INK, _FAINT = (250, 249, 246), (40, 44, 52), (120, 124, 132)


def draw_grid(run: RunFolder) -> str:
    """Writes samples/grid.png from the run's sample events; its path in the run folder, "" without samples."""
    samples = [event for event in events.read(run.events)[0] if event["kind"] == "sample" and _is_whole(event)]
    if not samples:
        return ""
    draw_table(run, {(event["epoch"], event["prompt"]): event for event in samples}, run.grid)
    return run.grid.relative_to(run.path).as_posix()


def draw_table(run: RunFolder, cells: Mapping[tuple[float, int], Mapping[str, Any]], path: pathlib.Path) -> None:
    """Writes a picture of `cells` ("text", and "file" in the run folder) by row and column; row 0 is the base model."""
    picture = _drawn(run, cells)
    write_whole(path, lambda stream: picture.save(stream, "PNG"))


def _is_whole(event: Mapping[str, Any]) -> bool:
    """Whether all that is drawn is there: a line may be of a version to come, or of a disk that fails."""
    epoch, prompt, file = (event.get(name) for name in ("epoch", "prompt", "file"))
    counts = type(prompt) is int and type(epoch) in (int, float) and 0 <= typing.cast(float, epoch) < _MOST
    inside = isinstance(file, str) and not os.path.isabs(file) and ".." not in pathlib.PurePath(file).parts
    return counts and inside and isinstance(event.get("text"), str)


def _drawn(run: RunFolder, cells: Mapping[tuple[float, int], Mapping[str, Any]]) -> Image.Image:
    all_epochs, all_prompts = sorted({epoch for epoch, _ in cells}), sorted({prompt for _, prompt in cells})
    prompts = all_prompts[:_LARGEST_COLUMNS]
    epochs = _thinned(all_epochs, min(_LARGEST_ROWS, _LARGEST_CELLS // len(prompts)))
    pitch = _CELL_PX + _GAP_PX
    foot = _foot(len(epochs), len(all_epochs), len(prompts), len(all_prompts))
    width, height = _LEFT_PX + pitch * len(prompts) + _GAP_PX, _TOP_PX + pitch * len(epochs) + _GAP_PX
    sheet = Image.new("RGB", (width, height + (_FOOT_PX if foot else 0)), _PAPER)
    draw, font = ImageDraw.Draw(sheet), _font("".join(str(event["text"]) for event in cells.values()))
    for column, prompt in enumerate(prompts):
        text = next(str(event["text"]) for (_, number), event in cells.items() if number == prompt)
        wide = any(ord(sign) > 0x2E7F for sign in text)
        lines = textwrap.wrap(text, 14 if wide else 27, max_lines=3, placeholder=" …")
        draw.multiline_text((_LEFT_PX + column * pitch, 6), "\n".join(lines), _INK, font)
    for row, epoch in enumerate(epochs):
        draw.text((10, _TOP_PX + row * pitch + _CELL_PX // 2 - 8), str(epoch) if epoch else "base", _FAINT, font)
        for column, prompt in enumerate(prompts):
            if (epoch, prompt) in cells:
                # The place of a sample that its owner has removed stays empty.
                with contextlib.suppress(BrokenPicture):
                    cell = _cell(run.path / str(cells[epoch, prompt]["file"]))
                    sheet.paste(cell, (_LEFT_PX + column * pitch, _TOP_PX + row * pitch))
    draw.text((_LEFT_PX, height), foot, _FAINT, font)
    return sheet


def _foot(rows: int, all_rows: int, columns: int, all_columns: int) -> str:
    """What the picture leaves out, in a sentence; "" where that is nothing."""
    if (rows, columns) == (all_rows, all_columns):
        return ""
    return say("grid_cut", rows=rows, all_rows=all_rows, columns=columns, all_columns=all_columns)


def _cell(path: pathlib.Path) -> Image.Image:
    picture = open_picture(path)
    small = max(picture.size) < _CELL_PX
    scale = _CELL_PX / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BICUBIC if small else Image.Resampling.LANCZOS)


def _font(texts: str) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font, or one of the system's that has Japanese signs where `texts` need them and it has one."""
    if any(ord(sign) > 0x2E7F for sign in texts):
        for name in _JAPANESE_FONTS:
            with contextlib.suppress(OSError):
                return ImageFont.truetype(name, 13)
    return ImageFont.load_default(13)


def _thinned(epochs: list[float], most: int) -> list[float]:
    """At most so many of them, evenly, with the first and the last."""
    step = -(-(len(epochs) - 1) // (most - 1))
    return [*epochs[:1], *epochs[len(epochs) - 1 :: -step][::-1]] if step > 1 else epochs
