"""A file for diffusers does in diffusers what the layers say, and comes back as it was."""

import pathlib

import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from tests.trainer.formats import made
from trainer.formats import kohya, peft
from trainer.formats.layers import LoraLayer
from trainer.formats.stranger import open_lora


def pipeline(model: pathlib.Path) -> StableDiffusionPipeline:
    pipe = StableDiffusionPipeline.from_pretrained(model, local_files_only=True, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def picture(pipe: StableDiffusionPipeline) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    drawn = pipe("a red thing", num_inference_steps=3, height=32, width=32, generator=generator, output_type="np")
    return torch.from_numpy(drawn.images)


def weights(pipe: StableDiffusionPipeline) -> dict[str, Tensor]:
    """The weights that a LoRA may change, by canonical name."""
    found = {f"unet.{name}": module for name, module in pipe.unet.named_modules()}
    text = {name.removeprefix("text_model."): module for name, module in pipe.text_encoder.named_modules()}
    found |= {f"text_encoder.text_model.{name}": module for name, module in text.items()}
    inside = (".attentions.", ".resnets.", ".self_attn.", ".mlp.")
    return {
        name: module.weight
        for name, module in found.items()
        if any(part in name for part in inside) and isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
    }


def random_layers(pipe: StableDiffusionPipeline) -> dict[str, LoraLayer]:
    """A layer for each, of several ranks and alphas in each component."""
    torch.manual_seed(7)
    layers = {}
    for number, (name, weight) in enumerate(weights(pipe).items()):
        rank = 3 if weight.dim() == 4 else 2 + (number % 7 == 0)
        layer = made.lora(name, weight.shape[0], tuple(weight.shape[1:]), rank, 0.3 + (number % 5 == 0))
        layer.tensors["lora_up"].mul_(0.2)
        layers[name] = layer
    return layers


@pytest.mark.parametrize("kind", ["peft", "kohya"])
def test_diffusers_draws_what_the_changed_weights_draw(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, kind: str
) -> None:
    pipe = pipeline(tiny_model)
    before = picture(pipe)
    layers = random_layers(pipe)
    if kind == "peft":
        peft.write(tmp_path / "a.safetensors", layers, torch.float32, {"ss_output_name": "a"})
    else:  # with one alpha a component: diffusers would give several to the wrong attention layers
        kohya.write(tmp_path / "a.safetensors", layers, "fp32", {"ss_output_name": "a"})
    pipe.load_lora_weights(tmp_path / "a.safetensors")
    loaded = picture(pipe)

    changed = pipeline(tiny_model)
    with torch.no_grad():
        for name, weight in weights(changed).items():
            weight.copy_(layers[name].changed(weight, 1.0))
    assert (picture(changed) - before).abs().max() > 0.01
    assert (picture(changed) - loaded).abs().max() < 1e-4


def test_written_and_read_again_is_the_same(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    layers = random_layers(pipeline(tiny_model))
    size = peft.write(tmp_path / "a.safetensors", layers, torch.float32, {"ss_output_name": "a"})
    file = open_lora(tmp_path / "a.safetensors")
    assert size == file.path.stat().st_size
    assert {name: layer.alpha for name, layer in file.layers.items()} == {n: one.alpha for n, one in layers.items()}
    assert made.largest_error(file.layers, layers) == 0
    assert file.metadata["ss_output_name"] == "a"
