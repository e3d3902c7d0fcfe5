"""The formulas, against their definitions."""

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

from trainer.engine import objective
from trainer.engine.draw import Draw
from trainer.engine.schedules import factor
from trainer.job.settings import Training

CPU = torch.device("cpu")


def test_stable_diffusions_schedule_has_its_known_ends() -> None:
    alphas = objective.cumulative_alphas(1000, 0.00085, 0.012, "scaled_linear")
    assert alphas[0].item() == pytest.approx(1 - 0.00085, abs=1e-6)
    assert alphas[-1].item() == pytest.approx(0.0047, abs=1e-4)


def test_picture_and_noise_come_back_from_noisy_picture_and_velocity() -> None:
    x, noise, alpha = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2), torch.tensor([0.1, 0.5, 0.9])
    noisy, v = objective.add_noise(x, noise, alpha), objective.velocity(x, noise, alpha)
    a = alpha.view(-1, 1, 1, 1)
    assert torch.allclose(a.sqrt() * noisy - (1 - a).sqrt() * v, x, atol=1e-5)
    assert torch.allclose((1 - a).sqrt() * noisy + a.sqrt() * v, noise, atol=1e-5)


def test_min_snr_leaves_hard_steps_alone_and_weakens_easy_ones() -> None:
    alpha = torch.tensor([0.5, 0.99])  # SNR 1 and 99
    assert objective.min_snr_weight(alpha, 5, "epsilon").tolist() == pytest.approx([1, 5 / 99], rel=1e-4)
    assert objective.min_snr_weight(alpha, 5, "v").tolist() == pytest.approx([0.5, 5 / 100], rel=1e-4)


def test_a_draw_depends_on_seed_step_and_part_alone() -> None:
    first = Draw(1, 2, 0, CPU).normal([4])
    assert torch.equal(first, Draw(1, 2, 0, CPU).normal([4]))
    for other in (Draw(2, 2, 0, CPU), Draw(1, 3, 0, CPU), Draw(1, 2, 1, CPU), Draw(2, 1, 0, CPU)):
        assert not torch.equal(first, other.normal([4]))


def test_draws_of_many_steps_are_normal_together() -> None:
    values = torch.cat([Draw(42, step, 0, CPU).normal([64]) for step in range(500)])
    assert abs(values.mean().item()) < 0.02
    assert values.std().item() == pytest.approx(1, abs=0.02)
    steps = torch.cat([Draw(42, step, 0, CPU).integers(1000, 8) for step in range(500)])
    assert steps.float().mean().item() == pytest.approx(500, abs=20)
    assert steps.min() < 10
    assert steps.max() > 989


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"schedule": "constant"}, [1, 1, 1, 1]),
        ({"schedule": "linear"}, [1, 0.75, 0.5, 0.25]),
        ({"schedule": "cosine"}, [1, 0.853553, 0.5, 0.146447]),
        ({"schedule": "cosine_with_restarts", "schedule_cycles": 2}, [1, 0.5, 1, 0.5]),
        ({"schedule": "polynomial", "schedule_power": 2.0}, [1, 0.5625, 0.25, 0.0625]),
        ({"schedule": "constant", "warmup_percent": 50}, [0.5, 1, 1, 1]),
        ({"schedule": "linear", "warmup_percent": 50}, [0.5, 1, 1, 0.5]),
        ({"schedule": "linear", "warmup_steps": 2}, [0.5, 1, 1, 0.5]),
        ({"schedule": "constant", "warmup_steps": 8}, [0.125, 0.25, 0.375, 0.5]),
        ({"schedule": "cosine_with_min_lr", "schedule_min_ratio": 0.2}, [1, 0.882843, 0.6, 0.317157]),
        ({"schedule": "cosine_annealing", "schedule_min_ratio": 0.2}, [1, 0.882843, 0.6, 0.317157]),
        ({"schedule": "cosine_annealing", "schedule_min_ratio": 0, "schedule_period_steps": 2}, [1, 0.5, 0, 0.5]),
        ({"schedule": "inverse_sqrt", "warmup_steps": 1}, [1, 1, 0.707107, 0.577350]),
        ({"schedule": "inverse_sqrt"}, [1, 0.999950, 0.999900, 0.999850]),
    ],
)
def test_schedules_multiply_the_rate_as_their_names_say(settings: dict[str, object], expected: list[float]) -> None:
    training = Training(**settings)  # type: ignore[arg-type]
    assert [factor(training, step, 4) for step in range(4)] == pytest.approx(expected, abs=1e-5)


def test_a_schedule_without_terminal_signal_is_that_of_diffusers() -> None:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alphas = objective.cumulative_alphas(1000, 0.00085, 0.012, "scaled_linear")
    found = objective.without_terminal_signal(alphas)
    assert found[-1] == 0
    assert torch.allclose(found, torch.cumprod(1 - rescale_zero_terminal_snr(betas), dim=0), atol=1e-6)


@pytest.mark.parametrize(("prediction", "weight"), [("epsilon", 1.0), ("v", 0.0)])
def test_min_snr_knows_a_weight_where_there_is_no_signal(prediction: str, weight: float) -> None:
    assert objective.min_snr_weight(torch.tensor([0.0]), 5.0, prediction).tolist() == [weight]
