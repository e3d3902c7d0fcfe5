"""The trainer's own sampler against diffusers', on the file that was trained, and the ways a model comes in."""

import dataclasses
import pathlib
import struct

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from PIL import Image

from tests.trainer import tiny
from trainer.engine import device
from trainer.engine.draw import Draw
from trainer.engine.loop import train
from trainer.families import clip_diffusion as clip
from trainer.families.base import Batch, SampleRequest, family
from trainer.families.clip_diffusion import ClipDiffusion
from trainer.families.latent_diffusion import borrowed
from trainer.job.trouble import Trouble
from trainer.run import folder
from trainer.run.folder import RunFolder

REQUEST = SampleRequest("a red thing", "blue", 32, 32, 42, 4.0, 4, "dpmpp_2m")


def trained(tmp_path: pathlib.Path, base: pathlib.Path, changes: dict[str, dict[str, object]]) -> RunFolder:
    samples = {
        "prompts": ["a red thing --n blue"],
        "steps": 4,
        "guidance": 4,
        "width_px": 32,
        "height_px": 32,
        "every_epochs": 2,
    }
    output = {"save_precision": "fp32"}
    job = tiny.job(tmp_path, base, {"samples": samples, "output": output, **changes})
    run = folder.create(tmp_path / "out", "tiny")
    train(job, run, lambda event: None)
    return run


def drawn_by_diffusers(base: pathlib.Path, lora: pathlib.Path | None) -> np.ndarray:
    pipeline = StableDiffusionPipeline.from_pretrained(base, safety_checker=None, feature_extractor=None)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    if lora:
        pipeline.load_lora_weights(lora)
    picture = pipeline(
        "a red thing",
        negative_prompt="blue",
        width=32,
        height=32,
        num_inference_steps=4,
        guidance_scale=4.0,
        generator=torch.Generator("cpu").manual_seed(42),
    ).images[0]
    return np.asarray(picture, dtype=int)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"adapter": {"type": "locon", "conv_rank": 3, "conv_alpha": 2}},
        {"adapter": {"rank_stabilised": True, "block_ranks": [2, 4, 3], "block_alphas": [1, 4, 2]}},
    ],
    ids=["lora", "locon", "blocks"],
)
def test_diffusers_draws_the_same_picture_from_the_file(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, changes: dict[str, dict[str, object]]
) -> None:
    run = trained(tmp_path, tiny_model, changes)
    ours = [np.asarray(Image.open(run.samples / f"tiny_e000{epoch}_p01_s42.png"), dtype=int) for epoch in (0, 2)]
    theirs = [drawn_by_diffusers(tiny_model, file) for file in (None, run.weights / "tiny.safetensors")]
    assert np.abs(ours[0] - theirs[0]).max() <= 1
    assert np.abs(ours[1] - theirs[1]).max() <= 1
    assert np.abs(ours[1] - ours[0]).max() > 8


def loaded(tmp_path: pathlib.Path, base: pathlib.Path, name: str = "sd15") -> ClipDiffusion:
    job = tiny.job(tmp_path, base, {"model": {"family": name, "base": str(base)}})
    return family(name).load(job, device.pick(job.training))  # type: ignore[return-value]


def test_a_picture_does_not_depend_on_what_is_drawn_with_it(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    parts = loaded(tmp_path, tiny_model)
    other = SampleRequest("another thing", "", 32, 32, 7, 4.0, 4, "dpmpp_2m")
    wide = SampleRequest("a wide thing", "", 48, 32, 7, 1.0, 3, "euler")
    alone = family("sd15").sample(parts, [REQUEST])[0]
    together = family("sd15").sample(parts, [wide, other, REQUEST])
    assert np.abs(np.asarray(alone, dtype=int) - np.asarray(together[2], dtype=int)).max() <= 1
    assert [picture.size for picture in together] == [(48, 32), (32, 32), (32, 32)]


def test_clip_skip_2_is_a_text_encoder_without_its_last_layer(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    parts = loaded(tmp_path, tiny_model)
    skipped = clip.text_states(dataclasses.replace(parts, clip_skip=2), ["a red thing"])
    whole = clip.text_states(parts, ["a red thing"])
    clip.text_model(parts.text_encoder).encoder.layers = clip.text_model(parts.text_encoder).encoder.layers[:-1]
    assert torch.equal(skipped, clip.text_states(parts, ["a red thing"]))
    assert not torch.equal(skipped, whole)


def test_clip_skip_beyond_the_first_layer_is_refused(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    job = tiny.job(tmp_path, tiny_model, {"model": {"base": str(tiny_model), "clip_skip": 3}})
    with pytest.raises(Trouble, match="has only 2 layers"):
        family("sd15").load(job, device.pick(job.training))


@pytest.mark.parametrize(("texts_encoded", "moves"), [(True, ["cpu"]), (False, [])])
def test_a_text_encoder_leaves_the_device_only_where_no_step_needs_it(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, texts_encoded: bool, moves: list[str]
) -> None:
    parts = loaded(tmp_path, tiny_model)
    moved: list[str] = []
    parts.text_encoder.to = moved.append
    family("sd15").settle(parts, texts_encoded)
    assert moved == moves


def test_the_denoiser_comes_to_the_device_when_everything_is_encoded(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    job = tiny.job(tmp_path, tiny_model)
    place = dataclasses.replace(device.pick(job.training), torch=torch.device("meta"))
    parts: ClipDiffusion = family("sd15").load(job, place)  # type: ignore[assignment]

    def where() -> list[str]:
        modules = (parts.unet, parts.vae, parts.text_encoder)
        return [next(module.parameters()).device.type for module in modules]

    assert where() == ["cpu", "meta", "meta"]
    parts.vae.to_empty(device="cpu")  # what is on the meta device cannot be moved away
    family("sd15").settle(parts, False)
    assert where() == ["meta", "cpu", "meta"]


def test_a_module_on_the_card_is_not_moved_whatever_number_the_card_has() -> None:
    module = torch.nn.Linear(1, 1, device="meta")
    moved: list[torch.device] = []
    module.to = moved.append  # type: ignore[method-assign, assignment]
    assert torch.device("meta", 0) != next(module.parameters()).device
    with borrowed(module, torch.device("meta", 0)):
        assert moved == []
    with borrowed(module, torch.device("cpu")):
        assert moved == [torch.device("cpu")]
    assert moved == [torch.device("cpu"), torch.device("meta")]


def test_v_prediction_is_read_from_the_model(tmp_path: pathlib.Path) -> None:
    base = tiny.model(tmp_path / "v", prediction="v_prediction", linear=True)
    parts = loaded(tmp_path, base, "sd2")
    assert parts.prediction == "v"
    batch = Batch({"latent": torch.ones(2, 8, 16, 16)}, ("a", "b"), None)
    draws = [Draw(1, 2, 0, torch.device("cpu")) for _ in range(2)]
    losses = [family("sd2").loss(parts, batch, draw).item() for draw in draws]
    assert losses[0] == losses[1] > 0


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"])
def test_a_folder_with_a_file_cut_short_is_refused_in_a_sentence(tmp_path: pathlib.Path, part: str) -> None:
    base = tiny.model(tmp_path / "model")
    path = base / f"{part}.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(Trouble, match="could not be loaded"):
        loaded(tmp_path, base)


def safetensors_file(path: pathlib.Path, header: bytes, data: bytes = b"") -> pathlib.Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def test_what_cannot_be_a_base_model_is_refused_in_a_sentence(tmp_path: pathlib.Path) -> None:
    broken = safetensors_file(
        tmp_path / "broken.safetensors", b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'
    )
    lora = safetensors_file(
        tmp_path / "lora.safetensors",
        b'{"lora_unet_x.lora_down.weight": {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}}',
    )
    (tmp_path / "empty").mkdir()
    (tmp_path / "old.ckpt").write_bytes(b"x")
    for base, sentence in (
        (broken, "download it again"),
        (lora, "is a LoRA"),
        (tmp_path / "empty", "no diffusers model"),
        (tmp_path / "old.ckpt", "is not opened"),
        (tmp_path / "nowhere", "is not there any more"),
    ):
        with pytest.raises(Trouble, match=sentence):
            loaded(tmp_path, base)
