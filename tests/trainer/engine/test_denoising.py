"""Which formula the settings choose, against values worked out by hand from the papers' formulas."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer.engine import denoising, objective
from trainer.engine.denoising import Noised
from trainer.engine.draw import Draw
from trainer.families.base import Batch
from trainer.job.settings import Training
from trainer.job.trouble import Trouble

CPU = torch.device("cpu")
ALPHAS = objective.cumulative_alphas(1000, 0.00085, 0.012, "scaled_linear")
X = torch.linspace(-1, 2, 2 * 4 * 8 * 8).view(2, 4, 8, 8)


def made(alpha: float = 0.5, step: int = 500) -> Noised:
    """Two noisy latents without noise, at one time step."""
    zero = torch.zeros(2, 1, 2, 2)
    return Noised(zero, zero, zero, torch.full((2,), step), torch.full((2,), alpha), 1000)


def of(error: float, noised: Noised, prediction: str = "epsilon", **settings: Any) -> float:
    """The loss of a prediction that is wrong by `error` everywhere."""
    batch = Batch({"latent": noised.x}, ("", ""), None)
    return denoising.loss(noised.noise + error, noised, batch, Training(**settings), prediction).item()


def test_a_default_job_takes_the_mean_square_and_nothing_else() -> None:
    noised = denoising.noised(X, ALPHAS, Draw(1, 2, 0, CPU), Training())
    draw = Draw(1, 2, 0, CPU)
    noise, steps = draw.normal(X.shape), draw.integers(1000, 2)
    assert torch.equal(noised.noise, noise)
    assert torch.equal(noised.noisy, objective.add_noise(X, noise, ALPHAS[steps]))
    predicted = torch.ones_like(X)
    expected = (predicted - noise).square().mean(dim=(1, 2, 3)).mean()
    assert torch.equal(
        denoising.loss(predicted, noised, Batch({"latent": X}, ("", ""), None), Training(), "epsilon"), expected
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"loss": "l2"}, 9.0),
        ({"loss": "l1"}, 3.0),
        # 2·0.4·(√(9 + 0.16) - 0.4) and the same without the leading 0.4
        ({"loss": "huber", "huber_schedule": "constant", "huber_c": 0.4}, 2.101239),
        ({"loss": "smooth_l1", "huber_schedule": "constant", "huber_c": 0.4}, 5.253098),
        # c = 4, so that √(9 + 16) = 5
        ({"loss": "huber", "huber_schedule": "constant", "huber_c": 0.5, "huber_scale": 8}, 8.0),
        ({"loss": "smooth_l1", "huber_schedule": "constant", "huber_c": 0.5, "huber_scale": 8}, 2.0),
        # half way, c = √0.16 = 0.4
        ({"loss": "smooth_l1", "huber_schedule": "exponential", "huber_c": 0.16}, 5.253098),
        # SNR 1 is σ = 1, so c = 0.9 / 4 + 0.1 = 0.325; √(9 + 0.105625) = 3.017553
        ({"loss": "smooth_l1", "huber_schedule": "snr", "huber_c": 0.1, "huber_scale": 8}, 5.385106),
    ],
)
def test_errors_are_measured_as_the_setting_says(settings: dict[str, Any], expected: float) -> None:
    assert of(3.0, made(), **settings) == pytest.approx(expected, abs=1e-5)


def test_huber_is_square_for_small_errors_and_straight_for_large_ones() -> None:
    c = torch.tensor([0.1])
    errors = torch.tensor([1e-3, 1e-2, 10.0, 100.0], dtype=torch.float64).view(1, 1, 2, 2)
    found = objective.huber(errors, c.double()).flatten().tolist()
    assert found[:2] == pytest.approx([1e-6, 1e-4], rel=0.01)
    assert found[2:] == pytest.approx([2 * 0.1 * 10, 2 * 0.1 * 100], rel=0.011)


@pytest.mark.parametrize(
    ("alpha", "prediction", "settings", "weight"),
    [
        (0.8, "epsilon", {"debiased_estimation": True}, 0.5),  # SNR 4
        (0.8, "v", {"debiased_estimation": True}, 0.2),
        (0.99999, "epsilon", {"debiased_estimation": True}, 1 / math.sqrt(1000)),
        (0.8, "v", {"scale_v_prediction_loss": True}, 0.8),
        (0.8, "epsilon", {"v_prediction_like_loss": 0.5}, 1 + 0.5 / 0.8),
        (0.8, "epsilon", {"v_prediction_like_loss": 1, "min_snr_gamma": 2}, 0.5 * (1 + 1 / 0.8)),
        (0.8, "v", {"min_snr_gamma": 2, "debiased_estimation": True}, 2 / 5 * 0.2),
    ],
)
def test_noise_levels_are_weighed(alpha: float, prediction: str, settings: dict[str, Any], weight: float) -> None:
    assert of(3.0, made(alpha), prediction, **settings) == pytest.approx(9 * weight, rel=1e-4)


def test_masks_and_weights_multiply() -> None:
    noised = made()
    predicted = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 2, 2).expand(2, 1, 2, 2)
    masks = torch.tensor([[1.0, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0]]).view(2, 1, 2, 2)
    batch = Batch({"latent": noised.x}, ("", ""), None, masks, torch.tensor([1.0, 0.25]))
    # (1 + 0.5·9) / 4 and a quarter of 16 / 4
    assert denoising.loss(predicted, noised, batch, Training(), "epsilon").item() == pytest.approx((1.375 + 1) / 2)


def noise_of(x: Tensor, step: int = 0, **settings: Any) -> Tensor:
    return denoising.noised(x, ALPHAS, Draw(7, step, 0, CPU), Training(**settings)).noise


def test_an_offset_shifts_each_channel_and_random_ones_less() -> None:
    plain = noise_of(X)
    shift = noise_of(X, noise_offset=0.5) - plain
    assert shift.std(dim=(2, 3)).max() < 1e-6
    ratios = [
        ((noise_of(X, step, noise_offset=0.5, noise_offset_random=True) - noise_of(X, step)).mean(dim=(2, 3)))
        / (noise_of(X, step, noise_offset=0.5) - noise_of(X, step)).mean(dim=(2, 3))
        for step in range(200)
    ]
    shares = torch.stack([ratio.mean() for ratio in ratios])
    assert max(ratio.std().item() for ratio in ratios) < 1e-3
    assert shares.min() > 0
    assert shares.max() < 1
    assert shares.mean().item() == pytest.approx(0.5, abs=0.06)


def test_an_adaptive_offset_grows_with_the_picture_and_is_never_negative() -> None:
    x = torch.stack([torch.full((1, 4, 4), -3.0), torch.zeros(1, 4, 4)])
    assert objective.adaptive_offset(x, 0.1, 0.05).flatten().tolist() == pytest.approx([0.25, 0.1])
    assert objective.adaptive_offset(x, 0.1, -0.05).flatten().tolist() == pytest.approx([0, 0.1])
    plain, offset = noise_of(x), noise_of(x, noise_offset=0.1)
    adaptive = noise_of(x, noise_offset=0.1, adaptive_noise_scale=0.05)
    assert torch.allclose((adaptive - plain)[0], 2.5 * (offset - plain)[0], atol=1e-5)
    assert torch.allclose(adaptive[1], offset[1], atol=1e-6)


def test_pyramid_noise_has_the_sizes_and_weights_of_its_levels() -> None:
    assert objective.pyramid_sizes(64, 48, [2.0] * 9) == [(64, 48), (32, 24), (16, 12), (8, 6), (4, 3), (2, 1)]
    assert objective.pyramid_sizes(64, 64, [3.0, 2.5, 4.0]) == [(64, 64), (25, 25), (4, 4)]
    noise, flat = torch.tensor([[-1.0, 1.0], [1.0, -1.0]]).view(1, 1, 2, 2), torch.full((1, 1, 1, 1), 4.0)
    found = objective.pyramid_noise(noise, [noise, flat], 0.5)
    # (1 + 1)·noise + 0.5·4 is 0 and 4, twice each: mean 2, deviation √(16 / 3)
    assert found.flatten().tolist() == pytest.approx([0, 4 / math.sqrt(16 / 3), 4 / math.sqrt(16 / 3), 0])


def test_multires_noise_is_noise_with_more_of_the_coarse() -> None:
    x = torch.zeros(8, 4, 32, 32)
    plain, many = noise_of(x), noise_of(x, multires_noise_levels=6, multires_noise_discount=0.6)
    assert many.std().item() == pytest.approx(1, abs=1e-4)
    assert many.mean(dim=(2, 3)).std() > 3 * plain.mean(dim=(2, 3)).std()


def test_perturbed_input_leaves_the_target_alone() -> None:
    plain = denoising.noised(X, ALPHAS, Draw(3, 0, 0, CPU), Training(min_timestep=500, max_timestep=501))
    settings = Training(min_timestep=500, max_timestep=501, input_perturbation=0.3)
    perturbed = denoising.noised(X, ALPHAS, Draw(3, 0, 0, CPU), settings)
    assert torch.equal(perturbed.noise, plain.noise)
    # ε + 0.3·ξ is scaled by √(1 - ᾱ), so ξ must come out with a deviation of 1
    other = (perturbed.noisy - plain.noisy) / (0.3 * math.sqrt(1 - ALPHAS[500]))
    assert other.std().item() == pytest.approx(1, abs=0.1)
    assert abs((other * plain.noise).mean().item()) < 0.15


def test_time_steps_stay_in_their_range() -> None:
    training = Training(min_timestep=200, max_timestep=204)
    steps = torch.cat([denoising.noised(X, ALPHAS, Draw(1, n, 0, CPU), training).steps for n in range(100)])
    assert sorted(set(steps.tolist())) == [200, 201, 202, 203]


def test_a_loss_that_does_not_suit_the_model_is_refused() -> None:
    denoising.refuse(Training(v_prediction_like_loss=0.5), "epsilon")
    denoising.refuse(Training(scale_v_prediction_loss=True), "v")
    with pytest.raises(Trouble, match="predicts v"):
        denoising.refuse(Training(v_prediction_like_loss=0.5), "v")
    with pytest.raises(Trouble, match="predicts epsilon"):
        denoising.refuse(Training(scale_v_prediction_loss=True), "epsilon")
