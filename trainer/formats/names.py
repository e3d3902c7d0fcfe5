"""The names of a layer: canonical (`unet.mid_block.attentions.0.proj_in`) and as the files of others call it.

A canonical name is a component (unet, text_encoder, text_encoder_2) and the module's path in diffusers or
transformers, where text encoder paths always begin with `text_model`. Kohya's keys have underscores for dots; which of
them were dots is told by the vocabulary of module names, which holds for every size of these models. The published
UNets (`input_blocks.4.1`) have three input blocks a level: two with a residual block and one that halves the size.
"""

import re
import types
from collections.abc import Mapping

from trainer.formats.layouts import TEXT, TEXT_2, UNET, Layout

# fmt: off
_WORDS = (
    # diffusers' UNet
    "down_blocks", "up_blocks", "mid_block", "transformer_blocks", "attentions", "resnets",
    "downsamplers", "upsamplers", "proj_in", "proj_out", "attn1", "attn2", "to_q", "to_k", "to_v",
    "to_out", "ff", "net", "proj", "norm", "norm1", "norm2", "norm3", "conv", "conv1", "conv2",
    "conv_shortcut", "conv_in", "conv_out", "conv_norm_out", "time_emb_proj", "time_embedding",
    "add_embedding", "linear_1", "linear_2",
    # the published UNet
    "input_blocks", "middle_block", "output_blocks", "in_layers", "emb_layers", "out_layers",
    "skip_connection", "op", "time_embed", "label_emb", "out",
    # CLIP
    "text_model", "text_projection", "embeddings", "encoder", "layers", "self_attn", "q_proj",
    "k_proj", "v_proj", "out_proj", "mlp", "fc1", "fc2", "layer_norm1", "layer_norm2",
    "final_layer_norm", "token_embedding", "position_embedding",
)
# fmt: on
_WORD = "|".join([*sorted(_WORDS, key=len, reverse=True), r"\d+"])
_PATH = re.compile(rf"(?:{_WORD})(?:_(?:{_WORD}))*")
_PART = re.compile(rf"({_WORD})(?:_|$)")

_PREFIXES: Mapping[str, str] = types.MappingProxyType(
    {"lora_unet_": UNET, "lycoris_": UNET, "lora_te1_": TEXT, "lora_te2_": TEXT_2, "lora_te_": TEXT}
)
_COMPONENTS = (f"{TEXT_2}.", f"{TEXT}.", f"{UNET}.")
_UNET_STARTS = ("down_blocks.", "mid_block.", "up_blocks.", "time_embedding.", "add_embedding.", "conv_in", "conv_out")
_TEXT_STARTS = ("text_model.", "encoder.layers.", "embeddings.")

_LDM_FIXED = (
    ("input_blocks.0.0", "conv_in"),
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
    ("middle_block.0", "mid_block.resnets.0"),
    ("middle_block.1", "mid_block.attentions.0"),
    ("middle_block.2", "mid_block.resnets.1"),
)
_LDM_RESNET = (
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
)


def from_kohya(name: str) -> str | None:
    """The canonical name of `lora_unet_…`, `lora_te_…`; None when its words are not those of a known model."""
    for prefix, component in _PREFIXES.items():
        if name.startswith(prefix):
            path = dotted(name.removeprefix(prefix))
            return _canonical(component, path) if path else None
    return None


def from_dotted(name: str) -> str | None:
    """The canonical name of a path as PEFT and diffusers write it, with or without its component; None if unknown."""
    name = name.removeprefix("base_model.model.")
    if ".processor." in name:
        # diffusers before 0.22: attn1.processor.to_out, where to_out.0 is meant.
        name = re.sub(r"\.to_out$", ".to_out.0", name.replace(".processor.", "."))
    for component in _COMPONENTS:
        if name.startswith(component):
            return _known(component[:-1], name.removeprefix(component))
    if name.startswith("diffusion_model."):
        return _known(UNET, name.removeprefix("diffusion_model."))
    if name.startswith(_UNET_STARTS):
        return _known(UNET, name)
    return _known(TEXT, name) if name.startswith(_TEXT_STARTS) else None


def _known(component: str, path: str) -> str | None:
    return _canonical(component, path) if dotted(path.replace(".", "_")) == path else None


def _canonical(component: str, path: str) -> str:
    if component == UNET:
        return f"{component}.{from_ldm(path)}"
    return (
        f"{component}.{path}"
        if path.startswith(("text_model.", "text_projection"))
        else f"{component}.text_model.{path}"
    )


def dotted(name: str) -> str | None:
    """`mid_block_attentions_0_proj_in` → `mid_block.attentions.0.proj_in`; None for words outside the vocabulary."""
    return ".".join(_PART.findall(name)) if _PATH.fullmatch(name) else None


def from_ldm(path: str) -> str:
    """diffusers' path of a path in the published UNet; other paths as they are."""
    for theirs, ours in _LDM_FIXED:
        if path == theirs or path.startswith(theirs + "."):
            return _resnet(ours + path.removeprefix(theirs))
    found = re.fullmatch(r"(input|output)_blocks\.(\d+)\.(\d)\.?(.*)", path)
    if not found:
        return path
    number, kind, rest = int(found[2]), int(found[3]), found[4]
    if found[1] == "input":
        level, place = divmod(number - 1, 3)
        if place == 2:
            return f"down_blocks.{level}.downsamplers.0.conv"
        side = "down_blocks"
    else:
        level, place = divmod(number, 3)
        if rest == "conv":
            return f"up_blocks.{level}.upsamplers.0.conv"
        side = "up_blocks"
    return _resnet(f"{side}.{level}.{'attentions' if kind else 'resnets'}.{place}.{rest}")


def _resnet(path: str) -> str:
    for theirs, ours in _LDM_RESNET:
        path = path.replace(f".{theirs}", f".{ours}")
    return path


def to_ldm(path: str, up_attention: bool) -> str:
    """The published UNet's path of diffusers' path.

    `up_attention`: whether the up block has attentions, which decides the place of its upsampler.
    """
    for theirs, ours in _LDM_FIXED:
        if path == ours or path.startswith(ours + "."):
            return _ldm_resnet(theirs + path.removeprefix(ours), ".resnets." in path)
    found = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d)\.(.*)", path)
    if not found:
        return path
    side, level, kind, number, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
    if kind == "downsamplers":
        return f"input_blocks.{3 * level + 3}.0.op"
    if kind == "upsamplers":
        return f"output_blocks.{3 * level + 2}.{1 + up_attention}.conv"
    place = f"input_blocks.{3 * level + number + 1}" if side == "down" else f"output_blocks.{3 * level + number}"
    return _ldm_resnet(f"{place}.{int(kind == 'attentions')}.{rest}", kind == "resnets")


def _ldm_resnet(path: str, is_resnet: bool) -> str:
    if is_resnet:
        for theirs, ours in _LDM_RESNET:
            path = re.sub(rf"\.{ours}$", f".{theirs}", path)
    return path


def to_kohya(layer: str, layout: Layout) -> str:
    """Kohya's name of a canonical name in that family's files; names that are Kohya's own already stay.

    Raises KeyError for a component that the files lack.
    """
    if "." not in layer:
        return layer
    component, _, path = layer.partition(".")
    if component == UNET and layout.ldm_names:
        # Where UNet layers go by these names, the first two of three up blocks have attentions.
        path = to_ldm(path, not path.startswith("up_blocks.2."))
    return f"{layout.prefixes[component]}_{path.replace('.', '_')}"
