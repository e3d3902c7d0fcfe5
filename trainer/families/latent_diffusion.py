"""What models that draw in the latents of an autoencoder have in common, whatever tells them what to draw.

Functions over `LatentDiffusion`; a family says in `Conditions` what its denoiser is told.
"""

import contextlib
import dataclasses
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    UNet2DConditionModel,
)
from PIL import Image
from torch import Tensor, nn

from trainer.engine import denoising, objective
from trainer.engine.device import Device
from trainer.engine.draw import Draw
from trainer.engine.pieces import WHOLE
from trainer.families.base import Batch, Cached, Component, Onward, SampleRequest, checkpoint_gradients
from trainer.job.settings import Job, Model, Training

UNET_BLOCKS = frozenset({"Transformer2DModel"})
UNET_CONV_BLOCKS = frozenset({"ResnetBlock2D", "Downsample2D", "Upsample2D"})
UNET_ATTENTION, UNET_MLP = frozenset({"Attention"}), frozenset({"FeedForward"})
_SAMPLED_TOGETHER_PX = 2 * 512 * 512


ZERO_SNR: Mapping[str, Any] = types.MappingProxyType(
    # Samples have to begin where there is only noise, and the other spacings leave the last time step out.
    {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
)
"""What a noise schedule's config says that ends without any signal (arXiv:2305.08891)."""


@dataclasses.dataclass(frozen=True)
class Loaded:
    """The models of a checkpoint before they are frozen and moved.

    Of each text encoder its model and its tokenizer; `schedule` is the noise schedule's config and `index` that of the
    whole ({} where there is none).
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoders: tuple[nn.Module, ...]
    tokenizers: tuple[Any, ...]
    schedule: dict[str, Any]
    index: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What the denoiser is told of B pictures: text `states` [B, tokens, width] and what else it takes, [B, …] each."""

    states: Tensor
    added: Mapping[str, Tensor] | None = None


class LatentDiffusion(Protocol):
    """A loaded model. `alphas` are ᾱ [T]; `schedule` is the noise schedule's config."""

    @property
    def unet(self) -> UNet2DConditionModel: ...
    @property
    def vae(self) -> AutoencoderKL: ...
    @property
    def alphas(self) -> Tensor: ...
    @property
    def schedule(self) -> dict[str, Any]: ...
    @property
    def prediction(self) -> str: ...
    @property
    def training(self) -> Training: ...
    @property
    def device(self) -> Device: ...


Describe = Callable[[Sequence[SampleRequest], bool], Conditions]
"""The conditions of the pictures asked for; where the flag is set, after those of what is not to be in them."""


def prepare(loaded: Loaded, job: Job, device: Device) -> None:
    """Freezes the models and moves them; the VAE is never in float16, in which it overflows.

    The denoiser stays on the CPU until `settle`: what encodes pictures and captions then has the device for itself,
    without which XL would not fit on a card of 8 GB.
    """
    vae_dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[job.model.vae_precision]
    for module in (loaded.unet, loaded.vae, *loaded.text_encoders):
        module.requires_grad_(False)
        module.eval()
        # nn.Module's own: diffusers' `to` warns of modules that must stay in float32 even where there are none.
        nn.Module.to(module, dtype=vae_dtype if module is loaded.vae else device.dtype)
    for module in (loaded.vae, *loaded.text_encoders):
        nn.Module.to(module, device.torch)
    if job.training.gradient_checkpointing:
        for module in (loaded.unet, *(loaded.text_encoders if job.training.text_encoder else ())):
            checkpoint_gradients(module)


def noise_schedule(config: Mapping[str, Any], model: Model) -> tuple[dict[str, Any], Tensor]:
    """The noise schedule's config with what the settings say in its place, and its ᾱ [T]."""
    schedule = {"prediction_type": "epsilon", "rescale_betas_zero_snr": False, **config}
    if model.prediction != "auto":
        schedule["prediction_type"] = "v_prediction" if model.prediction == "v" else "epsilon"
    if model.zero_terminal_snr != "auto":
        schedule |= ZERO_SNR if model.zero_terminal_snr == "on" else {"rescale_betas_zero_snr": False}
    alphas = objective.cumulative_alphas(
        schedule["num_train_timesteps"], schedule["beta_start"], schedule["beta_end"], schedule["beta_schedule"]
    )
    return schedule, objective.without_terminal_signal(alphas) if schedule["rescale_betas_zero_snr"] else alphas


def predicted(schedule: Mapping[str, Any]) -> str:
    """What a model of this noise schedule predicts: "epsilon" or "v"."""
    return "v" if schedule["prediction_type"] == "v_prediction" else "epsilon"


def unet_component(module: nn.Module, learning_rate: float) -> Component:
    """The denoiser as something to adapt."""
    return Component("unet", module, UNET_BLOCKS, UNET_CONV_BLOCKS, learning_rate, UNET_ATTENTION, UNET_MLP)


def encode(
    parts: LatentDiffusion, items: Sequence[Image.Image | str], texts: Callable[[Sequence[str]], Cached]
) -> list[Cached]:
    """Of pictures (of one size) "latent" [2·C, h, w], mean and deviation, unscaled; of captions what `texts` makes."""
    pictures = [item for item in items if isinstance(item, Image.Image)]
    captions = [item for item in items if isinstance(item, str)]
    found = iter(unstacked({"latent": _latents(parts, pictures)}) if pictures else ())
    said = iter(unstacked(texts(captions)) if captions else ())
    return [next(found) if isinstance(item, Image.Image) else next(said) for item in items]


def unstacked(several: Cached) -> list[Cached]:
    """Of tensors [B, …] by name those of each item, on the CPU."""
    rows = zip(*(tensor.cpu() for tensor in several.values()), strict=True)
    return [dict(zip(several, row, strict=True)) for row in rows]


def _latents(parts: LatentDiffusion, pictures: Sequence[Image.Image]) -> Tensor:
    pixels = np.stack([np.asarray(picture, dtype=np.float32) for picture in pictures]) / 127.5 - 1
    with borrowed(parts.vae, parts.device.torch):
        shown = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(parts.device.torch, parts.vae.dtype)
        latent = parts.vae.encode(shown).latent_dist
    return torch.cat([latent.mean, latent.std], dim=1).float()


def settle(parts: LatentDiffusion, unneeded: Sequence[nn.Module]) -> None:
    """Moves the VAE to the CPU, and the other modules that no step will need; then the denoiser to the device."""
    for module in (parts.vae, *unneeded):
        module.to("cpu")
    if parts.device.torch.type == "cuda":
        torch.cuda.empty_cache()
    nn.Module.to(parts.unet, parts.device.torch)


def loss(
    parts: LatentDiffusion, batch: Batch, draw: Draw, told: Callable[[Batch], Conditions], rows: slice = WHOLE
) -> Tensor:
    """The loss of the predicted noise (or velocity), as the settings measure and weigh it, of some pictures of a batch.

    All are given noise, some kinds of which depend on the whole batch; that takes little memory.
    """
    mean, deviation = batch.pictures["latent"].to(parts.device.torch).chunk(2, dim=1)
    x = (mean + deviation * draw.normal(mean.shape)) * parts.vae.config.scaling_factor
    made, batch = denoising.noised(x, parts.alphas, draw, parts.training).of(rows), batch.of(rows)
    found = _denoised(parts, made.noisy, made.steps, told(batch))
    return denoising.loss(found, made, batch, parts.training, parts.prediction)


def _denoised(parts: LatentDiffusion, x: Tensor, steps: Tensor, told: Conditions) -> Tensor:
    """What the denoiser predicts of `x` [B, C, h, w], float32."""
    dtype = parts.device.dtype
    return parts.unet(x.to(dtype), steps, told.states.to(dtype), added_cond_kwargs=told.added).sample.float()


@torch.no_grad()
def sample(
    parts: LatentDiffusion, requests: Sequence[SampleRequest], describe: Describe, onward: Onward
) -> list[Image.Image]:
    """The pictures asked for; those alike in size, steps, guidance and sampler are drawn together as memory allows."""
    pictures: dict[int, Image.Image] = {}
    groups = list(_alike(requests))
    done, total = 0, sum(requests[numbers[0]].steps for numbers in groups)
    for numbers in groups:
        alike = [requests[number] for number in numbers]
        drawn = _sample_alike(parts, alike, describe, lambda step, before=done: onward(before + step, total))
        pictures.update(zip(numbers, drawn, strict=True))
        done += alike[0].steps
    return [pictures[number] for number in range(len(requests))]


def _alike(requests: Sequence[SampleRequest]) -> Iterator[list[int]]:
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, request in enumerate(requests):
        key = (request.width_px, request.height_px, request.steps, request.guidance, request.sampler)
        groups.setdefault(key, []).append(number)
    for (width, height, *_), numbers in groups.items():
        together = max(1, _SAMPLED_TOGETHER_PX // (width * height))
        for start in range(0, len(numbers), together):
            yield numbers[start : start + together]


def _sample_alike(
    parts: LatentDiffusion, requests: Sequence[SampleRequest], describe: Describe, onward: Callable[[int], object]
) -> list[Image.Image]:
    onward(0)
    first, device = requests[0], parts.device
    guided = first.guidance > 1
    told = describe(requests, guided)
    scheduler = _scheduler(first.sampler, parts.schedule)
    scheduler.set_timesteps(first.steps, device=device.torch)
    generators = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
    factor = 2 ** (len(parts.vae.config.block_out_channels) - 1)
    shape = (1, parts.vae.config.latent_channels, first.height_px // factor, first.width_px // factor)
    x = torch.cat([torch.randn(shape, generator=generator) for generator in generators]).to(device.torch)
    x = x * scheduler.init_noise_sigma
    random = {"generator": generators} if first.sampler == "euler_a" else {}
    for number, step in enumerate(scheduler.timesteps, 1):
        model_input = scheduler.scale_model_input(torch.cat([x, x]) if guided else x, step)
        found = _denoised(parts, model_input, step, told)
        if guided:
            without, with_text = found.chunk(2)
            found = without + first.guidance * (with_text - without)
        x = scheduler.step(found, step, x, **random).prev_sample
        onward(number)
    return _decode(parts, x)


def _decode(parts: LatentDiffusion, x: Tensor) -> list[Image.Image]:
    with borrowed(parts.vae, parts.device.torch):
        x = x.to(parts.vae.dtype) / parts.vae.config.scaling_factor
        pixels = torch.cat([parts.vae.decode(one[None]).sample for one in x])
    values = (pixels.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray((picture * 255).round().astype(np.uint8)) for picture in values]


def _scheduler(name: str, schedule: dict[str, Any]) -> Any:
    kinds: dict[str, Any] = {
        "ddim": DDIMScheduler,
        "euler": EulerDiscreteScheduler,
        "euler_a": EulerAncestralDiscreteScheduler,
        "dpmpp_2m": DPMSolverMultistepScheduler,
    }
    return kinds[name].from_config(schedule)


@contextlib.contextmanager
def borrowed(module: nn.Module, device: torch.device) -> Iterator[None]:
    """`module` on the device for as long as it is needed; back where it was afterwards."""
    home = next(module.parameters()).device
    # One process uses one card, and "cuda" is not equal to the "cuda:0" that a module on it answers.
    if home.type == device.type:
        yield
        return
    module.to(device)
    try:
        yield
    finally:
        module.to(home)
