"""Noise, targets and loss weights of diffusion training: pure functions of tensors.

x are latents [B, C, h, w], t time steps [B], alphas the cumulative products ᾱ [T] of the noise schedule.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

_LARGEST_SNR = 1000.0


def cumulative_alphas(steps: int, start: float, end: float, kind: str) -> Tensor:
    """ᾱ [T] of the "scaled_linear" (arXiv:2112.10752) or the "linear" (arXiv:2006.11239) schedule of `steps` betas."""
    if kind == "scaled_linear":
        betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float32) ** 2
    else:
        betas = torch.linspace(start, end, steps, dtype=torch.float32)
    return torch.cumprod(1 - betas, dim=0)


def without_terminal_signal(alphas: Tensor) -> Tensor:
    """ᾱ [T] changed so that the last is 0 and the first stays (Lin et al., arXiv:2305.08891, algorithm 1)."""
    roots = alphas.sqrt()
    return ((roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))).square()


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


def adaptive_offset(x: Tensor, strength: float, scale: float) -> Tensor:
    """The strength of the offset of each channel, `strength` + `scale`·|mean of x|, never below 0; [B, C, 1, 1].

    A picture that is bright or dark as a whole has a mean far from 0 and gets more of the offset (sd-scripts).
    """
    return (strength + scale * x.mean(dim=(2, 3), keepdim=True).abs()).clamp(min=0)


def pyramid_sizes(height: int, width: int, ratios: Iterable[float]) -> list[tuple[int, int]]:
    """The sizes of the layers of pyramid noise: divided by ratio⁰, ratio¹, …; ends with the first that is 1 wide."""
    sizes: list[tuple[int, int]] = []
    for level, ratio in enumerate(ratios):
        size = max(1, int(height / ratio**level)), max(1, int(width / ratio**level))
        sizes.append(size)
        if 1 in size:
            break
    return sizes


def pyramid_noise(noise: Tensor, layers: Sequence[Tensor], discount: float) -> Tensor:
    """`noise` plus each of `layers` [B, C, h', w'], enlarged and weighed discountⁿ, brought back to a deviation of 1.

    Multi-resolution noise: J. Whitaker, "Multi-resolution noise for diffusion model training", wandb.ai, 2023.
    """
    size = noise.shape[2:]
    for level, layer in enumerate(layers):
        noise = noise + discount**level * functional.interpolate(layer, size, mode="bilinear", align_corners=False)
    return noise / noise.std()


def perturbed_noise(noise: Tensor, other: Tensor, strength: float) -> Tensor:
    """ε + γ·ξ, shown to the model while ε stays its target (Ning et al., arXiv:2301.11706)."""
    return noise + strength * other


def huber(error: Tensor, c: Tensor) -> Tensor:
    """2c·(√(e² + c²) - c), with c [B]: pseudo-Huber, e² for e ≪ c and 2c·|e| for e ≫ c (arXiv:2403.16728)."""
    return c.view(-1, 1, 1, 1) * smooth_l1(error, c)


def smooth_l1(error: Tensor, c: Tensor) -> Tensor:
    """2·(√(e² + c²) - c), with c [B]: e²/c for e ≪ c and 2·|e| for e ≫ c (as `huber`, not weakened by a small c)."""
    c = c.view(-1, 1, 1, 1)
    return 2 * ((error.square() + c.square()).sqrt() - c)


def exponential_huber_c(steps: Tensor, of: int, least: float) -> Tensor:
    """c falling from 1 at time step 0 to `least` at step `of`: exp(t/T·ln least), [B] (arXiv:2403.16728)."""
    return (steps * (math.log(least) / of)).exp()


def snr_huber_c(alpha: Tensor, least: float) -> Tensor:
    """c = (1 - least)/(1 + σ)² + least with σ = √((1-ᾱ)/ᾱ), [B] (arXiv:2403.16728)."""
    sigma = ((1 - alpha) / alpha).sqrt()
    return (1 - least) / (1 + sigma).square() + least


def debiased_weight(alpha: Tensor, prediction: str) -> Tensor:
    """1/√SNR for ε (Yu et al., arXiv:2310.08442), 1/(SNR + 1) for v; [B], SNR taken as 1000 at most."""
    snr = _snr(alpha)
    return 1 / (snr + 1) if prediction == "v" else 1 / snr.sqrt()


def velocity_weight(alpha: Tensor) -> Tensor:
    """SNR/(SNR + 1), by which an error of v counts as the same error of ε; [B], SNR taken as 1000 at most.

    v = √ᾱ·ε - √(1-ᾱ)·x and x_t fix ε = √ᾱ·v + √(1-ᾱ)·x_t, so an error of v is 1/√ᾱ times that of ε (arXiv:2202.00512).
    """
    snr = _snr(alpha)
    return snr / (snr + 1)


def _snr(alpha: Tensor) -> Tensor:
    return (alpha / (1 - alpha)).clamp(max=_LARGEST_SNR)


def min_snr_weight(alpha: Tensor, gamma: float, prediction: str) -> Tensor:
    """min(SNR, γ) / SNR for ε, / (SNR + 1) for v; [B] (Hang et al., arXiv:2303.09556)."""
    snr = alpha / (1 - alpha)
    clipped = snr.clamp(max=gamma)
    # Without any signal it is 0 / 0, but 1 however little signal there is.
    return clipped / (snr + 1) if prediction == "v" else torch.where(snr > 0, clipped / snr, 1.0)
