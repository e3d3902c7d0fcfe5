"""How the files of each family name things: one row a family, and from which signs in a file its family is told."""

import dataclasses
import types
from collections.abc import Mapping

UNET, TEXT, TEXT_2 = "unet", "text_encoder", "text_encoder_2"


@dataclasses.dataclass(frozen=True)
class Layout:
    """The names of one family's files.

    `prefixes` are Kohya's by component, and `ldm_names` says whether its UNet layers go by the published model's names
    (`input_blocks_…`). `checkpoint` are the components' prefixes in a single-file checkpoint; in those of `open_clip`
    query, key and value are one tensor. Metadata of the family begin with `version_begins` and `architecture_begins`.
    `context` is the width of the text states that the UNet's attn2 reads; `implementation` is what modelspec calls the
    program by whose names a LoRA of the family goes.
    """

    family: str
    label: str
    base_model_version: str
    version_begins: str
    architecture: str
    architecture_begins: str
    prefixes: Mapping[str, str]
    ldm_names: bool
    checkpoint: Mapping[str, str]
    open_clip: frozenset[str]
    context: int
    implementation: str


_ONE = types.MappingProxyType({UNET: "lora_unet", TEXT: "lora_te"})
_TWO = types.MappingProxyType({UNET: "lora_unet", TEXT: "lora_te1", TEXT_2: "lora_te2"})
_DIFFUSERS, _STABILITY = "diffusers", "https://github.com/Stability-AI/generative-models"
_UNET_PREFIX = "model.diffusion_model."

SD15 = Layout(
    "sd15",
    "Stable Diffusion 1.x",
    "sd_v1",
    "sd_v1",
    "stable-diffusion-v1",
    "stable-diffusion-v1",
    _ONE,
    False,
    types.MappingProxyType({UNET: _UNET_PREFIX, TEXT: "cond_stage_model.transformer."}),
    frozenset(),
    768,
    _DIFFUSERS,
)
SD2 = Layout(
    "sd2",
    "Stable Diffusion 2.x",
    "sd_v2",
    "sd_v2",
    "stable-diffusion-v2-768-v",
    "stable-diffusion-v2",
    _ONE,
    False,
    types.MappingProxyType({UNET: _UNET_PREFIX, TEXT: "cond_stage_model.model.transformer."}),
    frozenset({TEXT}),
    1024,
    _DIFFUSERS,
)
SDXL = Layout(
    "sdxl",
    "Stable Diffusion XL",
    "sdxl_base_v1-0",
    "sdxl_",
    "stable-diffusion-xl-v1-base",
    "stable-diffusion-xl-v1",
    _TWO,
    True,
    types.MappingProxyType(
        {
            UNET: _UNET_PREFIX,
            TEXT: "conditioner.embedders.0.transformer.",
            TEXT_2: "conditioner.embedders.1.model.transformer.",
        }
    ),
    frozenset({TEXT_2}),
    2048,
    _STABILITY,
)
UNKNOWN = Layout("unknown", "", "", "", "", "", _ONE, False, types.MappingProxyType({}), frozenset(), 0, "")
ALL = (SD15, SD2, SDXL)


def layout(family: str) -> Layout:
    """The row of a family; that of unknown files for any other name."""
    return next((row for row in ALL if row.family == family), UNKNOWN)


def from_metadata(metadata: Mapping[str, str]) -> Layout:
    """The row that the metadata of a LoRA name, by Kohya's keys, else by modelspec."""
    version, architecture = metadata.get("ss_base_model_version", ""), metadata.get("modelspec.architecture", "")
    if version:
        return next((row for row in ALL if version.startswith(row.version_begins)), UNKNOWN)
    return next((row for row in ALL if architecture.startswith(row.architecture_begins)), UNKNOWN)


def from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> Layout:
    """The row that fits the layers of a LoRA, by canonical name with the shapes of what they change.

    The width that attn2 reads decides; failing that a second text encoder, several transformer blocks in one place, or
    an attention in the first down block, which only the smaller families have. A CLIP text encoder of width 768 alone
    tells nothing, since two families have one.
    """
    for name, shape in shapes.items():
        if name.endswith((".attn2.to_k", ".attn2.to_v")):
            return next((row for row in ALL if row.context == shape[1]), UNKNOWN)
    if any(name.startswith(TEXT_2 + ".") or ".transformer_blocks.1." in name for name in shapes):
        return SDXL
    for name, shape in shapes.items():
        if name.startswith("unet.down_blocks.0.attentions.") and name.endswith((".proj_in", ".proj_out")):
            return SD15 if len(shape) > 2 else SD2
        if name.startswith(TEXT + ".") and name.endswith(".q_proj") and shape[1] == SD2.context:
            return SD2
    return UNKNOWN
