"""What is in a LoRA file: of which family and kind it is, how strong where, what its words are, and who reads it."""

import argparse
import base64
import collections
import io
import json
import math
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from trainer.formats.factors import norm
from trainer.formats.readers import readers
from trainer.formats.stranger import LoraFile, open_lora
from trainer.job.words import say
from trainer.tools.common import new_file

_TOP_TAGS = 30
_LARGEST_THUMBNAIL = 20 * 2**20
_THUMBNAILS = ("JPEG", "PNG", "WEBP")
_BAR_CHARACTERS = 30
_NOTES = ("ss_training_comment", "modelspec.description")
_SAID = ("title", "author", "license", "usage_hint")


def run(options: argparse.Namespace) -> int:
    """The verb."""
    picture = new_file(options.picture, ".png") if options.picture else None
    file = open_lora(options.file)
    found = about(file)
    print(json.dumps(found, indent=2, ensure_ascii=False) if options.json else "\n".join(lines(found)))
    if picture:
        draw(found).save(picture)
        if not options.json:
            print(say("inspect_picture", path=picture))
    return 0


def about(file: LoraFile) -> dict[str, Any]:
    """Everything that is shown, as JSON has it; norms are Frobenius norms of what each block adds."""
    alphas = collections.Counter(layer.alpha for layer in file.layers.values())
    ranks = collections.Counter(layer.rank for layer in file.layers.values())
    return {
        "file": str(file.path),
        "format": file.format,
        "family": file.family,
        "family_label": file.layout.label or say("inspect_family_unknown"),
        "kinds": list(file.kinds),
        "kinds_label": ", ".join(say(f"kind_{kind}") for kind in file.kinds),
        "ranks": [{"rank": rank, "layers": count} for rank, count in ranks.most_common()],
        "alphas": [{"alpha": alpha, "layers": count} for alpha, count in alphas.most_common()],
        "precision": str(file.precision).removeprefix("torch."),
        "layers": len(file.layers),
        "parts": dict(collections.Counter(_part(name) for name in file.layers)),
        "unknown_layers": len(file.unknown),
        "norms": norms(file),
        **{name: file.metadata.get(f"modelspec.{name}", "") for name in _SAID},
        "note": next((file.metadata[name] for name in _NOTES if file.metadata.get(name, "None") != "None"), ""),
        "words": file.metadata.get("modelspec.tags", ""),
        "thumbnail": thumbnail(file.metadata),
        "trigger_words": file.metadata.get("modelspec.trigger_phrase", ""),
        "tags": [{"tag": tag, "count": count} for tag, count in top_tags(file.metadata)],
        "readers": [
            {"program": reader.program, "reads": reader.verdict, "reason": reader.reason and say(reader.reason)}
            for reader in readers(file)
        ],
        "metadata": dict(sorted(file.metadata.items())),
    }


def thumbnail(metadata: Mapping[str, str]) -> dict[str, int] | None:
    """The size of the picture that the file carries; None without one that can be opened."""
    data = metadata.get("modelspec.thumbnail", "").partition(";base64,")[2]
    if not data or len(data) > _LARGEST_THUMBNAIL:
        return None
    try:
        content = base64.b64decode(data)
        with Image.open(io.BytesIO(content), formats=_THUMBNAILS) as picture:
            width_px, height_px = picture.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    return {"width_px": width_px, "height_px": height_px, "size_bytes": len(content)}


def norms(file: LoraFile) -> dict[str, float]:
    """By block, in the model's order: the root of the sum of squares over its layers."""
    squares: dict[str, float] = {}
    for name, layer in file.layers.items():
        squares[_block(name)] = squares.get(_block(name), 0.0) + norm(layer) ** 2
    # An alpha may be so large that there is no number for what it makes.
    most = sys.float_info.max
    finite = {block: square if square < math.inf else most for block, square in squares.items()}
    return {block: finite[block] ** 0.5 for block in sorted(finite, key=_order)}


def _part(name: str) -> str:
    """The component; `lora_unet` for names of unknown models in Kohya's manner."""
    return name.partition(".")[0] if "." in name else "_".join(name.split("_")[:2])


def _block(name: str) -> str:
    """`unet.down_blocks.1`, `unet.mid_block`, `text_encoder.layers.7`; the component for layers outside any block."""
    component, path = _part(name), name.partition(".")[2]
    parts = path.removeprefix("text_model.").removeprefix("encoder.").split(".")
    if len(parts) > 1 and parts[1].isdecimal():
        return f"{component}.{parts[0]}.{parts[1]}"
    return f"{component}.{parts[0]}" if parts[0] == "mid_block" else component


def _order(block: str) -> tuple[str, int, str, int]:
    component, _, rest = block.partition(".")
    kind, _, number = rest.partition(".")
    place = ("down_blocks", "mid_block", "up_blocks").index(kind) if kind.endswith(("_block", "_blocks")) else 0
    return component, place, kind, int(number or 0)


def top_tags(metadata: Mapping[str, str]) -> list[tuple[str, int]]:
    """The most frequent tags of all folders in `ss_tag_frequency`; none where that is damaged."""
    try:
        folders = json.loads(metadata.get("ss_tag_frequency", "{}")).values()
        counts: collections.Counter[str] = collections.Counter()
        for folder in folders:
            counts.update({str(tag).strip(): int(count) for tag, count in folder.items()})
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return []
    return counts.most_common(_TOP_TAGS)


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What `about` found, for a person."""
    yield say("inspect_family", family=found["family_label"], format=found["format"], precision=found["precision"])
    ranks = ", ".join(f"{row['rank']} ({row['layers']})" for row in found["ranks"])
    alphas = ", ".join(f"{_alpha(row['alpha'])} ({row['layers']})" for row in found["alphas"])
    yield say("inspect_kind", kinds=found["kinds_label"], ranks=ranks, alphas=alphas)
    parts = ", ".join(f"{part} {count}" for part, count in found["parts"].items())
    yield say("inspect_layers", count=found["layers"], parts=parts)
    if found["unknown_layers"]:
        yield say("inspect_unknown", count=found["unknown_layers"])
    for key in ("title", "author", "license", "trigger_words", "note", "usage_hint", "words"):
        if found[key]:
            yield say(f"inspect_{key}", text=found[key])
    if found["thumbnail"]:
        size_kb = f"{found['thumbnail']['size_bytes'] / 1000:.1f}"
        yield say("inspect_thumbnail", **found["thumbnail"], size_kb=size_kb)
    if found["tags"]:
        yield say("inspect_tags", tags=", ".join(f"{row['tag']} ({row['count']})" for row in found["tags"]))
    yield say("inspect_norms")
    yield from _bars(found["norms"])
    yield say("inspect_readers" if found["readers"] else "inspect_no_readers")
    for row in found["readers"]:
        yield "  " + say(f"inspect_reads_{row['reads']}", **row)


def _alpha(alpha: float | None) -> str:
    return say("inspect_no_alpha") if alpha is None else f"{alpha:g}"


def _bars(values: Mapping[str, float]) -> Iterator[str]:
    width, largest = max(map(len, values)), max(values.values()) or 1.0
    for block, value in values.items():
        yield f"  {block:{width}}  {value:10.4g}  {'█' * round(_BAR_CHARACTERS * value / largest)}"


def draw(found: Mapping[str, Any]) -> Image.Image:
    """The norms as a bar chart, a row a block, components in colours of their own."""
    values: Mapping[str, float] = found["norms"]
    row_px, bars_px, font = 22, 420, ImageFont.load_default(14)
    names_px = 24 + max(int(font.getlength(block)) for block in values)
    title = f"{pathlib.Path(found['file']).name} · {found['family_label']} · {found['kinds_label']}"
    width_px = max(names_px + bars_px + 100, 24 + int(font.getlength(title)))
    picture = Image.new("RGB", (width_px, row_px * (len(values) + 2)), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((12, 10), title, fill="black", font=font)
    largest = max(values.values()) or 1.0
    for row, (block, value) in enumerate(values.items(), 1):
        top = row * row_px + 14
        pen.text((12, top), block, fill="black", font=font)
        length = bars_px * value / largest
        pen.rectangle(
            (names_px, top + 2, names_px + length, top + row_px - 6), fill=_colour(block, tuple(found["parts"]))
        )
        pen.text((names_px + length + 8, top), f"{value:.3g}", fill="#444444", font=font)
    return picture


def _colour(block: str, components: Sequence[str]) -> str:
    colours = ("#e07b39", "#3b7dd8", "#5a9e5a")
    return colours[components.index(block.partition(".")[0]) % len(colours)]
