"""Writes models as one checkpoint file with the names that Stable Diffusion 1.x and XL were published with."""

import json
import pathlib
import re

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

UNET = (
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^add_embedding\.linear_1\.", "label_emb.0.0."),
    (r"^add_embedding\.linear_2\.", "label_emb.0.2."),
    (r"^conv_norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
    (r"^mid_block\.resnets\.0\.", "middle_block.0."),
    (r"^mid_block\.attentions\.0\.", "middle_block.1."),
    (r"^mid_block\.resnets\.1\.", "middle_block.2."),
)
RESIDUAL = (
    ("norm1.", "in_layers.0."),
    ("conv1.", "in_layers.2."),
    ("norm2.", "out_layers.0."),
    ("conv2.", "out_layers.3."),
    ("time_emb_proj.", "emb_layers.1."),
    ("conv_shortcut.", "skip_connection."),
)
OPEN_CLIP = (
    ("text_model.encoder.layers.", "transformer.resblocks."),
    ("text_model.embeddings.token_embedding.", "token_embedding."),
    ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("text_model.final_layer_norm.", "ln_final."),
    (".layer_norm1.", ".ln_1."),
    (".layer_norm2.", ".ln_2."),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
    (".self_attn.", ".attn."),
)
VAE = (
    (r"\.down_blocks\.(\d)\.resnets\.(\d)\.", r".down.\1.block.\2."),
    (r"\.down_blocks\.(\d)\.downsamplers\.0\.", r".down.\1.downsample."),
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.", ".mid.attn_1."),
    (r"\.conv_norm_out\.", ".norm_out."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    (r"\.group_norm\.", ".norm."),
    (r"\.to_(q|k|v)\.", r".\1."),
    (r"\.to_out\.0\.", ".proj_out."),
)


def unet_name(name: str, attended: bool = False) -> str:
    """The published name of one tensor of the denoiser; `attended`: its first up block has attentions."""
    for pattern, replacement in UNET:
        name = re.sub(pattern, replacement, name)
    if found := re.match(r"(down|up)_blocks\.(\d)\.(resnets|attentions|downsamplers|upsamplers)\.(\d)\.(.*)", name):
        side, block, kind, number, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
        if kind == "downsamplers":
            return f"input_blocks.{3 * block + 3}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            return f"output_blocks.{3 * block + 2}.{2 if block or attended else 1}.{rest}"
        place = f"input_blocks.{3 * block + number + 1}" if side == "down" else f"output_blocks.{3 * block + number}"
        name = f"{place}.{int(kind == 'attentions')}.{rest}"
    if ".transformer_blocks." not in name and ".proj_" not in name:
        for ours, theirs in RESIDUAL:
            name = name.replace(ours, theirs)
    return name


def vae_name(name: str) -> str:
    """The published name of one tensor of the autoencoder."""
    for pattern, replacement in VAE:
        name = re.sub(pattern, replacement, name)
    name = re.sub(
        r"decoder\.up_blocks\.(\d)\.resnets\.(\d)\.", lambda m: f"decoder.up.{3 - int(m[1])}.block.{m[2]}.", name
    )
    return re.sub(r"decoder\.up_blocks\.(\d)\.upsamplers\.0\.", lambda m: f"decoder.up.{3 - int(m[1])}.upsample.", name)


def write(path: pathlib.Path, unet: nn.Module, vae: nn.Module, *texts: nn.Module) -> pathlib.Path:
    """Writes the file, with one text encoder or with both of SDXL, and returns its path."""
    tensors = {
        f"model.diffusion_model.{unet_name(name, len(texts) > 1)}": tensor for name, tensor in unet.state_dict().items()
    }
    for name, tensor in vae.state_dict().items():
        as_convolution = ".attentions." in name and ".to_" in name and name.endswith("weight")
        tensors[f"first_stage_model.{vae_name(name)}"] = tensor[..., None, None] if as_convolution else tensor
    first = "conditioner.embedders.0" if len(texts) > 1 else "cond_stage_model"
    for name, tensor in texts[0].state_dict().items():
        tensors[f"{first}.transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    for second in texts[1:]:
        found = open_clip(second)
        tensors.update({f"conditioner.embedders.1.model.{name}": tensor for name, tensor in found.items()})
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def open_clip(text: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a text encoder by their published names: query, key and value are one."""
    tensors = dict(text.state_dict())
    found = {"text_projection": tensors.pop("text_projection.weight").T}
    for kind in ("weight", "bias"):
        for name in [name for name in tensors if name.endswith(f".q_proj.{kind}")]:
            parts = [tensors.pop(name.replace(".q_proj.", f".{part}_proj.")) for part in "qkv"]
            tensors[name.replace(f".q_proj.{kind}", f".in_proj_{kind}")] = torch.cat(parts)
    for name, tensor in tensors.items():
        for ours, theirs in OPEN_CLIP:
            name = name.replace(ours, theirs)
        found[name] = tensor
    return found


def random_models(configs: pathlib.Path) -> tuple[nn.Module, ...]:
    """Denoiser, autoencoder and text encoders with random weights, by the configs in a folder."""

    def config(part: str) -> dict[str, object]:
        return json.loads((configs / part / "config.json").read_text(encoding="utf-8"))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DConditionModel.from_config(config("unet"))
        vae = AutoencoderKL.from_config(config("vae"))
        text = CLIPTextModel(CLIPTextConfig(**config("text_encoder")))
        if not (configs / "text_encoder_2").is_dir():
            return unet, vae, text
        return unet, vae, text, CLIPTextModelWithProjection(CLIPTextConfig(**config("text_encoder_2")))


def small_models() -> tuple[nn.Module, nn.Module, nn.Module]:
    """The same with the number of layers that the published names count with, and very few channels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            block_out_channels=(8, 8, 16, 16),
            layers_per_block=2,
            cross_attention_dim=16,
            attention_head_dim=2,
            norm_num_groups=4,
            sample_size=16,
        )
        vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, sample_size=16)
        config = CLIPTextConfig(
            vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
        )
        return unet, vae, CLIPTextModel(config)
