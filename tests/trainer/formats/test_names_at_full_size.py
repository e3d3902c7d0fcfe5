"""At full size every adapter's file has exactly the keys and shapes that follow from the published models' numbers."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.trainer.formats import golden
from tests.trainer.formats.golden import MODELS, Row
from trainer.adapters.base import adapter
from trainer.adapters.places import places
from trainer.families.base import Component
from trainer.families.clip_text import text_component, text_model
from trainer.families.latent_diffusion import unet_component
from trainer.families.sources import CONFIGS
from trainer.formats.layers import ENDINGS
from trainer.formats.layouts import layout
from trainer.formats.names import from_kohya, to_kohya
from trainer.job.settings import Adapter

RANK, CONV_RANK = 4, 3
COUNTS = {"sd15": (192, 278, 72), "sd2": (192, 278, 138), "sdxl": (722, 788, 72 + 192)}
Shapes = Mapping[str, tuple[int, ...]]


def components(family: str) -> tuple[Component, ...]:
    """The family's real models without numbers."""

    def config(part: str) -> dict[str, Any]:
        return json.loads((CONFIGS / family / part / "config.json").read_text(encoding="utf-8"))

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config("unet"))
        texts = [CLIPTextModel(CLIPTextConfig(**config("text_encoder")))]
        if len(MODELS[family].texts) > 1:
            texts.append(CLIPTextModelWithProjection(CLIPTextConfig(**config("text_encoder_2"))))
    parts = [
        text_component(f"text_encoder{'_2' * number}.text_model", text_model(text), 1e-4)
        for number, text in enumerate(texts)
    ]
    return (unet_component(unet.requires_grad_(False), 1e-4), *parts)


@pytest.fixture(scope="module", params=MODELS)
def untouched(request: pytest.FixtureRequest) -> tuple[str, tuple[Component, ...]]:
    """A family and its models, for tests that put nothing into them."""
    return request.param, components(request.param)


def lora(row: Row) -> Iterator[tuple[str, tuple[int, ...]]]:
    rank, kernel = sizes(row)
    yield "lora_down.weight", (rank, row.inputs, *kernel)
    yield "lora_up.weight", (row.outputs, rank, *[1 for _ in kernel])


def loha(row: Row) -> Iterator[tuple[str, tuple[int, ...]]]:
    rank, kernel = sizes(row)
    for side in ("hada_w1", "hada_w2"):
        yield f"{side}_a", (row.outputs, rank)
        yield f"{side}_b", (rank, row.inputs * torch.Size(kernel).numel())


# The most even two numbers whose product is a width of these models.
EVEN = {
    320: (16, 20),
    640: (20, 32),
    768: (24, 32),
    960: (30, 32),
    1024: (32, 32),
    1280: (32, 40),
    1920: (40, 48),
    2048: (32, 64),
    2560: (40, 64),
    3072: (48, 64),
    4096: (64, 64),
    5120: (64, 80),
    10240: (80, 128),
}


def lokr(row: Row) -> Iterator[tuple[str, tuple[int, ...]]]:
    rank, kernel = sizes(row)
    (a, b), (c, d) = EVEN[row.outputs], EVEN[row.inputs]
    yield "lokr_w1", (a, c)
    yield "lokr_w2_a", (b, rank)
    yield "lokr_w2_b", (rank, d * torch.Size(kernel).numel())


def sizes(row: Row) -> tuple[int, tuple[int, ...]]:
    """Rank and kernel."""
    return CONV_RANK if row.kernel > 1 else RANK, (row.kernel, row.kernel) if row.kernel else ()


KINDS = {"lora": lora, "locon": lora, "loha": loha, "lokr": lokr}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", MODELS)
def test_the_keys_and_shapes_at_full_size(family: str, kind: str) -> None:
    rows = [*golden.unet(MODELS[family]), *golden.texts(MODELS[family])]
    expected = {
        f"{row.name}.{ending}": shape
        for row in rows
        if kind != "lora" or row.part != "convolutions"
        for ending, shape in [*KINDS[kind](row), ("alpha", ())]
    }
    settings = Adapter(type=kind, rank=RANK, alpha=2, conv_rank=CONV_RANK, conv_alpha=1)
    injected = adapter(kind).inject(components(family), settings, 1)
    found: dict[str, tuple[int, ...]] = {}
    for name, layer in injected.layers.items():
        key = to_kohya(name, layout(family))
        found[f"{key}.alpha"] = ()
        found.update({f"{key}.{ENDINGS[part]}": tuple(tensor.shape) for part, tensor in layer.tensors.items()})
    assert found == expected


@pytest.mark.parametrize("family", MODELS)
def test_the_numbers_of_layers_are_those_counted_in_kohyas_files(family: str) -> None:
    rows = list(golden.unet(MODELS[family]))
    linear = [row for row in rows if row.part != "convolutions"]
    texts = list(golden.texts(MODELS[family]))
    assert (len(linear), len(rows), len(texts)) == COUNTS[family]
    assert len({row.name for row in rows + texts}) == len(rows + texts)


@pytest.mark.parametrize("chosen", ["attention", "attention_mlp", "linear", "convolutions"])
def test_the_choice_of_layers_at_full_size(untouched: tuple[str, tuple[Component, ...]], chosen: str) -> None:
    family, parts = untouched
    order = ("attention", "attention_mlp", "linear", "convolutions")
    wanted = order[: order.index(chosen) + 1]
    rows = [*golden.unet(MODELS[family]), *golden.texts(MODELS[family])]
    settings = Adapter(type="locon", targets=chosen)
    found = [
        to_kohya(f"{part.name}.{place.path}", layout(family)) for part in parts for place in places(part, settings)
    ]
    assert sorted(found) == sorted(row.name for row in rows if row.part in wanted)


def test_a_stranger_finds_from_the_key_the_layer_it_was_written_for(
    untouched: tuple[str, tuple[Component, ...]],
) -> None:
    family, parts = untouched
    for part in parts:
        for place in places(part, Adapter(type="locon")):
            name = f"{part.name}.{place.path}"
            assert from_kohya(to_kohya(name, layout(family))) == name
