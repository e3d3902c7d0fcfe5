"""Where the models of a CLIP diffusion family come from: the starter, a diffusers folder, a hub id or a single file."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiffusionPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import CLIPTokenizer
from transformers.utils import logging

from trainer.families.latent_diffusion import ZERO_SNR, Loaded
from trainer.families.tokenizers import clip
from trainer.job import vae_files
from trainer.job.base_model import BaseModel, describe
from trainer.job.facts import FAMILIES
from trainer.job.settings import Model
from trainer.job.trouble import Trouble, first_line
from trainer.job.words import say

CONFIGS = pathlib.Path(__file__).parent / "configs"
_SCHEDULE_KEYS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "prediction_type",
    "steps_offset",
    "timestep_spacing",
    "rescale_betas_zero_snr",
)
# Text encoders as older anime models name them (A1111, sd_models.py: checkpoint_dict_replacements_sd1), and those of
# 2.x in the way of XL (ComfyUI, supported_models.py).
_OLD_NAMES = (
    (
        re.compile(r"^(cond_stage_model\.transformer\.|conditioner\.embedders\.0\.transformer\.)(?!text_model\.)"),
        r"\1text_model.",
    ),
    (re.compile(r"^conditioner\.embedders\.0\.model\."), "cond_stage_model.model."),
)
_BETAS = ("linear", "scaled_linear")
_PREDICTIONS = ("epsilon", "v_prediction")


@dataclasses.dataclass(frozen=True)
class TextSource:
    """Where a text encoder lies in a diffusers folder, its class, and what captions are padded with ("": the end)."""

    name: str
    tokenizer: str
    model: Any
    pad_token: str = ""


def load(model: Model, texts: Sequence[TextSource], dtype: torch.dtype = torch.float32) -> Loaded:
    """The models that `model.base` refers to, in `dtype` (the VAE in float32) on the CPU.

    Raises Trouble when they cannot be had.
    """
    logging.disable_progress_bar()  # it would count the tensors of a file
    base = describe(model.base, model.family)
    if base.kind == "missing" and os.path.isabs(os.path.expanduser(model.base)):
        raise Trouble("model_gone", base=model.base)
    if base.problem:
        raise Trouble("model_load", base=model.base, reason=base.problem, family=FAMILIES[model.family].label)
    if base.path is None:
        raise Trouble("model_not_here", base=model.base)
    try:
        if base.path.is_file():
            loaded = _from_file(base.path, model, texts, dtype)
            loaded.schedule.update(_told_by_file(base))
        else:
            loaded = _from_folder(str(base.path), texts, dtype)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise Trouble(
            "model_load", base=model.base, reason=first_line(error), family=FAMILIES[model.family].label
        ) from error
    return dataclasses.replace(loaded, vae=_own_vae(model, loaded.vae)) if model.vae else loaded


def _told_by_file(base: BaseModel) -> dict[str, Any]:
    """What the noise schedule of a single file has in place of its family's usual one."""
    predictions = {"epsilon": "epsilon", "v": "v_prediction"}
    told = {"prediction_type": predictions[base.prediction]} if base.prediction else {}
    return told | (ZERO_SNR if base.zero_terminal_snr else {})


def _own_vae(model: Model, usual: AutoencoderKL) -> AutoencoderKL:
    """The VAE that takes the place of the `usual` one. Raises Trouble."""
    label = FAMILIES[model.family].label
    if problem := vae_files.problem(model.vae):
        raise Trouble("vae_load", vae=model.vae, reason=problem, family=label)
    path = vae_files.place(model.vae)
    if path is None:
        raise Trouble("vae_not_here", vae=model.vae)
    try:
        found = _vae(path, model.family)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise Trouble("vae_load", vae=model.vae, reason=first_line(error), family=label) from error
    for name in ("latent_channels", "scaling_factor"):
        value, wanted = found.config[name], usual.config[name]
        if value != wanted:
            reason = say("vae_other", name=name, value=value, wanted=wanted)
            raise Trouble("vae_load", vae=model.vae, reason=reason, family=label)
    return found


def _vae(path: pathlib.Path, family: str) -> AutoencoderKL:
    if path.is_file():
        config = {"config": str(CONFIGS / family), "subfolder": "vae", "local_files_only": True}
        return AutoencoderKL.from_single_file(load_file(path), dtype=torch.float32, **config)
    return _whole_or_fp16(AutoencoderKL, str(path), "", torch.float32)


def _from_folder(folder: str, texts: Sequence[TextSource], dtype: torch.dtype) -> Loaded:
    return Loaded(
        _whole_or_fp16(UNet2DConditionModel, folder, "unet", dtype),
        _whole_or_fp16(AutoencoderKL, folder, "vae", torch.float32),
        tuple(_whole_or_fp16(text.model, folder, text.name, dtype) for text in texts),
        tuple(CLIPTokenizer.from_pretrained(folder, subfolder=text.tokenizer) for text in texts),
        _schedule(folder),
        _index(folder),
    )


def _whole_or_fp16(kind: Any, folder: str, subfolder: str, dtype: torch.dtype) -> Any:
    common = {"subfolder": subfolder, "use_safetensors": True, "dtype": dtype}
    # Many published models hold only the fp16 variant of their files.
    try:
        return kind.from_pretrained(folder, **common)
    except OSError as whole_missing:
        try:
            return kind.from_pretrained(folder, variant="fp16", **common)
        except (OSError, ValueError):
            raise whole_missing from None


def _index(folder: str) -> dict[str, Any]:
    try:
        return dict(DiffusionPipeline.load_config(folder))
    except OSError:
        return {}


def _schedule(folder: str, subfolder: str = "scheduler") -> dict[str, Any]:
    config = DDIMScheduler.load_config(folder, subfolder=subfolder)
    for name, known in (("beta_schedule", _BETAS), ("prediction_type", _PREDICTIONS)):
        if config.get(name, known[0]) not in known:
            raise Trouble("schedule_unknown", name=name, value=config[name])
    kept = {key: config[key] for key in _SCHEDULE_KEYS if key in config}
    return {**kept, "clip_sample": False, "set_alpha_to_one": False}


def _usual_name(name: str) -> str:
    for old, new in _OLD_NAMES:
        name = old.sub(new, name, count=1)
    return name


def _from_file(path: pathlib.Path, model: Model, texts: Sequence[TextSource], dtype: torch.dtype) -> Loaded:
    configs = str(CONFIGS / model.family)
    checkpoint = {_usual_name(name): tensor for name, tensor in load_file(path).items()}
    text_encoders = tuple(
        create_diffusers_clip_model_from_ldm(
            text.model,
            checkpoint,
            subfolder=text.name,
            config=configs,
            torch_dtype=dtype,
            local_files_only=True,
        )
        for text in texts
    )
    common = {"config": configs, "local_files_only": True}
    unet = UNet2DConditionModel.from_single_file(checkpoint, subfolder="unet", dtype=dtype, **common)
    vae = AutoencoderKL.from_single_file(checkpoint, subfolder="vae", dtype=torch.float32, **common)
    tokenizers = tuple(clip(model.tokenizer, *([text.pad_token] if text.pad_token else ())) for text in texts)
    return Loaded(unet, vae, text_encoders, tokenizers, _schedule(configs), _index(configs))
