"""LoRAs merged into the base model before the training."""

import pathlib
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.trainer import tiny
from tests.trainer.engine.conftest import LEARNED, Learned
from tests.trainer.engine.test_loop import carried_out, equal, final, told
from tests.trainer.formats import made
from trainer.engine import base_loras, device
from trainer.families.base import family
from trainer.formats.stranger import open_lora
from trainer.job.settings import Job, Training
from trainer.job.trouble import Trouble
from trainer.run import events


def job_for(folder: pathlib.Path, base: pathlib.Path, loras: list[str], **training: Any) -> Job:
    sections = {
        "model": {"base": str(base), "base_loras": loras},
        "training": {**LEARNED, **training},
        "output": {"save_precision": "fp32"},
    }
    return tiny.job(folder, base, sections)


def weights(job: Job, merged: bool = True) -> dict[str, torch.Tensor]:
    """The base model's weights by canonical name, with the LoRAs of the job in them."""
    parts = family(job.model.family).load(job, device.pick(Training()))
    if merged:
        base_loras.merge(parts.models, job, lambda text: None)
    return {
        f"{component}.{name}": tensor.clone()
        for component, model in parts.models.items()
        for name, tensor in model.state_dict().items()
    }


@pytest.mark.parametrize("adapter", [{"type": "locon", "conv_rank": 3}, {"type": "loha"}, {"decompose": True}])
def test_the_base_model_changes_by_what_the_files_add(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, learned: Learned, adapter: dict[str, Any]
) -> None:
    first = learned(**adapter)
    second = learned()
    job = job_for(tmp_path, tiny_model, [f"{first}=0.5", str(second)])
    before, after = weights(job, merged=False), weights(job)
    layers, others = open_lora(first).layers, open_lora(second).layers
    assert set(layers) >= set(others)
    for name in before:
        layer = name.removesuffix(".weight")
        expected = before[name]
        if layer in layers and name.endswith(".weight"):
            expected = layers[layer].changed(expected, 0.5)
            expected = others[layer].changed(expected, 1.0) if layer in others else expected
        assert torch.equal(after[name], expected)


def test_it_is_trained_upon_sampled_from_at_the_start_and_the_same_after_a_stop(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, learned: Learned
) -> None:
    file = learned()
    samples = {"prompts": ["a red thing"], "steps": 2, "width_px": 32, "height_px": 32}
    jobs = [
        job.model_copy(update={"samples": job.samples.model_copy(update=samples)})
        for job in (job_for(tmp_path, tiny_model, []), job_for(tmp_path, tiny_model, [str(file)]))
    ]
    (plain, seen), (whole, seen_merged) = map(carried_out, jobs)
    assert not equal(final(plain), final(whole))
    assert final(plain).keys() == final(whole).keys()
    first = [
        (run.path / next(event.file for event in many if isinstance(event, events.Sample))).read_bytes()
        for run, many in ((plain, seen), (whole, seen_merged))
    ]
    assert first[0] != first[1]
    parts, _ = carried_out(jobs[1], stop_at=2)
    told(jobs[1], parts)
    assert equal(final(whole), final(parts))


def test_captions_are_encoded_by_the_changed_text_encoder(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, learned: Learned
) -> None:
    """The cache on disk, shared by both runs, must not hand out what another text encoder has made."""
    file = learned()
    only_text = {
        f"{stored}.{ending}": tensor
        for name, layer in open_lora(file).layers.items()
        if name.startswith("text_encoder")
        for stored in ("lora_te_" + name.removeprefix("text_encoder.").replace(".", "_"),)
        for ending, tensor in (
            ("lora_down.weight", layer.tensors["lora_down"]),
            ("lora_up.weight", layer.tensors["lora_up"] * 20),
        )
    }
    save_file(only_text, tmp_path / "text.safetensors")
    plain, _ = carried_out(job_for(tmp_path, tiny_model, [], text_encoder=False))
    changed, _ = carried_out(job_for(tmp_path, tiny_model, [str(tmp_path / "text.safetensors")], text_encoder=False))
    assert not equal(final(plain), final(changed))


def test_layers_that_the_model_lacks_are_counted_and_a_file_of_only_such_is_refused(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, learned: Learned
) -> None:
    file = learned()
    layers = dict(open_lora(file).layers)
    strange = made.lora("unet.down_blocks.3.resnets.1.conv1", 8, (8, 3, 3), 2, 1.0)
    key = "lora_unet_down_blocks_3_resnets_1_conv1"
    alone = {f"{key}.{kind}.weight": tensor for kind, tensor in strange.tensors.items()}
    both = dict(alone)
    for name, layer in layers.items():
        if name.startswith("unet."):
            stored = "lora_unet_" + name.removeprefix("unet.").replace(".", "_")
            both |= {f"{stored}.{kind}.weight": tensor for kind, tensor in layer.tensors.items()}
    some = made.file(tmp_path / "some.safetensors", both)
    _, seen = carried_out(job_for(tmp_path, tiny_model, [str(some)], steps=1))
    said = [event.text for event in seen if isinstance(event, events.Warned)]
    assert len(said) == 1
    assert "1 of" in said[0]
    assert strange.name in said[0]
    none = made.file(tmp_path / "none.safetensors", alone)
    with pytest.raises(Trouble, match="no layer in common with the base model"):
        carried_out(job_for(tmp_path, tiny_model, [str(none)]))
