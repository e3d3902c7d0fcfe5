"""What the settings make of noise and loss in diffusion training: the steps that families of this kind have in common.

The formulas are in objective.py; here is which of them are used, and every random number that they need.
"""

import dataclasses

import torch
from torch import Tensor

from trainer.engine import objective
from trainer.engine.draw import Draw
from trainer.families.base import Batch
from trainer.job.settings import Training
from trainer.job.trouble import Trouble


@dataclasses.dataclass(frozen=True)
class Noised:
    """Latents `x` made `noisy` by `noise` [B, C, h, w], at time `steps` [B], with their ᾱ `alpha` [B]."""

    x: Tensor
    noisy: Tensor
    noise: Tensor
    steps: Tensor
    alpha: Tensor
    schedule_steps: int

    def of(self, rows: slice) -> "Noised":
        """Some of them."""
        tensors = (self.x, self.noisy, self.noise, self.steps, self.alpha)
        return Noised(*(tensor[rows] for tensor in tensors), self.schedule_steps)

    def target(self, prediction: str) -> Tensor:
        """What a model that predicts "epsilon" or "v" should predict, [B, C, h, w]."""
        return objective.velocity(self.x, self.noise, self.alpha) if prediction == "v" else self.noise


def noised(x: Tensor, alphas: Tensor, draw: Draw, training: Training) -> Noised:
    """`x` with noise as the settings ask for; `alphas` [T] are those of the model's noise schedule."""
    noise = _noise(x, draw, training)
    low, high = _range(training, len(alphas))
    steps = draw.integers(high - low, len(x)) + low
    alpha = alphas[steps]
    noisy = objective.add_noise(x, _perturbed(noise, draw, training), alpha)
    return Noised(x, noisy, noise, steps, alpha, len(alphas))


def _noise(x: Tensor, draw: Draw, training: Training) -> Tensor:
    noise = draw.normal(x.shape)
    if training.noise_offset or training.adaptive_noise_scale:
        offset, strength = draw.normal([*x.shape[:2], 1, 1]), training.noise_offset
        if training.noise_offset_random:
            strength *= draw.share()
        if training.adaptive_noise_scale:
            noise = noise + objective.adaptive_offset(x, strength, training.adaptive_noise_scale) * offset
        else:
            noise = objective.offset_noise(noise, offset, strength)
    if training.multires_noise_levels:
        ratios = [2 + 2 * draw.share() for _ in range(training.multires_noise_levels)]
        sizes = objective.pyramid_sizes(x.shape[2], x.shape[3], ratios)
        layers = [draw.normal([*x.shape[:2], *size]) for size in sizes]
        noise = objective.pyramid_noise(noise, layers, training.multires_noise_discount)
    return noise


def _perturbed(noise: Tensor, draw: Draw, training: Training) -> Tensor:
    if not training.input_perturbation:
        return noise
    strength = training.input_perturbation * (draw.share() if training.input_perturbation_random else 1)
    return objective.perturbed_noise(noise, draw.normal(noise.shape), strength)


def _range(training: Training, steps: int) -> tuple[int, int]:
    """The first time step trained and the one after the last, in a schedule of `steps`."""
    high = min(training.max_timestep, steps)
    return min(training.min_timestep, high - 1), high


def loss(predicted: Tensor, made: Noised, batch: Batch, training: Training, prediction: str) -> Tensor:
    """The scalar loss of what a model that predicts "epsilon" or "v" has `predicted` [B, C, h, w] of `made`."""
    errors = _errors(predicted, made.target(prediction), made, training)
    if batch.masks is not None:
        errors = errors * batch.masks.to(errors.device)
    losses = errors.mean(dim=(1, 2, 3))
    if batch.weights is not None:
        losses = losses * batch.weights.to(losses.device)
    if training.min_snr_gamma:
        losses = losses * objective.min_snr_weight(made.alpha, training.min_snr_gamma, prediction)
    if training.scale_v_prediction_loss:
        losses = losses * objective.velocity_weight(made.alpha)
    if training.v_prediction_like_loss:
        losses = losses * (1 + training.v_prediction_like_loss / objective.velocity_weight(made.alpha))
    if training.debiased_estimation:
        losses = losses * objective.debiased_weight(made.alpha, prediction)
    return losses.mean()


def _errors(predicted: Tensor, target: Tensor, made: Noised, training: Training) -> Tensor:
    match training.loss:
        case "l1":
            return (predicted - target).abs()
        case "huber":
            return objective.huber(predicted - target, _huber_c(made, training))
        case "smooth_l1":
            return objective.smooth_l1(predicted - target, _huber_c(made, training))
        case _:
            return (predicted - target).square()


def _huber_c(made: Noised, training: Training) -> Tensor:
    match training.huber_schedule:
        case "exponential":
            return (
                objective.exponential_huber_c(made.steps, made.schedule_steps, training.huber_c) * training.huber_scale
            )
        case "snr":
            return objective.snr_huber_c(made.alpha, training.huber_c)
        case _:
            return torch.full_like(made.alpha, training.huber_c * training.huber_scale)


def refuse(training: Training, prediction: str, zero_terminal_snr: bool = False) -> None:
    """Raises Trouble when what is asked for cannot be had of a model with this prediction."""
    if zero_terminal_snr and prediction != "v":
        raise Trouble("zero_snr_needs_v")
    if training.v_prediction_like_loss and prediction == "v":
        raise Trouble("loss_needs_epsilon")
    if training.scale_v_prediction_loss and prediction != "v":
        raise Trouble("loss_needs_v")
