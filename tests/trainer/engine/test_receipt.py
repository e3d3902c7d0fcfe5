"""A file is only called saved when a stranger reads from it what was learned."""

import pathlib
from collections.abc import Callable
from typing import IO, Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.trainer import tiny
from trainer.adapters.base import Injected
from trainer.adapters.lora import inject
from trainer.engine.loop import train
from trainer.engine.receipt import largest_error
from trainer.families.base import Component
from trainer.families.latent_diffusion import UNET_BLOCKS, UNET_CONV_BLOCKS
from trainer.formats import kohya
from trainer.job.settings import Adapter
from trainer.job.trouble import Trouble
from trainer.run import events, folder

LAYER = "lora_unet_mid_block_attentions_0_proj_in"


@pytest.fixture
def injected(tiny_model: pathlib.Path) -> Injected:
    """A LoCon with random numbers in all layers."""
    unet = UNet2DConditionModel.from_pretrained(tiny_model, subfolder="unet").requires_grad_(False)
    settings = Adapter(type="locon", rank=3, alpha=2, conv_rank=2, conv_alpha=1)
    found = inject([Component("unet", unet, UNET_BLOCKS, UNET_CONV_BLOCKS, 1e-4)], settings, 1)
    fill(found, 0.1)
    return found


@torch.no_grad()
def fill(injected: Injected, size: float) -> None:
    torch.manual_seed(0)
    for layer in injected.layers.values():
        layer.tensors["lora_up"].normal_().mul_(size)


@pytest.mark.parametrize(
    ("precision", "least", "most"), [("fp32", 0, 1e-6), ("fp16", 1e-5, 1e-3), ("bf16", 1e-4, 1e-2)]
)
def test_a_whole_file_costs_its_rounding(
    tmp_path: pathlib.Path, injected: Injected, precision: str, least: float, most: float
) -> None:
    kohya.write(tmp_path / "a.safetensors", injected.layers, precision, {})
    assert least <= largest_error(tmp_path / "a.safetensors", injected) <= most


def test_numbers_below_what_fp16_can_hold_are_no_fault_of_the_file(tmp_path: pathlib.Path, injected: Injected) -> None:
    fill(injected, 1e-7)
    kohya.write(tmp_path / "a.safetensors", injected.layers, "fp16", {})
    assert largest_error(tmp_path / "a.safetensors", injected) > 0.01


def test_a_layer_that_has_learned_nothing_must_change_nothing(tmp_path: pathlib.Path, injected: Injected) -> None:
    fill(injected, 0.0)
    kohya.write(tmp_path / "a.safetensors", injected.layers, "fp16", {})
    assert largest_error(tmp_path / "a.safetensors", injected) == 0
    fill(injected, 1.0)
    kohya.write(tmp_path / "b.safetensors", injected.layers, "fp16", {})
    fill(injected, 0.0)
    with pytest.raises(Trouble, match="differs"):
        largest_error(tmp_path / "b.safetensors", injected)


def alpha(tensors: dict[str, Tensor]) -> None:
    tensors[f"{LAYER}.alpha"] *= 1.01


def one_number(tensors: dict[str, Tensor]) -> None:
    tensors[f"{LAYER}.lora_up.weight"].view(-1)[5] += 0.05


def swapped(tensors: dict[str, Tensor]) -> None:
    other = LAYER.replace("_in", "_out")
    for kind in ("lora_up.weight", "lora_down.weight"):
        tensors[f"{LAYER}.{kind}"], tensors[f"{other}.{kind}"] = (
            tensors[f"{other}.{kind}"],
            tensors[f"{LAYER}.{kind}"],
        )


def not_a_number(tensors: dict[str, Tensor]) -> None:
    tensors[f"{LAYER}.lora_up.weight"].view(-1)[5] = torch.nan


def missing(tensors: dict[str, Tensor]) -> None:
    for kind in ("lora_up.weight", "lora_down.weight", "alpha"):
        del tensors[f"{LAYER}.{kind}"]


def renamed(tensors: dict[str, Tensor]) -> None:
    for kind in ("lora_up.weight", "lora_down.weight", "alpha"):
        tensors[f"{LAYER.replace('_in', '_inn')}.{kind}"] = tensors.pop(f"{LAYER}.{kind}")


DAMAGES = (alpha, one_number, swapped, not_a_number, missing, renamed)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_file_that_holds_something_else_is_found_out(
    tmp_path: pathlib.Path, injected: Injected, damage: Callable[[dict[str, Tensor]], None]
) -> None:
    path = tmp_path / "a.safetensors"
    kohya.write(path, injected.layers, "fp16", {})
    tensors = load_file(path)
    damage(tensors)
    save_file(tensors, path)
    with pytest.raises(Trouble, match=r"a\.safetensors was written but does not hold what was learned"):
        largest_error(path, injected)


def test_every_save_of_a_training_is_proved(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    job = tiny.job(tmp_path, tiny_model, {"output": {"save_precision": "fp32"}})
    seen: list[events.Event] = []
    train(job, folder.create(tmp_path / "out", "a"), seen.append)
    saved = [event for event in seen if isinstance(event, events.Saved)]
    assert len(saved) == 2
    assert all(event.verified and event.largest_relative_error < 1e-6 for event in saved)


def test_a_disk_that_loses_bytes_ends_the_run(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def losing(path: pathlib.Path, write: Callable[[IO[bytes]], Any]) -> None:
        folder.write_whole(path, write)
        path.write_bytes(path.read_bytes()[:-400] + bytes(400))

    monkeypatch.setattr("trainer.formats.kohya.write_whole", losing)
    seen: list[events.Event] = []
    with pytest.raises(Trouble, match="does not hold what was learned"):
        train(tiny.job(tmp_path, tiny_model), folder.create(tmp_path / "out", "a"), seen.append)
    assert not [event for event in seen if isinstance(event, events.Saved)]
