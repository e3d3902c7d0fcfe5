"""What latent diffusion models with one CLIP text encoder have in common: Stable Diffusion 1.x and 2.x.

Functions over `ClipDiffusion`; the families' files choose among them.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from trainer.engine import denoising
from trainer.engine.device import Device
from trainer.engine.draw import Draw
from trainer.engine.pieces import WHOLE
from trainer.families import blocks, latent_diffusion
from trainer.families.base import Batch, Cached, Component, Onward, SampleRequest, no_matter
from trainer.families.clip_text import joined, text_component, text_model, tokens
from trainer.families.latent_diffusion import Conditions, Loaded, borrowed, unet_component
from trainer.job.settings import Job, Training
from trainer.job.trouble import Trouble


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
        return latent_diffusion.predicted(self.schedule)

    @property
    def zero_terminal_snr(self) -> bool:
        """As the noise schedule says."""
        return bool(self.schedule["rescale_betas_zero_snr"])

    @property
    def picture_encoder(self) -> nn.Module:
        """The VAE."""
        return self.vae

    @property
    def models(self) -> Mapping[str, nn.Module]:
        """The denoiser and the text encoder."""
        return {"unet": self.unet, "text_encoder.text_model": text_model(self.text_encoder)}

    @property
    def components(self) -> tuple[Component, ...]:
        """The denoiser and, if it is to learn, the text encoder."""
        unet = unet_component(self.unet, self.training.learning_rate)
        unet = dataclasses.replace(unet, block_of=blocks.sd, block_rates=self.training.block_learning_rates)
        if not self.training.text_encoder:
            return (unet,)
        rate = self.training.text_encoder_learning_rate
        return (unet, text_component("text_encoder.text_model", text_model(self.text_encoder), rate))


def assemble(loaded: Loaded, job: Job, device: Device, clip_skip: int) -> ClipDiffusion:
    """The frozen model on the device.

    Raises Trouble when the text encoder has fewer layers than `clip_skip`.
    """
    (text_encoder,), (tokenizer,) = loaded.text_encoders, loaded.tokenizers
    layers = text_encoder.config.num_hidden_layers
    if clip_skip > layers:
        raise Trouble("clip_skip_deep", clip_skip=clip_skip, layers=layers)
    latent_diffusion.prepare(loaded, job, device)
    schedule, alphas = latent_diffusion.noise_schedule(loaded.schedule, job.model)
    models = (loaded.unet, loaded.vae, text_encoder, tokenizer)
    parts = ClipDiffusion(*models, alphas.to(device.torch), schedule, clip_skip, job.training, device)
    denoising.refuse(job.training, parts.prediction, parts.zero_terminal_snr)
    return parts


def encode(parts: ClipDiffusion, items: Sequence[Image.Image | str]) -> list[Cached]:
    """Of pictures (of one size) "latent" [2·C, h, w]: mean, deviation; of captions "states" [tokens, width]."""
    return latent_diffusion.encode(parts, items, lambda captions: {"states": text_states(parts, captions)})


def text_states(parts: ClipDiffusion, captions: Sequence[str]) -> Tensor:
    """[B, tokens, width]: the last layer's states, or with CLIP skip n those of the n-th from the end, normalised."""
    most = parts.training.caption_tokens
    numbers = tokens(parts.tokenizer, captions, parts.device.torch, most)
    with borrowed(parts.text_encoder, parts.device.torch):
        if parts.clip_skip == 1:
            return joined(parts.text_encoder(numbers).last_hidden_state, most)
        states = parts.text_encoder(numbers, output_hidden_states=True).hidden_states[-parts.clip_skip]
        return joined(text_model(parts.text_encoder).final_layer_norm(states), most)


def settle(parts: ClipDiffusion, texts_encoded: bool) -> None:
    """Moves the VAE to the CPU, and the text encoder where no step will need it."""
    latent_diffusion.settle(parts, (parts.text_encoder,) if texts_encoded else ())


def loss(parts: ClipDiffusion, batch: Batch, draw: Draw, rows: slice = WHOLE) -> Tensor:
    """The loss of the predicted noise (or velocity), as the settings measure and weigh it, of some pictures."""
    return latent_diffusion.loss(parts, batch, draw, functools.partial(_told, parts), rows)


def _told(parts: ClipDiffusion, batch: Batch) -> Conditions:
    if batch.texts is None:
        return Conditions(text_states(parts, batch.captions))
    return Conditions(batch.texts["states"].to(parts.device.torch))


def sample(
    parts: ClipDiffusion, requests: Sequence[SampleRequest], onward: Onward = no_matter
) -> list[Image.Image]:
    """The pictures asked for; those alike in size, steps, guidance and sampler are drawn together as memory allows."""
    return latent_diffusion.sample(parts, requests, functools.partial(_asked, parts), onward)


def _asked(parts: ClipDiffusion, requests: Sequence[SampleRequest], guided: bool) -> Conditions:
    states = text_states(parts, [request.text for request in requests])
    if guided:
        states = torch.cat([text_states(parts, [request.negative for request in requests]), states])
    return Conditions(states)
