"""Length, learning rates and noise of an import, as Kohya's programs understand them."""

from typing import Any

import pytest

from tests.trainer.job.kohya_import.inputs import heading, imported, value
from trainer.job.fields import specs

# ---- the length ----


@pytest.mark.parametrize(
    ("given", "epochs", "steps", "decides"),
    [
        ({"epoch": 3, "max_train_epochs": "50", "max_train_steps": 1600}, 50, 0, "max_train_epochs"),
        ({"epoch": 3, "max_train_epochs": 0, "max_train_steps": "160"}, 0, 160, "max_train_steps"),
        ({"epoch": "3", "max_train_epochs": "", "max_train_steps": 0}, 3, 0, "epoch"),
        ({"epoch": 3.0}, 3, 0, "epoch"),
    ],
)
def test_kohyas_order_of_lengths_is_kept(given: dict[str, Any], epochs: int, steps: int, decides: str) -> None:
    made = imported(given)
    assert (value(made, "training.epochs"), value(made, "training.steps")) == (epochs, steps)
    assert heading(made, decides) == "taken"
    assert all(heading(made, key) in ("meaningless", "default") for key in given if key != decides)


def test_no_length_at_all_is_said() -> None:
    made = imported({"epoch": 0, "max_train_steps": 0})
    assert heading(made, "epoch") == "unsupported"
    assert value(made, "training.epochs") == specs()["training.epochs"].default


# ---- learning rates ----


@pytest.mark.parametrize(
    ("given", "rate", "text", "text_rate"),
    [
        ({"learning_rate": 1e-3, "unet_lr": 2e-4, "text_encoder_lr": 3e-5}, 2e-4, True, 3e-5),
        ({"learning_rate": 1e-3, "unet_lr": 2e-4, "text_encoder_lr": 0.0}, 2e-4, False, None),
        ({"learning_rate": "0.001", "unet_lr": 0, "text_encoder_lr": "0"}, 1e-3, True, 1e-3),
        ({"learning_rate": 1e-3}, 1e-3, True, 1e-3),
        ({"learning_rate": 1e-3, "unet_lr": "", "text_encoder_lr": None}, 1e-3, True, 1e-3),
        ({"learning_rate": 1e-3, "unet_lr": 0, "text_encoder_lr": 5e-5}, 1e-4, True, 5e-5),
        (
            {"unet_lr": 2e-4, "text_encoder_lr": 1e-4, "additional_parameters": "--network_train_unet_only"},
            2e-4,
            False,
            None,
        ),
        ("--learning_rate=1e-3 --network_dim=4", 1e-3, True, 1e-3),
        ("--learning_rate=1e-3 --unet_lr=0 --text_encoder_lr 1e-5 2e-5", 1e-3, True, 1e-5),
        ("--network_dim=4", 2e-6, True, 2e-6),
    ],
)
def test_rates_mean_what_they_mean_at_kohyas(given: object, rate: float, text: bool, text_rate: float | None) -> None:
    training = imported(given).job.training
    assert (training.learning_rate, training.text_encoder) == (rate, text)
    assert text_rate is None or training.text_encoder_learning_rate == text_rate


@pytest.mark.parametrize(
    ("given", "rate"), [({"text_encoder_lr": 1e-4}, 1e-4), ({"text_encoder_lr": 1, "optimizer": "Prodigy"}, 1.0)]
)
def test_a_denoiser_that_rests_is_left_out(given: dict[str, Any], rate: float) -> None:
    made = imported({"unet_lr": 0, **given})
    assert heading(made, "unet_lr") == "taken"
    training = made.job.training
    assert (training.block_learning_rates, training.text_encoder) == ([0, 0, 0], True)
    assert (training.learning_rate, training.text_encoder_learning_rate) == (rate, rate)


@pytest.mark.parametrize(
    ("given", "first", "second"),
    [
        ("--network_dim=4 --unet_lr 1e-4 --text_encoder_lr 1e-5 2e-5", 1e-5, 2e-5),
        ("--network_dim=4 --unet_lr 1e-4 --text_encoder_lr 1e-5", 1e-5, 0),
        ("--network_dim=4 --unet_lr 1e-4 --text_encoder_lr 1e-5 0", 1e-5, 1e-12),
        ("--network_dim=4 --unet_lr 1e-4 --text_encoder_lr 0 2e-5", 1e-12, 2e-5),
        ("--learning_rate 1e-4 --learning_rate_te1 1e-5 --learning_rate_te2 3e-5", 1e-5, 3e-5),
    ],
)
def test_two_text_encoders_have_a_rate_each(given: str, first: float, second: float) -> None:
    made = imported(f"python sdxl_train_network.py {given}")
    training = made.job.training
    assert training.text_encoder
    assert (training.text_encoder_learning_rate, training.text_encoder_2_learning_rate) == (first, second)
    assert not [one for one in made.under("unsupported") if "lr" in one.key or "rate" in one.key]


@pytest.mark.parametrize(("flags", "found"), [("--v_parameterization", "on"), ("", "auto")])
def test_a_schedule_without_terminal_signal_is_for_models_that_predict_v(flags: str, found: str) -> None:
    made = imported(f"python sdxl_train_network.py --zero_terminal_snr --vae own.safetensors {flags}")
    assert value(made, "model.zero_terminal_snr") == found
    assert heading(made, "--zero_terminal_snr") == ("taken" if flags else "unsupported")
    assert value(made, "model.vae") == "own.safetensors"


def test_an_optimizer_with_one_rate_gets_one() -> None:
    made = imported({"optimizer": "prodigy", "unet_lr": 1.0, "text_encoder_lr": 0.5})
    assert value(made, "training.text_encoder_learning_rate") == 1.0
    assert heading(made, "text_encoder_lr") == "unsupported"


def test_the_text_encoder_cannot_be_stopped_early() -> None:
    assert heading(imported({"stop_text_encoder_training": 50}), "stop_text_encoder_training") == "unsupported"
    assert heading(imported({"stop_text_encoder_training_pct": 0}), "stop_text_encoder_training_pct") == "default"
