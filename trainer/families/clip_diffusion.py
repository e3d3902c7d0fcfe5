"""What latent diffusion models with one CLIP text encoder have in common: Stable Diffusion 1.x and 2.x.

Functions over `ClipDiffusion`; the families' files choose among them.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

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
from transformers import CLIPTextModel, CLIPTokenizer

from trainer.engine import denoising, objective
from trainer.engine.device import Device
from trainer.engine.draw import Draw
from trainer.families import blocks
from trainer.families.base import Batch, Component, SampleRequest
from trainer.job.settings import Job, Training
from trainer.job.trouble import Trouble

UNET_BLOCKS = frozenset({"Transformer2DModel"})
UNET_CONV_BLOCKS = frozenset({"ResnetBlock2D", "Downsample2D", "Upsample2D"})
UNET_ATTENTION, UNET_MLP = frozenset({"Attention"}), frozenset({"FeedForward"})
TEXT_ATTENTION, TEXT_MLP = frozenset({"CLIPAttention"}), frozenset({"CLIPMLP"})
TEXT_BLOCKS = TEXT_ATTENTION | TEXT_MLP
_SAMPLED_TOGETHER_PX = 2 * 512 * 512


@dataclasses.dataclass(frozen=True)
class ClipDiffusion:
    """A loaded model. `alphas` are ᾱ [T]; `schedule` is the noise schedule's config; `clip_skip` counts from 1."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    alphas: Tensor
    schedule: dict[str, Any]
    clip_skip: int
    training: Training
    device: Device

    @property
    def prediction(self) -> str:
        """ "epsilon" or "v"."""
        return "v" if self.schedule["prediction_type"] == "v_prediction" else "epsilon"

    @property
    def picture_encoder(self) -> nn.Module:
        """The VAE."""
        return self.vae

    @property
    def components(self) -> tuple[Component, ...]:
        """The denoiser and, if it is to learn, the text encoder."""
        unet = unet_component(self.unet, self.training.learning_rate)
        unet = dataclasses.replace(unet, block_of=blocks.sd, block_rates=self.training.block_learning_rates)
        if not self.training.text_encoder:
            return (unet,)
        module = text_model(self.text_encoder)
        rate = self.training.text_encoder_learning_rate
        return (unet, text_component("text_encoder.text_model", module, rate))


def unet_component(module: nn.Module, learning_rate: float) -> Component:
    """The denoiser as something to adapt."""
    return Component("unet", module, UNET_BLOCKS, UNET_CONV_BLOCKS, learning_rate, UNET_ATTENTION, UNET_MLP)


def text_component(name: str, module: nn.Module, learning_rate: float) -> Component:
    """A CLIP text encoder as something to adapt."""
    return Component(name, module, TEXT_BLOCKS, frozenset(), learning_rate, TEXT_ATTENTION, TEXT_MLP)


@dataclasses.dataclass(frozen=True)
class Loaded:
    """The models of a checkpoint before they are frozen and moved."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    schedule: dict[str, Any]


def assemble(loaded: Loaded, job: Job, device: Device, clip_skip: int) -> ClipDiffusion:
    """The frozen model on the device; the VAE stays in float32 because it overflows in half precision.

    Raises Trouble when the text encoder has fewer layers than `clip_skip`.
    """
    layers = loaded.text_encoder.config.num_hidden_layers
    if clip_skip > layers:
        raise Trouble("clip_skip_deep", clip_skip=clip_skip, layers=layers)
    for module in (loaded.unet, loaded.vae, loaded.text_encoder):
        module.requires_grad_(False)
        module.eval()
    # nn.Module's own: diffusers' `to` warns of modules that must stay in float32 even where there are none.
    nn.Module.to(loaded.unet, device.torch, device.dtype)
    nn.Module.to(loaded.text_encoder, device.torch, device.dtype)
    nn.Module.to(loaded.vae, device.torch, torch.float32)
    if job.training.gradient_checkpointing:
        loaded.unet.enable_gradient_checkpointing()
        if job.training.text_encoder:
            # transformers 5.2x renamed it and warns of the old name.
            encoder: Any = loaded.text_encoder
            getattr(encoder, "activation_checkpointing_enable", encoder.gradient_checkpointing_enable)()
    schedule = dict(loaded.schedule)
    if job.model.prediction != "auto":
        schedule["prediction_type"] = "v_prediction" if job.model.prediction == "v" else "epsilon"
    schedule.setdefault("prediction_type", "epsilon")
    alphas = objective.cumulative_alphas(
        schedule["num_train_timesteps"], schedule["beta_start"], schedule["beta_end"], schedule["beta_schedule"]
    )
    models = (loaded.unet, loaded.vae, loaded.text_encoder, loaded.tokenizer)
    parts = ClipDiffusion(*models, alphas.to(device.torch), schedule, clip_skip, job.training, device)
    denoising.refuse(job.training, parts.prediction)
    return parts


def text_model(encoder: CLIPTextModel) -> nn.Module:
    """The module with `embeddings`, `encoder` and `final_layer_norm`; transformers 5.6 dropped a wrapper around it."""
    return getattr(encoder, "text_model", encoder)


def encode(parts: ClipDiffusion, items: Sequence[Image.Image | str]) -> list[Tensor]:
    """Of pictures (of one size) [2·C, h, w] latent mean and deviation, unscaled; of captions [tokens, width]."""
    pictures = [item for item in items if isinstance(item, Image.Image)]
    captions = [item for item in items if isinstance(item, str)]
    found = iter(_encode_pictures(parts, pictures) if pictures else ())
    texts = iter(text_states(parts, captions).cpu() if captions else ())
    return [next(found) if isinstance(item, Image.Image) else next(texts) for item in items]


def _encode_pictures(parts: ClipDiffusion, pictures: Sequence[Image.Image]) -> Tensor:
    pixels = np.stack([np.asarray(picture, dtype=np.float32) for picture in pictures]) / 127.5 - 1
    with borrowed(parts.vae, parts.device.torch):
        latent = parts.vae.encode(torch.from_numpy(pixels).permute(0, 3, 1, 2).to(parts.device.torch)).latent_dist
    return torch.cat([latent.mean, latent.std], dim=1).cpu()


def text_states(parts: ClipDiffusion, captions: Sequence[str]) -> Tensor:
    """[B, tokens, width]: the last layer's states, or with CLIP skip n those of the n-th from the end, normalised."""
    tokens = parts.tokenizer(
        list(captions),
        padding="max_length",
        max_length=parts.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids.to(parts.device.torch)
    with borrowed(parts.text_encoder, parts.device.torch):
        if parts.clip_skip == 1:
            return parts.text_encoder(tokens).last_hidden_state
        states = parts.text_encoder(tokens, output_hidden_states=True).hidden_states[-parts.clip_skip]
        return text_model(parts.text_encoder).final_layer_norm(states)


def settle(parts: ClipDiffusion, texts_encoded: bool) -> None:
    """Moves the VAE to the CPU, and the text encoder where no step will need it."""
    parts.vae.to("cpu")
    if texts_encoded:
        parts.text_encoder.to("cpu")
    if parts.device.torch.type == "cuda":
        torch.cuda.empty_cache()


def loss(parts: ClipDiffusion, batch: Batch, draw: Draw) -> Tensor:
    """The loss of the predicted noise (or velocity), as the settings measure and weigh it."""
    device = parts.device
    mean, deviation = batch.pictures.to(device.torch).chunk(2, dim=1)
    x = (mean + deviation * draw.normal(mean.shape)) * parts.vae.config.scaling_factor
    made = denoising.noised(x, parts.alphas, draw, parts.training)
    texts = text_states(parts, batch.captions) if batch.texts is None else batch.texts.to(device.torch)
    predicted = parts.unet(made.noisy.to(device.dtype), made.steps, texts.to(device.dtype)).sample.float()
    return denoising.loss(predicted, made, batch, parts.training, parts.prediction)


@torch.no_grad()
def sample(parts: ClipDiffusion, requests: Sequence[SampleRequest]) -> list[Image.Image]:
    """The pictures asked for; those alike in size, steps, guidance and sampler are drawn together as memory allows."""
    pictures: dict[int, Image.Image] = {}
    for numbers in _alike(requests):
        drawn = _sample_alike(parts, [requests[number] for number in numbers])
        pictures.update(zip(numbers, drawn, strict=True))
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


def _sample_alike(parts: ClipDiffusion, requests: Sequence[SampleRequest]) -> list[Image.Image]:
    first, device = requests[0], parts.device
    texts = text_states(parts, [request.text for request in requests])
    if first.guidance > 1:
        texts = torch.cat([text_states(parts, [request.negative for request in requests]), texts])
    scheduler = _scheduler(first.sampler, parts.schedule)
    scheduler.set_timesteps(first.steps, device=device.torch)
    generators = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
    factor = 2 ** (len(parts.vae.config.block_out_channels) - 1)
    shape = (1, parts.vae.config.latent_channels, first.height_px // factor, first.width_px // factor)
    x = torch.cat([torch.randn(shape, generator=generator) for generator in generators]).to(device.torch)
    x = x * scheduler.init_noise_sigma
    random = {"generator": generators} if first.sampler == "euler_a" else {}
    for step in scheduler.timesteps:
        model_input = scheduler.scale_model_input(torch.cat([x, x]) if first.guidance > 1 else x, step)
        predicted = parts.unet(model_input.to(device.dtype), step, texts.to(device.dtype)).sample.float()
        if first.guidance > 1:
            without, with_text = predicted.chunk(2)
            predicted = without + first.guidance * (with_text - without)
        x = scheduler.step(predicted, step, x, **random).prev_sample
    return _decode(parts, x)


def _decode(parts: ClipDiffusion, x: Tensor) -> list[Image.Image]:
    with borrowed(parts.vae, parts.device.torch):
        pixels = torch.cat([parts.vae.decode(one[None].float() / parts.vae.config.scaling_factor).sample for one in x])
    values = (pixels / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
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
