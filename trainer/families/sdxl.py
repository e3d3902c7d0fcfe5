"""Stable Diffusion XL (arXiv:2307.01952): two text encoders, a pooled embedding, and the picture's size and crop."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from trainer.engine import denoising
from trainer.engine.device import Device
from trainer.engine.draw import Draw
from trainer.engine.pieces import WHOLE
from trainer.families import blocks, clip_text, latent_diffusion, sources
from trainer.families.base import Batch, Cached, Component, Frame, Onward, SampleRequest, no_matter
from trainer.families.latent_diffusion import Conditions, borrowed
from trainer.families.sources import TextSource
from trainer.job.settings import Job, Training

_TEXTS = (
    TextSource("text_encoder", "tokenizer", CLIPTextModel),
    TextSource("text_encoder_2", "tokenizer_2", CLIPTextModelWithProjection, "!"),
)


@dataclasses.dataclass(frozen=True)
class Sdxl:
    """A loaded model. `alphas` are ᾱ [T]; `schedule` is the noise schedule's config.

    `empty_is_zero`: where nothing is unwanted, samples are guided away from zeros instead of the text "".
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection]
    tokenizers: tuple[CLIPTokenizer, CLIPTokenizer]
    alphas: Tensor
    schedule: dict[str, Any]
    empty_is_zero: bool
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
        """The denoiser and the text encoders; the second one's projection is beside what is trained of it."""
        first, second = self.text_encoders
        text_models = {
            f"{source.name}.text_model": clip_text.text_model(encoder)
            for source, encoder in zip(_TEXTS, (first, second), strict=True)
        }
        return {"unet": self.unet, **text_models, _TEXTS[1].name: second}

    @property
    def components(self) -> tuple[Component, ...]:
        """The denoiser and, if they are to learn, the text encoders."""
        unet = latent_diffusion.unet_component(self.unet, self.training.learning_rate)
        unet = dataclasses.replace(unet, block_of=blocks.sdxl, block_rates=self.training.block_learning_rates)
        if not self.training.text_encoder:
            return (unet,)
        first = self.training.text_encoder_learning_rate
        rates = (first, self.training.text_encoder_2_learning_rate or first)
        modules = [clip_text.text_model(encoder) for encoder in self.text_encoders]
        names = [f"{source.name}.text_model" for source in _TEXTS]
        return (unet, *map(clip_text.text_component, names, modules, rates))


def load(job: Job, device: Device) -> Sdxl:
    """The frozen model on the device. Raises Trouble."""
    loaded = sources.load(job.model, _TEXTS, device.dtype)
    latent_diffusion.prepare(loaded, job, device)
    schedule, alphas = latent_diffusion.noise_schedule(loaded.schedule, job.model)
    models = (loaded.unet, loaded.vae, loaded.text_encoders, loaded.tokenizers)
    empty_is_zero = loaded.index.get("force_zeros_for_empty_prompt", True)
    parts = Sdxl(*models, alphas.to(device.torch), schedule, empty_is_zero, job.training, device)
    denoising.refuse(job.training, parts.prediction, parts.zero_terminal_snr)
    return parts


def encode(parts: Sdxl, items: Sequence[Image.Image | str]) -> list[Cached]:
    """Of pictures (of one size) "latent" [2·C, h, w] mean and deviation, unscaled; of captions what `texts` gives."""
    return latent_diffusion.encode(parts, items, functools.partial(texts, parts))


def texts(parts: Sdxl, captions: Sequence[str]) -> Cached:
    """ "states" [B, tokens, width], those before the last layer of both encoders; "pooled" [B, width] of the second."""
    device, most, found = parts.device.torch, parts.training.caption_tokens, []
    for encoder, tokenizer in zip(parts.text_encoders, parts.tokenizers, strict=True):
        with borrowed(encoder, device):
            found.append(encoder(clip_text.tokens(tokenizer, captions, device, most), output_hidden_states=True))
    states = torch.cat([clip_text.joined(output.hidden_states[-2], most) for output in found], dim=-1)
    # The model was trained with one embedding of one piece; Kohya's scripts take that of the first.
    return {"states": states, "pooled": found[1].text_embeds[:: most // clip_text.PIECE_TOKENS]}


def settle(parts: Sdxl, texts_encoded: bool) -> None:
    """Moves the VAE to the CPU, and the text encoders where no step will need them."""
    latent_diffusion.settle(parts, parts.text_encoders if texts_encoded else ())


def loss(parts: Sdxl, batch: Batch, draw: Draw, rows: slice = WHOLE) -> Tensor:
    """The loss of the predicted noise (or velocity), as the settings measure and weigh it, of some pictures."""
    return latent_diffusion.loss(parts, batch, draw, functools.partial(_told, parts), rows)


def _told(parts: Sdxl, batch: Batch) -> Conditions:
    said = texts(parts, batch.captions) if batch.texts is None else batch.texts
    return _conditions(parts, said, batch.frames)


def _conditions(parts: Sdxl, said: Cached, frames: Sequence[Frame]) -> Conditions:
    device = parts.device.torch
    added = {"text_embeds": said["pooled"].to(device), "time_ids": sizes(frames).to(device)}
    return Conditions(said["states"].to(device), added)


def sizes(frames: Sequence[Frame]) -> Tensor:
    """[B, 6] in px: each picture's own height and width, what is cut off above and left, and the height and width seen.

    These are the size, crop and target that the model was trained with (arXiv:2307.01952, section 2.2).
    """
    rows = [[*frame.original[::-1], *frame.place[::-1], *frame.shown[::-1]] for frame in frames]
    return torch.tensor(rows, dtype=torch.float32)


def sample(
    parts: Sdxl, requests: Sequence[SampleRequest], onward: Onward = no_matter
) -> list[Image.Image]:
    """The pictures asked for; those alike in size, steps, guidance and sampler are drawn together as memory allows."""
    return latent_diffusion.sample(parts, requests, functools.partial(_asked, parts), onward)


def _asked(parts: Sdxl, requests: Sequence[SampleRequest], guided: bool) -> Conditions:
    said = texts(parts, [request.text for request in requests])
    whole = [(request.width_px, request.height_px) for request in requests]
    frames = [Frame(size, (0, 0), size) for size in whole]
    if not guided:
        return _conditions(parts, said, frames)
    against = _unwanted(parts, [request.negative for request in requests])
    both = {name: torch.cat([against[name], said[name]]) for name in said}
    return _conditions(parts, both, [*frames, *frames])


def _unwanted(parts: Sdxl, negatives: Sequence[str]) -> Cached:
    said = texts(parts, negatives)
    if not parts.empty_is_zero:
        return said
    for row, negative in enumerate(negatives):
        for tensor in said.values() if not negative else ():
            tensor[row] = 0
    return said
