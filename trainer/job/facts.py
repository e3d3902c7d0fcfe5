"""What is known of each family and adapter without loading anything: one row each."""

import dataclasses
import types
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class FamilyFacts:
    """A kind of base model.

    `capabilities` is what settings ask for with `needs=` ("zero_padding": captions are padded with token 0, not with
    the end token); `versions` and `architectures` (by what the model predicts) are what metadata call the family;
    `blocks` is how many blocks Kohya's scripts count in the UNet.
    """

    name: str
    label: str
    native_px: int
    capabilities: frozenset[str]
    versions: Mapping[str, str]
    architectures: Mapping[str, str]
    blocks: int = 25


@dataclasses.dataclass(frozen=True)
class AdapterFacts:
    """A kind of adapter; `module` is the file in trainer/adapters that builds it.

    `capabilities` is what settings ask for with `needs=`; "lycoris": files are of a kind that LyCORIS brought up.
    """

    name: str
    label: str
    module: str
    capabilities: frozenset[str]


_DIFFUSION = frozenset({"text_encoder", "noise_offset", "min_snr", "negative_prompt", "prediction", "vae"})

FAMILIES: Mapping[str, FamilyFacts] = types.MappingProxyType(
    {
        row.name: row
        for row in (
            FamilyFacts(
                "sd15",
                "Stable Diffusion 1.x",
                512,
                _DIFFUSION | {"clip_skip"},
                {"epsilon": "sd_v1", "v": "sd_v1_v"},
                {"epsilon": "stable-diffusion-v1", "v": "stable-diffusion-v1"},
            ),
            FamilyFacts(
                "sd2",
                "Stable Diffusion 2.x",
                768,
                _DIFFUSION | {"zero_padding"},
                {"epsilon": "sd_v2", "v": "sd_v2_v"},
                {"epsilon": "stable-diffusion-v2-512", "v": "stable-diffusion-v2-768-v"},
            ),
            FamilyFacts(
                "sdxl",
                "Stable Diffusion XL",
                1024,
                _DIFFUSION | {"text_encoder_2"},
                {"epsilon": "sdxl_base_v1-0", "v": "sdxl_base_v1-0"},
                {"epsilon": "stable-diffusion-xl-v1-base", "v": "stable-diffusion-xl-v1-base"},
                blocks=23,
            ),
        )
    }
)

ADAPTERS: Mapping[str, AdapterFacts] = types.MappingProxyType(
    {
        row.name: row
        for row in (
            AdapterFacts("lora", "LoRA", "lora", frozenset()),
            AdapterFacts("locon", "LoCon (LoRA + convolutions)", "lora", frozenset({"conv_rank"})),
            AdapterFacts("loha", "LoHa", "loha", frozenset({"conv_rank", "lycoris"})),
            AdapterFacts("lokr", "LoKr", "lokr", frozenset({"conv_rank", "lycoris", "factor"})),
        )
    }
)


def capabilities(family: str, adapter: str) -> frozenset[str]:
    """Everything that this pair can do: what a setting's `needs` is looked up in."""
    return FAMILIES[family].capabilities | ADAPTERS[adapter].capabilities
