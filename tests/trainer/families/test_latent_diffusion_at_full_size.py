"""The trainer's own sampler against diffusers' on files with every layer of real models, whose weights are random."""

import json
import pathlib
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.trainer import tiny
from trainer.adapters.base import adapter
from trainer.adapters.places import places
from trainer.engine import device
from trainer.families import sources, tokenizers
from trainer.families.base import SampleRequest, family
from trainer.families.latent_diffusion import Loaded
from trainer.formats import kohya, layouts
from trainer.formats.layers import LoraLayer
from trainer.formats.stranger import open_lora

TEXTS = {
    "sd15": {"text_encoder": CLIPTextModel},
    "sdxl": {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection},
}
REQUEST = SampleRequest("a red thing", "blue", 64, 64, 42, 4.0, 2, "dpmpp_2m")
CHANGES: dict[str, dict[str, object]] = {
    "lora": {"rank": 4, "alpha": 2},
    "locon": {"type": "locon", "rank": 4, "alpha": 2, "conv_rank": 3, "conv_alpha": 1},
}
LAYERS = {
    ("sd15", "lora"): 192 + 72,
    ("sd15", "locon"): 278 + 72,
    ("sdxl", "lora"): 722 + 264,
    ("sdxl", "locon"): 788 + 264,
}


def of_full_size(name: str) -> Loaded:
    """The models of a family with random weights in float32."""
    folder = sources.CONFIGS / name

    def config(part: str) -> dict[str, Any]:
        return json.loads((folder / part / "config.json").read_text(encoding="utf-8"))

    torch.manual_seed(0)
    return Loaded(
        UNet2DConditionModel.from_config(config("unet")),
        AutoencoderKL.from_config(config("vae")),
        tuple(kind(CLIPTextConfig(**config(part))) for part, kind in TEXTS[name].items()),
        tuple(tokenizers.clip("", "!" if part.endswith("2") else "<|endoftext|>") for part in TEXTS[name]),
        json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
        | {"clip_sample": False},
        json.loads((folder / "model_index.json").read_text(encoding="utf-8")),
    )


def drawn_by_diffusers(name: str, loaded: Loaded, file: pathlib.Path | None) -> np.ndarray:
    """What a pipeline of these very modules draws; they are as before afterwards."""
    schedule = DPMSolverMultistepScheduler.from_config(loaded.schedule)
    (first, *second), (tokenizer, *other) = loaded.text_encoders, loaded.tokenizers
    common = {
        "vae": loaded.vae,
        "text_encoder": first,
        "tokenizer": tokenizer,
        "unet": loaded.unet,
        "scheduler": schedule,
    }
    if name == "sdxl":
        pipe = StableDiffusionXLPipeline(
            **common, text_encoder_2=second[0], tokenizer_2=other[0], add_watermarker=False
        )
    else:
        pipe = StableDiffusionPipeline(
            **common, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    pipe.set_progress_bar_config(disable=True)
    if file:
        pipe.load_lora_weights(file)
    picture = pipe(
        REQUEST.text,
        negative_prompt=REQUEST.negative,
        width=REQUEST.width_px,
        height=REQUEST.height_px,
        num_inference_steps=REQUEST.steps,
        guidance_scale=REQUEST.guidance,
        generator=torch.Generator().manual_seed(REQUEST.seed),
    ).images[0]
    if file:
        pipe.unload_lora_weights()
    return np.asarray(picture, dtype=int)


@pytest.mark.full_size
@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("name", TEXTS)
def test_diffusers_draws_the_same_picture_from_a_file_of_full_size(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    loaded = of_full_size(name)
    monkeypatch.setattr(sources, "load", lambda *given: loaded)
    job = tiny.job(tmp_path, tmp_path, {"model": {"family": name, "base": str(tmp_path)}, "adapter": CHANGES[kind]})
    parts = family(name).load(job, device.pick(job.training))

    layers: dict[str, LoraLayer] = {}
    for target in parts.components:
        for place in places(target, job.adapter):
            weight: Any = place.module.weight
            down = torch.randn(place.rank, *weight.shape[1:]) * weight[0].numel() ** -0.5
            up = torch.randn(weight.shape[0], place.rank, *[1] * (weight.dim() - 2)) * 0.02
            tensors = {"lora_down": down, "lora_up": up}
            layers[f"{target.name}.{place.path}"] = LoraLayer(place.path, tensors, place.alpha)
    assert len(layers) == LAYERS[name, kind]
    file = tmp_path / "a.safetensors"
    kohya.write(file, layers, "fp32", {}, layouts.layout(name))
    assert open_lora(file).family == name
    before, theirs = drawn_by_diffusers(name, loaded, None), drawn_by_diffusers(name, loaded, file)

    injected = adapter(job.adapter.type).inject(parts.components, job.adapter, 0)
    with torch.no_grad():
        for path, layer in injected.layers.items():
            for part, tensor in layer.tensors.items():
                tensor.copy_(layers[path].tensors[part])
    ours = np.asarray(family(name).sample(parts, [REQUEST])[0], dtype=int)
    print(f"{name} {kind}: {np.abs(ours - theirs).max()} of 255; the LoRA changes {np.abs(theirs - before).max()}")
    assert np.abs(ours - theirs).max() <= 1
    assert np.abs(theirs - before).max() > 8
