"""Which layers the published models have, as Kohya's files name them: counted out from the models' own numbers.

The numbers are those of v1-inference.yaml, v2-inference.yaml and sd_xl_base.yaml: channels, how many transformer blocks
stand at each level, the width of the text. Nothing here asks the program.
"""

import dataclasses
import types
from collections.abc import Iterator, Mapping


@dataclasses.dataclass(frozen=True)
class Row:
    """One layer. `part` is the narrowest choice of layers that has it; `kernel` is 0 for a linear layer."""

    name: str
    outputs: int
    inputs: int
    kernel: int
    part: str


@dataclasses.dataclass(frozen=True)
class Model:
    """The UNet's levels as (channels, transformer blocks), text encoders as (prefix, width, layers)."""

    levels: tuple[tuple[int, int], ...]
    middle: int
    context: int
    linear_projections: bool
    published_names: bool
    texts: tuple[tuple[str, int, int], ...]


MODELS: Mapping[str, Model] = types.MappingProxyType(
    {
        "sd15": Model(((320, 1), (640, 1), (1280, 1), (1280, 0)), 1, 768, False, False, (("lora_te", 768, 12),)),
        "sd2": Model(((320, 1), (640, 1), (1280, 1), (1280, 0)), 1, 1024, True, False, (("lora_te", 1024, 23),)),
        "sdxl": Model(
            ((320, 0), (640, 2), (1280, 10)), 10, 2048, True, True, (("lora_te1", 768, 12), ("lora_te2", 1280, 32))
        ),
    }
)
_TIME = 1280
_RESNET = types.MappingProxyType(
    {
        False: ("conv1", "time_emb_proj", "conv2", "conv_shortcut"),
        True: ("in_layers_2", "emb_layers_1", "out_layers_3", "skip_connection"),
    }
)


def unet(model: Model) -> Iterator[Row]:
    """Every layer that an adapter may go into, in the order in which a picture passes them."""
    levels, number = len(model.levels), 0
    channels, skips = model.levels[0][0], [model.levels[0][0]]
    for level, (width, depth) in enumerate(model.levels):
        for n in (0, 1):
            number += 1
            yield from _resnet(model, _place(model, f"down_blocks_{level}", "resnets", n, number), channels, width)
            yield from _transformer(model, _place(model, f"down_blocks_{level}", "attentions", n, number), width, depth)
            channels = width
            skips.append(channels)
        if level < levels - 1:
            number += 1
            name = (
                f"input_blocks_{number}_0_op" if model.published_names else f"down_blocks_{level}_downsamplers_0_conv"
            )
            yield Row(f"lora_unet_{name}", channels, channels, 3, "convolutions")
            skips.append(channels)
    middle = ("middle_block_0", "middle_block_1", "middle_block_2")
    if not model.published_names:
        middle = ("mid_block_resnets_0", "mid_block_attentions_0", "mid_block_resnets_1")
    yield from _resnet(model, middle[0], channels, channels)
    yield from _transformer(model, middle[1], channels, model.middle)
    yield from _resnet(model, middle[2], channels, channels)
    yield from _up(model, channels, skips)


def _up(model: Model, channels: int, skips: list[int]) -> Iterator[Row]:
    number = 0
    for block, (width, depth) in enumerate(reversed(model.levels)):
        for n in (0, 1, 2):
            side = f"up_blocks_{block}"
            yield from _resnet(model, _place(model, side, "resnets", n, number), channels + skips.pop(), width)
            yield from _transformer(model, _place(model, side, "attentions", n, number), width, depth)
            channels, number = width, number + 1
        if block < len(model.levels) - 1:
            # The upsampler stands behind what else its place holds: a residual block and perhaps a transformer.
            published = f"output_blocks_{number - 1}_{2 if depth else 1}_conv"
            name = published if model.published_names else f"up_blocks_{block}_upsamplers_0_conv"
            yield Row(f"lora_unet_{name}", channels, channels, 3, "convolutions")


def _place(model: Model, side: str, kind: str, n: int, number: int) -> str:
    if not model.published_names:
        return f"{side}_{kind}_{n}"
    return f"{'input' if side.startswith('down') else 'output'}_blocks_{number}_{0 if kind == 'resnets' else 1}"


def _resnet(model: Model, place: str, inputs: int, outputs: int) -> Iterator[Row]:
    first, time, second, shortcut = (f"lora_unet_{place}_{name}" for name in _RESNET[model.published_names])
    yield Row(first, outputs, inputs, 3, "convolutions")
    yield Row(time, outputs, _TIME, 0, "convolutions")
    yield Row(second, outputs, outputs, 3, "convolutions")
    if inputs != outputs:
        yield Row(shortcut, outputs, inputs, 1, "convolutions")


def _transformer(model: Model, place: str, width: int, depth: int) -> Iterator[Row]:
    if not depth:
        return
    kernel = 0 if model.linear_projections else 1
    yield from (Row(f"lora_unet_{place}_{name}", width, width, kernel, "linear") for name in ("proj_in", "proj_out"))
    for number in range(depth):
        block = f"lora_unet_{place}_transformer_blocks_{number}"
        for attention, read in (("attn1", width), ("attn2", model.context)):
            yield Row(f"{block}_{attention}_to_q", width, width, 0, "attention")
            yield Row(f"{block}_{attention}_to_k", width, read, 0, "attention")
            yield Row(f"{block}_{attention}_to_v", width, read, 0, "attention")
            yield Row(f"{block}_{attention}_to_out_0", width, width, 0, "attention")
        yield Row(f"{block}_ff_net_0_proj", 8 * width, width, 0, "attention_mlp")
        yield Row(f"{block}_ff_net_2", width, 4 * width, 0, "attention_mlp")


def texts(model: Model) -> Iterator[Row]:
    """Six layers in each of the text encoders' layers."""
    for prefix, width, layers in model.texts:
        for number in range(layers):
            layer = f"{prefix}_text_model_encoder_layers_{number}"
            yield from (Row(f"{layer}_self_attn_{name}_proj", width, width, 0, "attention") for name in ("q", "k", "v"))
            yield Row(f"{layer}_self_attn_out_proj", width, width, 0, "attention")
            yield Row(f"{layer}_mlp_fc1", 4 * width, width, 0, "attention_mlp")
            yield Row(f"{layer}_mlp_fc2", width, 4 * width, 0, "attention_mlp")
