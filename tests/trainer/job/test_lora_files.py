"""LoRA files that a job begins with, judged by their headers."""

import pathlib

import pytest
import torch

from tests.trainer.formats import made
from trainer.job.lora_files import faults, problem, weighted


@pytest.mark.parametrize(
    ("text", "path", "weight"),
    [
        ("a.safetensors", "a.safetensors", 1.0),
        ("a.safetensors=0.5", "a.safetensors", 0.5),
        ("a=b.safetensors", "a=b.safetensors", 1.0),
        ("a=b.safetensors=-1", "a=b.safetensors", -1.0),
        ("C:\\x\\a.safetensors=1e-1", "C:\\x\\a.safetensors", 0.1),
        ("=1", "=1", 1.0),
    ],
)
def test_a_file_may_have_a_weight(text: str, path: str, weight: float) -> None:
    assert weighted(text) == (path, weight)


@pytest.mark.parametrize(
    "key",
    [
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight",
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight",
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight",
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.hada_w1_b",
    ],
)
@pytest.mark.parametrize(("width", "family"), [(768, "sd15"), (1024, "sd2"), (2048, "sdxl")])
def test_the_header_tells_the_family(tmp_path: pathlib.Path, key: str, width: int, family: str) -> None:
    file = made.file(tmp_path / "a.safetensors", {key: torch.zeros(4, width)})
    found = {name: problem(str(file), name) for name in ("sd15", "sd2", "sdxl")}
    assert found[family] == ""
    others = [text for name, text in found.items() if name != family]
    assert all("is a LoRA for" in text for text in others)


def test_what_is_no_lora_is_said(tmp_path: pathlib.Path) -> None:
    file = made.file(tmp_path / "a.safetensors", {"model.diffusion_model.out.2.weight": torch.zeros(4, 4)})
    assert "is no LoRA" in problem(str(file), "sd15")
    assert "does not exist" in problem(str(tmp_path / "b.safetensors"), "sd15")
    assert list(faults("", [], "sd15")) == []
    both = faults(str(file), [f"{file}=0.5"], "sd15")
    assert [path for path, _ in both] == ["adapter.start_from", "model.base_loras"]
