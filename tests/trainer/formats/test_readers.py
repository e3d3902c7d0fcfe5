"""Which programs read a file, as it was measured with them."""

import pathlib

import pytest
import torch
from torch import Tensor

from tests.trainer.formats import made
from trainer.formats import kohya, layouts, peft
from trainer.formats.layers import LoraLayer
from trainer.formats.names import to_kohya
from trainer.formats.readers import A1111, COMFY, DIFFUSERS, FORGE, SD_SCRIPTS, readers
from trainer.formats.stranger import open_lora
from trainer.job.words import say

ONES = torch.ones(4, 4)
LOKR = {"lokr_w1": torch.ones(2, 2), "lokr_w2": torch.ones(2, 2)}
TUCKER = {
    "lokr_w1": torch.ones(2, 2),
    "lokr_t2": torch.ones(2, 2, 3, 3),
    "lokr_w2_a": ONES[:2, :2],
    "lokr_w2_b": ONES[:2],
}
MID = {"lora_down": torch.ones(4, 4, 1, 1), "lora_mid": torch.ones(4, 4, 3, 3), "lora_up": torch.ones(4, 4, 1, 1)}
ALL = {COMFY, FORGE, A1111, DIFFUSERS, SD_SCRIPTS}
KINDS: dict[str, tuple[dict[str, Tensor], set[str]]] = {
    "lora": ({"lora_down": ONES, "lora_up": ONES}, ALL),
    "locon": ({"lora_down": torch.ones(4, 4, 3, 3), "lora_up": MID["lora_up"]}, ALL),
    "locon in CP form": (MID, {COMFY, FORGE, A1111}),
    "loha": ({f"hada_w{n}_{s}": ONES for n in (1, 2) for s in "ab"}, {COMFY, FORGE, A1111}),
    "lokr": (LOKR, {COMFY, FORGE, A1111}),
    "lokr in Tucker form": (TUCKER, {A1111}),
    "dora with the norms of rows": ({"lora_down": ONES, "lora_up": ONES, "dora_scale": ONES[:, :1]}, set()),
    "dora with those of columns": ({"lora_down": ONES, "lora_up": ONES, "dora_scale": ONES[:1]}, {COMFY, FORGE}),
}  # fmt: skip


def reading(path: pathlib.Path) -> set[str]:
    found = readers(open_lora(path))
    assert all(say(reader.reason) for reader in found if reader.reason)
    return {reader.program for reader in found if not reader.reason}


@pytest.mark.parametrize(("tensors", "programs"), KINDS.values(), ids=KINDS)
def test_kinds(tmp_path: pathlib.Path, tensors: dict[str, Tensor], programs: set[str]) -> None:
    layer = made.layer(made.CONV, {name: tensor.clone() for name, tensor in tensors.items()}, 1.0)
    kohya.write(tmp_path / "a.safetensors", {made.CONV: layer}, "fp32", {})
    assert reading(tmp_path / "a.safetensors") == programs


def several_alphas() -> dict[str, LoraLayer]:
    names = [made.TO_K.replace("to_k", name) for name in ("to_q", "to_k", "to_v")]
    return {name: made.lora(name, 4, (4,), 2, 1.0 + number // 2) for number, name in enumerate(names)}


def test_several_alphas_in_attention_are_too_much_for_diffusers(tmp_path: pathlib.Path) -> None:
    """Measured: test_peft's file of Kohya's kind draws another picture with several alphas in its attention layers."""
    layers = several_alphas()
    stored = kohya.named({to_kohya(name, layouts.SD15): layer for name, layer in layers.items()}, torch.float32)
    assert reading(made.file(tmp_path / "b.safetensors", stored)) == {COMFY, FORGE, A1111, SD_SCRIPTS}
    conv = {made.CONV: made.lora(made.CONV, 4, (4, 3, 3), 2, 2.0)}
    one = {name: made.lora(name, 4, (4,), 2, 1.0) for name in layers}
    stored = kohya.named({to_kohya(name, layouts.SD15): layer for name, layer in (one | conv).items()}, torch.float32)
    assert DIFFUSERS in reading(made.file(tmp_path / "a.safetensors", stored))


def test_what_we_write_of_several_alphas_is_read_by_all(tmp_path: pathlib.Path) -> None:
    layers = several_alphas() | {made.CONV: made.lora(made.CONV, 4, (4, 3, 3), 2, 2.0)}
    kohya.write(tmp_path / "a.safetensors", layers, "fp32", {})
    assert reading(tmp_path / "a.safetensors") == ALL


def test_names(tmp_path: pathlib.Path) -> None:
    peft.write(tmp_path / "a.safetensors", made.sd15(), torch.float32, {})
    assert reading(tmp_path / "a.safetensors") == {DIFFUSERS}
    flat = kohya.named({"lora_te_encoder_layers_0_mlp_fc1": made.sd15()[made.FC1]}, torch.float32)
    assert reading(made.file(tmp_path / "b.safetensors", flat)) == {DIFFUSERS}


@pytest.mark.parametrize(
    ("component", "norms", "reason"),
    [
        ("text_encoder", ONES[:1], "reader_dora_old"),
        ("text_encoder_2", ONES[:1], "reader_dora_open_clip"),
        ("text_encoder_2", ONES[:, :1], "reader_dora_axis"),
    ],
)
def test_dora_in_the_text_encoders_of_a1111(tmp_path: pathlib.Path, component: str, norms: Tensor, reason: str) -> None:
    """OpenCLIP's attention has one weight for query, key and value, [3840, 1280]; to it A1111 adds a change of
    [1280, 1280] before it takes the norms, fails, and leaves the layer as it was: 128 layers of an SDXL file.
    """
    name = f"{component}.text_model.encoder.layers.0.self_attn.q_proj"
    tensors = made.lora(name, 4, (4,), 2, 1.0).tensors
    dora = made.layer(name, {**tensors, "dora_scale": norms}, 1.0)
    of_sdxl = made.lora(made.TO_K, 8, (2048,), 2, 1.0)
    kohya.write(tmp_path / "a.safetensors", {name: dora, made.TO_K: of_sdxl}, "fp32", {}, layouts.SDXL)
    found = {reader.program: reader for reader in readers(open_lora(tmp_path / "a.safetensors"))}
    assert (found[A1111].reason, found[A1111].verdict) == (reason, "partly")
    assert say(reason)
