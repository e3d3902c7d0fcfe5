"""The starter model's text encoder and denoiser, and how they are trained on encoded pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import PNDMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from trainer.starter.autoencoder import LATENT_CHANNELS
from trainer.starter.course import Bench, Course, Crew
from trainer.starter.words import MAX_TOKENS
from trainer.starter.world import BACKGROUNDS, COLOURS, KINDS, PATTERNS, SIZES, STYLES, Scene, caption, random_scene

TEXT_WIDTH = 128
EMPTY_CAPTIONS_SHARE = 0.1
SNR_LIMIT = 5.0
STRONG_NOISE_POWER = 0.75
BATCH = 32
ATTRIBUTES = {
    "kind": KINDS,
    "colour": ("", *COLOURS),
    "background": tuple(BACKGROUNDS),
    "pattern": PATTERNS,
    "size": SIZES,
    "style": STYLES,
}


@dataclass(frozen=True)
class Encoded:
    """The scenes of the training pictures and their scaled latents, (n, 8, 16, 16)."""

    scenes: Sequence[Scene]
    latents: Tensor


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Returns an untrained CLIP text encoder of three layers (0.7 M parameters)."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def new_denoiser() -> UNet2DConditionModel:
    """Returns an untrained denoiser with Stable Diffusion 1.5's blocks and names, one layer a block (6.7 M weights)."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=(64, 64, 128, 128),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )


def new_scheduler() -> PNDMScheduler:
    """Returns the noise schedule of Stable Diffusion 1.5."""
    return PNDMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def tokens_of(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Returns the captions as token numbers, (n, 77)."""
    said = tokenizer(captions, padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    return said.input_ids


class Reader(nn.Module):
    """Tells a scene's attributes from the text encoder's states; thrown away after the warm-up.

    Each attribute looks at the states through a query of its own, as the denoiser's cross-attention will.
    """

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(ATTRIBUTES), TEXT_WIDTH) / TEXT_WIDTH**0.5)
        self.heads = nn.ModuleList(nn.Linear(TEXT_WIDTH, len(values)) for values in ATTRIBUTES.values())

    def forward(self, states: Tensor) -> list[Tensor]:
        """Returns the logits of every attribute."""
        looks = torch.softmax(torch.einsum("ad,ntd->nat", self.queries, states), -1)
        seen = torch.einsum("nat,ntd->nad", looks, states)
        return [head(seen[:, n]) for n, head in enumerate(self.heads)]


def text_course(text: CLIPTextModel, tokenizer: CLIPTokenizer, steps: int, bench: Bench) -> Course:
    """Returns the text encoder's warm-up: to tell from a caption what is in the picture."""
    reader = Reader().to(bench.device)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((4, step, bench.crew.rank))
        scenes = [random_scene(rng) for _ in range(64 // bench.crew.size)]
        wanted = [[values.index(getattr(scene, name)) for name, values in ATTRIBUTES.items()] for scene in scenes]
        return tokens_of(tokenizer, [caption(scene, rng) for scene in scenes]), torch.tensor(wanted)

    def loss(drawn: tuple[Tensor, Tensor], _: torch.Generator) -> Tensor:
        logits = reader(text(drawn[0].to(bench.device)).last_hidden_state)
        wanted = drawn[1].to(bench.device)
        return torch.stack([F.cross_entropy(each.float(), wanted[:, n]) for n, each in enumerate(logits)]).sum()

    return Course("text", nn.ModuleList([text, reader]), batch, loss, steps, 1e-3, seed=4, warm_up_steps=50)


def denoiser_course(parts: nn.ModuleDict, tokenizer: CLIPTokenizer, encoded: Encoded, steps: int, crew: Crew) -> Course:
    """Returns the training of the denoiser ("unet") together with the text encoder ("text")."""
    alphas = new_scheduler().alphas_cumprod

    def batch(step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((3, step, crew.rank))
        chosen = rng.integers(0, len(encoded.scenes), BATCH // crew.size)
        said = ["" if rng.random() < EMPTY_CAPTIONS_SHARE else caption(encoded.scenes[n], rng) for n in chosen]
        return encoded.latents[torch.from_numpy(chosen)], tokens_of(tokenizer, said)

    def loss(drawn: tuple[Tensor, Tensor], generator: torch.Generator) -> Tensor:
        return denoising_loss(parts, alphas, drawn, generator)

    return Course("denoiser", parts, batch, loss, steps, 2e-3, seed=3)


def denoising_loss(
    parts: nn.ModuleDict, alphas: Tensor, drawn: tuple[Tensor, Tensor], generator: torch.Generator
) -> Tensor:
    """Returns the epsilon loss with min-SNR weights (Hang et al. 2023, arXiv:2303.09556) and more for strong noise.

    Colours are settled under strong noise, where a wrong guess of the picture hardly shows in epsilon; without the
    second weight the text is followed very late.
    """
    device = next(parts.parameters()).device
    latents = drawn[0].float()
    noise = torch.randn(latents.shape, generator=generator)
    # One timestep in each of n equal spans, so that every batch sees all noise levels.
    at = ((torch.arange(len(latents)) + torch.rand(len(latents), generator=generator)) / len(latents) * 1000).long()
    alpha = alphas[at].view(-1, 1, 1, 1)
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    states = parts["text"](drawn[1].to(device)).last_hidden_state
    guess = parts["unet"](noisy.to(device), at.to(device), states).sample.float()
    snr = (alpha / (1 - alpha)).flatten().to(device)
    weight = snr.clamp(max=SNR_LIMIT) / snr * (1 + 1 / snr) ** STRONG_NOISE_POWER
    return ((guess - noise.to(device)).square().mean((1, 2, 3)) * weight).mean()
