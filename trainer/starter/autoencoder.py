"""The starter model's autoencoder: 128 px pictures to 16 × 16 latents of 8 channels."""

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from trainer.starter.course import Bench, Course
from trainer.starter.jumble import jumble
from trainer.starter.world import draw, random_scene

LATENT_CHANNELS = 8
KL_WEIGHT = 1e-4
LATENT_NOISE = 0.15
WORLD_SHARE = 0.5
WHOLE_PICTURES_SHARE = 0.1


def new_autoencoder() -> AutoencoderKL:
    """Returns an untrained autoencoder (about 3 M parameters)."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 64, 96, 128),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=128,
    ).to(memory_format=torch.channels_last)


def picture_tensor(pictures: list) -> Tensor:
    """Returns pictures as uint8 (n, 3, height, width)."""
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2).contiguous()


def as_signed(pictures: Tensor, device: torch.device) -> Tensor:
    """Returns uint8 pictures as floats from -1 to 1 on the device."""
    return (pictures.to(device).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def _crop(rng: np.random.Generator, size_px: int) -> object:
    """Returns a picture of that size: mostly a jumble, otherwise a piece of the world at its own scale."""
    if rng.random() > WORLD_SHARE:
        return jumble(rng, size_px)
    whole = draw(random_scene(rng), rng)
    if size_px == whole.width:
        return whole
    x, y = rng.integers(0, whole.width - size_px + 1, 2)
    return whole.crop((x, y, x + size_px, y + size_px))


def autoencoder_course(vae: AutoencoderKL, steps: int, bench: Bench) -> Course:
    """Returns the autoencoder's training: 64 px crops, then whole pictures at the end."""

    def batch(step: int) -> Tensor:
        rng = np.random.default_rng((1, step, bench.crew.rank))
        size_px, count = (64, 16) if step < steps * (1 - WHOLE_PICTURES_SHARE) else (128, 4)
        return picture_tensor([_crop(rng, size_px) for _ in range(max(1, count // bench.crew.size))])

    def loss(pictures: Tensor, generator: torch.Generator) -> Tensor:
        return reconstruction_loss(vae, as_signed(pictures, bench.device), generator)

    return Course("autoencoder", vae, batch, loss, steps, 1.2e-3, seed=1, half_on_cpu=True)


def reconstruction_loss(vae: AutoencoderKL, pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Returns how far the pictures come back changed, edges counted apart, plus a little KL."""
    posterior = vae.encode(pictures).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=generator).to(pictures.device)
    # Noise beyond the posterior's own teaches the decoder to forgive an imperfect denoiser.
    extra = torch.rand((len(pictures), 1, 1, 1), generator=generator).to(pictures.device) * LATENT_NOISE
    spread = posterior.mean.detach().float().std()
    latents = posterior.mean + (posterior.std**2 + (extra * spread) ** 2).sqrt() * noise
    back = vae.decode(latents).sample.float()
    across, down = (back.diff(dim=3) - pictures.diff(dim=3)), (back.diff(dim=2) - pictures.diff(dim=2))
    off = back - pictures
    kl = -0.5 * (1 + posterior.logvar - posterior.mean**2 - posterior.logvar.exp()).mean()
    return off.abs().mean() + F.mse_loss(back, pictures) + across.abs().mean() + down.abs().mean() + KL_WEIGHT * kl


@torch.no_grad()
def encode_pictures(vae: AutoencoderKL, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and standard deviation of the pictures' latents, unscaled."""
    device = next(vae.parameters()).device
    posterior = vae.encode(as_signed(pictures, device)).latent_dist
    return posterior.mean.cpu(), posterior.std.cpu()


@torch.no_grad()
def set_scaling_factor(vae: AutoencoderKL) -> float:
    """Sets and returns the factor that brings the latents of the world to a standard deviation of 1."""
    rng = np.random.default_rng(2)
    pictures = picture_tensor([draw(random_scene(rng), rng) for _ in range(128)])
    spread = torch.cat([encode_pictures(vae, part)[0] for part in pictures.split(16)]).std().item()
    vae.register_to_config(scaling_factor=round(1 / spread, 5))
    return float(vae.config.scaling_factor)
