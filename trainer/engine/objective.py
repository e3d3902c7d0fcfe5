"""Noise, targets and loss weights of diffusion training: pure functions of tensors.

x are latents [B, C, h, w], t time steps [B], alphas the cumulative products ᾱ [T] of the noise schedule.
"""

import torch
from torch import Tensor


def cumulative_alphas(steps: int, start: float, end: float, kind: str) -> Tensor:
    """ᾱ [T] of the "scaled_linear" (arXiv:2112.10752) or the "linear" (arXiv:2006.11239) schedule of `steps` betas."""
    if kind == "scaled_linear":
        betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float32) ** 2
    else:
        betas = torch.linspace(start, end, steps, dtype=torch.float32)
    return torch.cumprod(1 - betas, dim=0)


def add_noise(x: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    """x_t = √ᾱ·x + √(1-ᾱ)·ε, with ᾱ [B] (Ho et al., arXiv:2006.11239, eq. 4)."""
    alpha = alpha.view(-1, 1, 1, 1)
    return alpha.sqrt() * x + (1 - alpha).sqrt() * noise


def velocity(x: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    """v = √ᾱ·ε - √(1-ᾱ)·x (Salimans & Ho, arXiv:2202.00512, appendix D)."""
    alpha = alpha.view(-1, 1, 1, 1)
    return alpha.sqrt() * noise - (1 - alpha).sqrt() * x


def offset_noise(noise: Tensor, offset: Tensor, strength: float) -> Tensor:
    """Noise with a shift of each channel, `offset` [B, C, 1, 1] (crosslabs.org, "Diffusion with offset noise")."""
    return noise + strength * offset


def min_snr_weight(alpha: Tensor, gamma: float, prediction: str) -> Tensor:
    """min(SNR, γ) / SNR for ε, / (SNR + 1) for v; [B] (Hang et al., arXiv:2303.09556)."""
    snr = alpha / (1 - alpha)
    clipped = snr.clamp(max=gamma)
    return clipped / (snr + 1) if prediction == "v" else clipped / snr
