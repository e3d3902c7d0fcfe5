"""Stable Diffusion XL as diffusers runs it, what it is told of a picture, and how much of it is trained."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.trainer import ldm, tiny
from trainer.adapters.places import places
from trainer.engine import denoising, device
from trainer.engine.draw import Draw
from trainer.engine.loop import train
from trainer.families import sdxl, sources
from trainer.families.base import Batch, Frame, SampleRequest
from trainer.families.clip_text import text_component
from trainer.families.latent_diffusion import unet_component
from trainer.families.sdxl import Sdxl
from trainer.families.tokenizers import clip
from trainer.job.settings import Adapter
from trainer.job.trouble import Trouble
from trainer.run import events, folder
from trainer.run.folder import RunFolder

SMALL = {
    "unet": {**tiny.SDXL_UNET, "block_out_channels": [8, 8, 16]},
    "vae": {"block_out_channels": [8, 8, 8, 8], "norm_num_groups": 4},
    "text_encoder": {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    "text_encoder_2": {
        "hidden_size": 24,
        "projection_dim": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    },
}
SAMPLERS = {
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "euler_a": EulerAncestralDiscreteScheduler,
    "dpmpp_2m": DPMSolverMultistepScheduler,
}


def trained(tmp_path: pathlib.Path, base: pathlib.Path, changes: dict[str, dict[str, object]]) -> RunFolder:
    common: dict[str, dict[str, object]] = {
        "model": {"base": str(base), "family": "sdxl"},
        "training": {"epochs": 2, "batch_size": 2, "learning_rate": 0.2},
        "samples": {
            "prompts": ["a red thing --n blue", "a red thing"],
            "steps": 4,
            "guidance": 4,
            "width_px": 48,
            "height_px": 32,
            "every_epochs": 2,
        },
        "output": {"save_precision": "fp32", "folder": str(tmp_path / "out"), "name": "tiny"},
    }
    tiny.pictures(tmp_path / "data", 2)
    job = tiny.job(tmp_path, base, {**common, **changes})
    run = folder.create(tmp_path / "out", "tiny")
    train(job, run, lambda event: None)
    return run


def drawn_by_diffusers(base: pathlib.Path, lora: pathlib.Path | None) -> list[np.ndarray]:
    pipeline = StableDiffusionXLPipeline.from_pretrained(base, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    if lora:
        pipeline.load_lora_weights(lora)
    pictures = [
        pipeline(
            "a red thing",
            negative_prompt=negative,
            width=48,
            height=32,
            num_inference_steps=4,
            guidance_scale=4.0,
            generator=torch.Generator("cpu").manual_seed(42 + number),
        ).images[0]
        for number, negative in enumerate(["blue", None])
    ]
    return [np.asarray(picture, dtype=int) for picture in pictures]


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({}, {"lora_unet_input_blocks", "lora_unet_middle_block", "lora_unet_output_blocks", "lora_te1", "lora_te2"}),
        (
            {
                "adapter": {"type": "locon", "rank": 2, "conv_rank": 3, "conv_alpha": 2},
                "training": {"epochs": 2, "batch_size": 2, "learning_rate": 0.2, "text_encoder": False},
            },
            {"lora_unet_input_blocks", "lora_unet_middle_block", "lora_unet_output_blocks"},
        ),
        (
            {"adapter": {"rank_stabilised": True, "block_ranks": [2, 4, 3], "block_alphas": [1, 4, 2]}},
            {"lora_unet_input_blocks", "lora_unet_middle_block", "lora_unet_output_blocks", "lora_te1", "lora_te2"},
        ),
    ],
    ids=["lora", "locon", "blocks"],
)
def test_diffusers_draws_the_same_pictures_from_the_file(
    tmp_path: pathlib.Path, tiny_sdxl: pathlib.Path, changes: dict[str, dict[str, object]], layers: set[str]
) -> None:
    run = trained(tmp_path, tiny_sdxl, changes)
    file = run.weights / "tiny.safetensors"
    theirs = drawn_by_diffusers(tiny_sdxl, None), drawn_by_diffusers(tiny_sdxl, file)
    for number in (0, 1):
        ours = [
            np.asarray(Image.open(run.samples / f"tiny_e000{epoch}_p0{number + 1}_s{42 + number}.png"), dtype=int)
            for epoch in (0, 2)
        ]
        assert np.abs(ours[0] - theirs[0][number]).max() <= 1
        assert np.abs(ours[1] - theirs[1][number]).max() <= 1
        assert np.abs(ours[1] - ours[0]).max() > 4
    names = load_file(file)
    assert {layer for layer in layers if any(name.startswith(layer) for name in names)} == layers
    assert all(any(name.startswith(layer) for layer in layers) for name in names)


def loaded(tmp_path: pathlib.Path, base: pathlib.Path, **model: object) -> Sdxl:
    job = tiny.job(tmp_path, base, {"model": {"family": "sdxl", "base": str(base), **model}})
    return sdxl.load(job, device.pick(job.training))


@pytest.mark.parametrize("sampler", ["ddim", "euler", "euler_a", "dpmpp_2m"])
def test_a_model_that_ends_without_any_signal_is_sampled_as_diffusers_does(
    tmp_path: pathlib.Path, tiny_v_sdxl: pathlib.Path, sampler: str
) -> None:
    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_v_sdxl, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = SAMPLERS[sampler].from_config(
        pipeline.scheduler.config, clip_sample=False, set_alpha_to_one=False
    )
    common = {"width": 32, "height": 32, "num_inference_steps": 5, "guidance_scale": 4.0}
    generator = torch.Generator("cpu").manual_seed(42)
    theirs = pipeline("a red thing", negative_prompt="blue", generator=generator, **common).images[0]
    request = SampleRequest("a red thing", "blue", 32, 32, 42, 4.0, 5, sampler)
    ours = sdxl.sample(loaded(tmp_path, tiny_v_sdxl), [request])[0]
    assert np.abs(np.asarray(ours, dtype=int) - np.asarray(theirs, dtype=int)).max() <= 1
    assert np.asarray(ours).std() > 5


def test_at_the_last_time_step_only_noise_is_shown(tmp_path: pathlib.Path, tiny_v_sdxl: pathlib.Path) -> None:
    parts = loaded(tmp_path, tiny_v_sdxl)
    assert (parts.prediction, parts.alphas[-1].item()) == ("v", 0.0)
    assert loaded(tmp_path, tiny_v_sdxl, zero_terminal_snr="off").alphas[-1] > 0
    training = parts.training.model_copy(update={"min_timestep": 999, "min_snr_gamma": 5.0})
    x = torch.ones(2, 4, 16, 16)
    made = denoising.noised(x, parts.alphas, Draw(1, 2, 0, torch.device("cpu")), training)
    assert torch.equal(made.noisy, made.noise)
    assert torch.equal(made.target("v"), -x)
    batch = Batch({"latent": x}, ("", ""), None)
    assert torch.isfinite(denoising.loss(made.noisy, made, batch, training, "v"))


@pytest.mark.parametrize("model", [{}, {"zero_terminal_snr": "on"}], ids=["of the model", "of the job"])
def test_a_model_that_predicts_epsilon_needs_some_signal(tmp_path: pathlib.Path, model: dict[str, str]) -> None:
    base = tiny.sdxl(tmp_path / "model", rescale_betas_zero_snr=not model)
    with pytest.raises(Trouble, match="set Zero terminal SNR to off"):
        loaded(tmp_path, base, **model)
    assert loaded(tmp_path, base, zero_terminal_snr="off").alphas[-1] > 0


@pytest.fixture(scope="module")
def tiny_v_sdxl(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """One that predicts v and ends without any signal."""
    words = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return tiny.sdxl(tmp_path_factory.mktemp("v") / "model", **words)


@pytest.fixture
def small_configs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The configs that come with the program, with few channels."""
    configs = tmp_path / "configs"
    shutil.copytree(sources.CONFIGS, configs)
    for part, changes in SMALL.items():
        path = configs / "sdxl" / part / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    monkeypatch.setattr(sources, "CONFIGS", configs)
    return configs / "sdxl"


def test_one_file_trains_as_the_folder_does(tmp_path: pathlib.Path, small_configs: pathlib.Path) -> None:
    unet, vae, text, text_2 = ldm.random_models(small_configs)
    file = ldm.write(tmp_path / "small.safetensors", unet, vae, text, text_2)
    base = tiny.sdxl(tmp_path / "model")
    for name, model in (("unet", unet), ("vae", vae), ("text_encoder", text), ("text_encoder_2", text_2)):
        model.save_pretrained(base / name)
    for name, pad_token in (("tokenizer", {}), ("tokenizer_2", {"pad_token": "!"})):
        shutil.rmtree(base / name)
        clip("", **pad_token).save_pretrained(base / name)
    tiny.pictures(tmp_path / "data", 1)
    losses = []
    for place in (file, base):
        job = tiny.job(tmp_path, place, {"model": {"family": "sdxl", "base": str(place)}})
        told: list[events.Event] = []
        train(job, folder.create(tmp_path / "out", "tiny"), told.append)
        losses.append([event.loss for event in told if isinstance(event, events.Step)])
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2


def test_one_file_says_by_two_tensors_what_it_predicts(tmp_path: pathlib.Path, small_configs: pathlib.Path) -> None:
    file = ldm.write(tmp_path / "small.safetensors", *ldm.random_models(small_configs))
    assert loaded(tmp_path, file).prediction == "epsilon"
    tensors = load_file(file)
    save_file({**tensors, "v_pred": torch.tensor([]), "ztsnr": torch.tensor([])}, file)
    parts = loaded(tmp_path, file)
    assert (parts.prediction, parts.zero_terminal_snr, parts.alphas[-1].item()) == ("v", True, 0.0)
    assert parts.schedule["timestep_spacing"] == "trailing"


def test_another_vae_takes_the_place_of_the_models_own(tmp_path: pathlib.Path, small_configs: pathlib.Path) -> None:
    models = ldm.random_models(small_configs)
    file = ldm.write(tmp_path / "small.safetensors", *models)
    tensors = {name.removeprefix("first_stage_model."): tensor for name, tensor in load_file(file).items()}
    other = {name: tensor + 1 for name, tensor in tensors.items() if name.startswith(("encoder.", "decoder.", "quant"))}
    save_file({**tensors, **other}, tmp_path / "vae.safetensors")
    usual = loaded(tmp_path, file).vae.state_dict()
    found = loaded(tmp_path, file, vae=str(tmp_path / "vae.safetensors"), vae_precision="bf16").vae
    assert found.dtype == torch.bfloat16
    assert all(
        torch.equal(tensor, (usual[name] + 1).bfloat16())
        for name, tensor in found.state_dict().items()
        if not name.startswith("post_quant")
    )
    tiny.autoencoder().save_pretrained(tmp_path / "other")
    for vae, sentence in (
        (tmp_path / "other", "its scaling_factor is"),
        (tmp_path / "none", "check the path"),
        ("nobody/vae", "has not been fetched yet"),
    ):
        with pytest.raises(Trouble, match=sentence):
            loaded(tmp_path, file, vae=str(vae))


def test_in_bf16_only_the_vae_is_kept_whole(tmp_path: pathlib.Path, tiny_sdxl: pathlib.Path) -> None:
    job = tiny.job(tmp_path, tiny_sdxl, {"model": {"family": "sdxl", "base": str(tiny_sdxl)}})
    bf16 = dataclasses.replace(device.pick(job.training), dtype=torch.bfloat16)
    parts = sdxl.load(job, bf16)
    modules = (parts.unet, parts.vae, *parts.text_encoders)
    assert [module.dtype for module in modules] == [torch.bfloat16, torch.float32, torch.bfloat16, torch.bfloat16]
    latent = sdxl.encode(parts, [Image.new("RGB", (32, 32), "red")])[0]["latent"]
    assert (latent.shape, latent.dtype) == ((8, 16, 16), torch.float32)


def test_a_model_whose_index_says_so_is_guided_away_from_the_empty_text(tmp_path: pathlib.Path) -> None:
    base = tiny.sdxl(tmp_path / "model")
    request = SampleRequest("a red thing", "", 32, 32, 42, 4.0, 2, "euler")
    pictures = []
    for zeros in (True, False):
        index = json.loads((base / "model_index.json").read_text(encoding="utf-8"))
        index["force_zeros_for_empty_prompt"] = zeros
        (base / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
        pictures.append(np.asarray(sdxl.sample(loaded(tmp_path, base), [request])[0]))
    assert not np.array_equal(*pictures)


def test_the_model_is_told_heights_before_widths() -> None:
    frame = Frame(original=(1600, 900), place=(30, 4), shown=(1344, 768))
    assert sdxl.sizes([frame]).tolist() == [[900, 1600, 4, 30, 768, 1344]]


def test_the_second_encoder_learns_at_its_own_rate_where_one_is_given(
    tmp_path: pathlib.Path, tiny_sdxl: pathlib.Path
) -> None:
    rates = []
    for second in (0, 0.002):
        training = {"text_encoder_learning_rate": 0.003, "text_encoder_2_learning_rate": second, "learning_rate": 0.01}
        values = {"model": {"family": "sdxl", "base": str(tiny_sdxl)}, "training": training}
        job = tiny.job(tmp_path, tiny_sdxl, values)
        rates.append([part.learning_rate for part in sdxl.load(job, device.pick(job.training)).components])
    assert rates == [[0.01, 0.003, 0.003], [0.01, 0.003, 0.002]]


def of_full_size() -> dict[str, nn.Module]:
    """The models by the shipped configs, without any memory for weights."""

    def config(part: str) -> dict[str, object]:
        return json.loads((sources.CONFIGS / "sdxl" / part / "config.json").read_text(encoding="utf-8"))

    with torch.device("meta"):
        return {
            "unet": UNet2DConditionModel.from_config(config("unet")),
            "vae": AutoencoderKL.from_config(config("vae")),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**config("text_encoder"))),
            "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**config("text_encoder_2"))),
        }


@pytest.mark.full_size
def test_a_step_at_full_size(tmp_path: pathlib.Path) -> None:
    for name, model in of_full_size().items():
        model.bfloat16().to_empty(device="cpu")
        for tensor in model.state_dict().values():
            tensor.normal_(std=0.02) if tensor.is_floating_point() else tensor.copy_(torch.arange(77))
        model.save_pretrained(tmp_path / "model" / name)
        model.to_empty(device="meta")
    base = tiny.sdxl_without_models(tmp_path / "model")
    clip("").save_pretrained(base / "tokenizer")
    clip("", "!").save_pretrained(base / "tokenizer_2")
    tiny.pictures(tmp_path / "data", 1, (256, 256))
    changes = {
        "model": {"family": "sdxl", "base": str(base)},
        "dataset": {"resolution": 256},
        "training": {"steps": 1, "epochs": 0, "precision": "bf16", "gradient_checkpointing": True},
        "adapter": {"rank": 4, "alpha": 4},
    }
    run = folder.create(tmp_path / "out", "tiny")
    told: list[events.Event] = []
    train(tiny.job(tmp_path, base, changes), run, told.append)
    assert isinstance(told[-1], events.Finished)
    names = load_file(run.path / told[-1].file)
    assert sum(name.endswith(".alpha") for name in names) == 722 + 72 + 192


def test_at_full_size_there_are_as_many_parameters_and_layers_as_published() -> None:
    """As many layers as sd-scripts adapts: 722 of the UNet, 66 more with convolutions, 72 and 192 of the encoders."""
    models = of_full_size()
    counts = {name: sum(parameter.numel() for parameter in model.parameters()) for name, model in models.items()}
    assert counts == {
        "unet": 2_567_463_684,
        "vae": 83_653_863,
        "text_encoder": 123_060_480,
        "text_encoder_2": 694_659_840,
    }
    unet = unet_component(models["unet"], 1e-4)
    assert [len(places(unet, Adapter(type=kind))) for kind in ("lora", "locon")] == [722, 788]
    for name, count in (("text_encoder", 72), ("text_encoder_2", 192)):
        assert len(places(text_component(name, models[name], 1e-4), Adapter())) == count
