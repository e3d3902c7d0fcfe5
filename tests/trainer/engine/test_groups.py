"""What learns at which rate: blocks of the UNet, and LoRA+'s faster half, in whole trainings on a tiny model."""

import pathlib
from typing import Any

import pytest
import torch

from tests.trainer import tiny
from tests.trainer.engine.test_loop import carried_out, equal, final, told
from trainer.adapters.places import places
from trainer.engine import device
from trainer.families.base import family
from trainer.job.settings import Job
from trainer.job.trouble import Trouble
from trainer.run import events

ONE_STEP = {"steps": 1, "epochs": 0, "optimizer": "Lion", "schedule": "constant", "text_encoder_learning_rate": 0.02}
"""Lion moves every number by exactly its learning rate (arXiv:2302.06675, algorithm 1)."""


def job_for(folder: pathlib.Path, base: pathlib.Path, training: dict[str, Any], adapter: dict[str, Any]) -> Job:
    given = {**training, "optimizer_args": {"weight_decay": 0.0}} if training.get("optimizer") == "Lion" else training
    return tiny.job(folder, base, {"training": given, "adapter": adapter, "output": {"save_precision": "fp32"}})


def moved(tensors: dict[str, torch.Tensor], part: str) -> set[float]:
    """How far the tensors that began at zero have come in a part of the model."""
    ups = [tensor for name, tensor in tensors.items() if part in name and "lora_up" in name]
    assert ups
    return {round(float(up.abs().max()), 6) for up in ups}


def test_each_part_of_the_unet_has_its_rank_and_alpha_and_one_of_rank_0_is_not_trained(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    adapter = {"type": "locon", "conv_rank": 3, "conv_alpha": 5, "block_ranks": [0, 4, 2], "block_alphas": [0, 8, 3]}
    job = job_for(tmp_path, tiny_model, ONE_STEP, adapter)
    unet, text = family("sd15").load(job, device.pick(job.training)).components
    sizes = {"mid_block.attentions": (4, 8.0), "up_blocks.1.attentions": (2, 3.0), "conv1": (3, 5.0)}
    found = places(unet, job.adapter)
    for part, size in sizes.items():
        assert {(place.rank, place.alpha) for place in found if part in place.path} == {size}
    assert {(place.rank, place.alpha) for place in places(text, job.adapter)} == {(2, 1.0)}
    tensors = final(carried_out(job)[0])
    assert not [name for name in tensors if "down_blocks" in name]
    assert len({name.partition(".")[0] for name in tensors}) == len(found) + len(places(text, job.adapter))


def test_each_part_of_the_unet_learns_at_its_rate_and_one_at_0_is_not_in_the_file(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    run, seen = carried_out(job_for(tmp_path, tiny_model, {**ONE_STEP, "block_learning_rates": [0.5, 0, 2]}, {}))
    tensors = final(run)
    assert not [name for name in tensors if "mid_block" in name]
    assert (moved(tensors, "down_blocks"), moved(tensors, "up_blocks")) == ({0.005}, {0.02})
    assert moved(tensors, "lora_te") == {0.02}
    step = next(event for event in seen if isinstance(event, events.Step))
    assert (step.learning_rate, step.text_encoder_learning_rate) == (0.01, 0.02)


@pytest.mark.parametrize(("text", "expected"), [(0, 0.08), (1, 0.02), (2, 0.04)])
def test_what_begins_at_zero_learns_faster_by_the_ratio(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, text: float, expected: float
) -> None:
    """LoRA+: B (lora_up) at a multiple of A's rate (arXiv:2402.12354, section 4)."""
    plain = final(carried_out(job_for(tmp_path, tiny_model, ONE_STEP, {}))[0])
    plus = {"loraplus_ratio": 4, "loraplus_text_encoder_ratio": text, "block_learning_rates": [1, 1, 0.5]}
    tensors = final(carried_out(job_for(tmp_path, tiny_model, {**ONE_STEP, **plus}, {}))[0])
    assert moved(tensors, "down_blocks") == {0.04}
    assert moved(tensors, "up_blocks") == {0.02}
    assert moved(tensors, "lora_te") == {expected}
    downs = [name for name in tensors if "lora_down" in name and "up_blocks" not in name]
    assert downs
    assert all(torch.equal(tensors[name], plain[name]) for name in downs)


@pytest.mark.parametrize(
    ("optimizer", "changes"),
    [
        ("AdamW", {"block_learning_rates": [0.5, 0, 1], "loraplus_ratio": 4}),
        ("Adafactor", {"block_learning_rates": [0.5, 0, 1], "loraplus_ratio": 4}),
        ("AdamWScheduleFree", {"block_learning_rates": [0.5, 0, 1], "loraplus_ratio": 4, "schedule": "constant"}),
        ("Prodigy", {"block_learning_rates": [1, 0, 1], "learning_rate": 1, "text_encoder_learning_rate": 1}),
    ],
)
def test_stopped_and_resumed_with_several_rates_ends_in_the_same_bits(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, optimizer: str, changes: dict[str, Any]
) -> None:
    training = {"optimizer": optimizer, "epochs": 0, "steps": 4, **changes}
    job = job_for(tmp_path, tiny_model, training, {"block_ranks": [4, 2, 2]})
    whole, _ = carried_out(job)
    parts, _ = carried_out(job, stop_at=2)
    told(job, parts)
    assert equal(final(whole), final(parts))


def test_a_job_in_which_nothing_learns_is_refused(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    with pytest.raises(Trouble, match="nothing to train"):
        carried_out(job_for(tmp_path, tiny_model, {"text_encoder": False}, {"block_ranks": [0, 0, 0]}))


@pytest.mark.parametrize("numbers", [[1, *[0.5] * 9, *[0] * 3, *[2] * 9, 1]])
def test_sdxl_counts_23_blocks(tmp_path: pathlib.Path, tiny_sdxl: pathlib.Path, numbers: list[float]) -> None:
    training = {**ONE_STEP, "optimizer_args": {"weight_decay": 0.0}, "block_learning_rates": numbers}
    model = {"base": str(tiny_sdxl), "family": "sdxl"}
    sections = {"model": model, "training": training, "output": {"save_precision": "fp32"}}
    tensors = final(carried_out(tiny.job(tmp_path, tiny_sdxl, sections))[0])
    assert not [name for name in tensors if "middle_block" in name]
    assert (moved(tensors, "input_blocks"), moved(tensors, "output_blocks")) == ({0.005}, {0.02})
