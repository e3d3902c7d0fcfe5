"""A training that begins with a LoRA file: the first change is the file's, and what does not fit is said."""

import pathlib
import shutil
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.trainer import tiny
from tests.trainer.engine.conftest import LEARNED, Learned
from tests.trainer.engine.test_loop import carried_out, equal, final, told
from tests.trainer.formats import made
from trainer.formats import peft
from trainer.formats.stranger import open_lora
from trainer.job.settings import Job
from trainer.job.trouble import Trouble
from trainer.run import events

NEXT_TO_NOTHING = {"learning_rate": 1e-12, "text_encoder_learning_rate": 1e-12, "epochs": 0, "steps": 1}


def job_for(
    folder: pathlib.Path, base: pathlib.Path, adapter: dict[str, Any], training: dict[str, Any], **changes: Any
) -> Job:
    sections = {"adapter": adapter, "training": training, "output": {"save_precision": "fp32"}, **changes}
    return tiny.job(folder, base, sections)


def begun(
    folder: pathlib.Path, base: pathlib.Path, file: pathlib.Path, **adapter: Any
) -> tuple[pathlib.Path, list[str]]:
    """What a training that begins with `file` and learns next to nothing saves, and what it said."""
    job = job_for(folder, base, {"start_from": str(file), **adapter}, NEXT_TO_NOTHING)
    run, seen = carried_out(job)
    said = [event.text for event in seen if isinstance(event, events.Warned)]
    return run.weights / "tiny.safetensors", [text for text in said if file.name in text]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, {"rank": 4, "alpha": 2}),
        ({}, {"rank": 4, "alpha": 4}),
        ({}, {"rank": 8, "alpha": 1}),
        ({}, {"rank": 8, "alpha": 4, "rank_stabilised": True}),
        ({"type": "locon", "conv_rank": 3}, {"type": "locon", "conv_rank": 5, "rank": 4, "conv_alpha": 2}),
        ({"type": "loha"}, {"type": "loha", "rank": 4, "alpha": 1}),
        ({"type": "lokr"}, {"type": "lokr", "rank": 4, "alpha": 1}),
        ({}, {"rank": 4, "alpha": 2, "decompose": True}),
        ({"decompose": True}, {"rank": 6, "alpha": 1, "decompose": True}),
    ],
)
def test_the_first_change_is_the_files_own(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, learned: Learned, theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    file = learned(**theirs)
    saved, said = begun(tmp_path, tiny_model, file, **ours)
    one, other = open_lora(saved).layers, open_lora(file).layers
    if ours.get("decompose"):
        shapes = {name: made.random(*layer.shape) for name, layer in one.items()}
        pairs = [(one[name].changed(shapes[name], 1), other[name].changed(shapes[name], 1)) for name in one]
        if not theirs:
            pairs = [(one[name].delta(), other[name].delta()) for name in one]
        assert max(made.error(*pair) for pair in pairs) < 1e-6
    else:
        assert made.largest_error(one, other) < 1e-6
    assert said == []


@pytest.mark.parametrize("form", ["peft", "half"])
def test_any_readable_form_of_file_will_do(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, learned: Learned, form: str
) -> None:
    file = learned()
    other = tmp_path / "other.safetensors"
    if form == "peft":
        layers = open_lora(file)
        peft.write(other, layers.layers, torch.float32, layers.metadata)
    else:
        save_file({name: tensor.half() for name, tensor in load_file(file).items()}, other)
    saved, said = begun(tmp_path, tiny_model, other, rank=4, alpha=2)
    assert made.largest_error(open_lora(saved).layers, open_lora(other).layers) < 1e-6
    assert said == []


@pytest.mark.parametrize("theirs", [{}, {"type": "loha", "targets": "linear"}])
def test_a_higher_rank_is_cut_to_the_best_and_what_is_kept_is_said(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, learned: Learned, theirs: dict[str, Any]
) -> None:
    """By Eckart and Young the rest is the energy of the smaller singular values."""
    file = learned(**theirs)
    saved, said = begun(tmp_path, tiny_model, file, rank=2, alpha=1)
    one, other = open_lora(saved).layers, open_lora(file).layers
    lost = energy = 0.0
    for name, layer in other.items():
        values = torch.linalg.svdvals(layer.delta().flatten(1).double()).square()
        lost, energy = lost + float(values[2:].sum()), energy + float(values.sum())
        error = (one[name].delta().reshape(layer.shape) - layer.delta()).double().square().sum()
        assert float(error) == pytest.approx(float(values[2:].sum()), rel=1e-3, abs=1e-9)
    assert len(said) == 1
    assert f"which keeps {100 * (1 - lost / energy):.4g} % of their energy" in said[0]


def test_what_is_in_only_one_of_both_is_counted(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, learned: Learned
) -> None:
    file = learned()
    layers = open_lora(file).layers
    texts = sum(name.startswith("text_encoder") for name in layers)
    job = job_for(
        tmp_path,
        tiny_model,
        {"type": "locon", "rank": 4, "start_from": str(file)},
        {**NEXT_TO_NOTHING, "text_encoder": False},
    )
    run, seen = carried_out(job)
    said = next(event.text for event in seen if isinstance(event, events.Warned))
    lacking = len(open_lora(run.weights / "tiny.safetensors").layers) - (len(layers) - texts)
    assert f"{texts} of its {len(layers)} layers are not trained here; {lacking} layers of this training" in said


def test_it_learns_on_in_every_rank_and_ends_in_the_same_bits_after_a_stop(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, learned: Learned
) -> None:
    file = shutil.copy(learned(), tmp_path)
    job = job_for(tmp_path, tiny_model, {"rank": 6, "alpha": 3, "start_from": str(file)}, {"epochs": 1})
    whole, _ = carried_out(job)
    parts, _ = carried_out(job, stop_at=2)
    pathlib.Path(file).unlink()
    with pytest.raises(Trouble, match="does not exist"):
        carried_out(job)
    told(job, parts)
    assert equal(final(whole), final(parts))
    padded = [tensor[:, 4:] for name, tensor in final(whole).items() if "lora_up" in name]
    assert all(part.abs().max() > 0 for part in padded)


@pytest.mark.parametrize(
    ("theirs", "ours", "sentence"),
    [
        ({"type": "loha"}, {"type": "loha", "rank": 3}, "Adapter to LoRA or LoCon"),
        ({}, {"type": "lokr"}, "Adapter to LoRA or LoCon"),
        ({"decompose": True}, {}, "is a DoRA"),
    ],
)
def test_what_cannot_begin_it_is_refused_in_a_sentence(
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    learned: Learned,
    theirs: dict[str, Any],
    ours: dict[str, Any],
    sentence: str,
) -> None:
    file = learned(**theirs)
    with pytest.raises(Trouble, match=sentence):
        begun(tmp_path, tiny_model, file, **ours)


def test_a_file_for_a_model_of_another_size_or_family_is_refused(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, learned: Learned
) -> None:
    file = learned()
    tensors = load_file(file)
    wide = {name: torch.cat([tensor] * 2, -1) if "lora_down" in name else tensor for name, tensor in tensors.items()}
    save_file({name: wide[name].squeeze() if "down" in name else wide[name] for name in wide}, tmp_path / "wide.st")
    (tmp_path / "wide.st").rename(tmp_path / "wide.safetensors")
    with pytest.raises(Trouble, match="model of another size"):
        begun(tmp_path, tiny_model, tmp_path / "wide.safetensors")
    of_sd2 = made.lora(made.TO_K, 32, (1024,), 4, 1.0)
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    names = {f"{key}.{kind}.weight": tensor for kind, tensor in of_sd2.tensors.items()}
    other = made.file(tmp_path / "sd2.safetensors", names)
    with pytest.raises(Trouble, match=r"is a LoRA for Stable Diffusion 2\.x, but this training is for Stable"):
        begun(tmp_path, tiny_model, other)


def test_sdxl_begins_with_a_file_and_with_another_in_its_base(tmp_path: pathlib.Path, tiny_sdxl: pathlib.Path) -> None:
    model = {"base": str(tiny_sdxl), "family": "sdxl"}
    (tmp_path / "first").mkdir()
    first, _ = carried_out(job_for(tmp_path / "first", tiny_sdxl, {"rank": 2, "alpha": 1}, LEARNED, model=model))
    file = first.weights / "tiny.safetensors"
    adapter = {"rank": 4, "alpha": 4, "start_from": str(file)}
    plain, seen = carried_out(job_for(tmp_path, tiny_sdxl, adapter, NEXT_TO_NOTHING, model=model))
    assert made.largest_error(open_lora(plain.weights / "tiny.safetensors").layers, open_lora(file).layers) < 1e-6
    with_base = {**model, "base_loras": [f"{file}=2"]}
    other, seen_too = carried_out(job_for(tmp_path, tiny_sdxl, adapter, LEARNED, model=with_base))
    assert not [event for event in (*seen, *seen_too) if isinstance(event, events.Warned)]
    assert not equal(final(plain), final(other))
