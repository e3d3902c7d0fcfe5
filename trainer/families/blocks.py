"""Which block of Kohya's a layer of the UNet is in, by its path in diffusers.

The numbers are those of `get_block_index` in sd-scripts (networks/lora.py): the published UNet's input, middle and
output blocks, of which every level has three. Smaller models use the first of each part.
"""

import re

from trainer.job.blocks import Block

_PLACE = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)")
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)")
_DOWN, _MID, _UP = 0, 1, 2
_LEVEL = 3


def sd(path: str) -> Block | None:
    """Stable Diffusion 1.x and 2.x: 0 to 11 are input blocks, 12 the middle, 13 to 24 output blocks."""
    side, place = _found(path)
    if side == _MID:
        return Block(12, _MID)
    return Block(min(place, 11), _DOWN) if side == _DOWN else Block(13 + min(place, 11), _UP)


def sdxl(path: str) -> Block | None:
    """Stable Diffusion XL: 0 embeddings, 1 to 9 input, 10 to 12 middle, 13 to 21 output blocks, 22 the last layers."""
    if path.startswith(("time_embedding.", "add_embedding.")):
        return Block(0, _DOWN)
    if path == "conv_out":
        return Block(22, _UP)
    side, place = _found(path)
    if side == _MID:
        return Block(10 + min(place, 2), _MID)
    return Block(1 + min(place, 8), _DOWN) if side == _DOWN else Block(13 + min(place, 8), _UP)


def _found(path: str) -> tuple[int, int]:
    """The part of the UNet, and the number of the input, middle or output block in it."""
    if middle := _MIDDLE.match(path):
        return _MID, 1 if middle[1] == "attentions" else 2 * int(middle[2])
    if not (found := _PLACE.match(path)):
        return (_UP, 11) if path == "conv_out" else (_DOWN, 0)
    # What changes the size comes last in its level; the first input block is the first convolution.
    last = found[3] in ("downsamplers", "upsamplers")
    place = _LEVEL * int(found[2]) + (_LEVEL - 1 if last else int(found[4]))
    return (_DOWN, place + 1) if found[1] == "down" else (_UP, place)
