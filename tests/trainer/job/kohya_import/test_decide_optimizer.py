"""The optimizer, its settings, and the schedule."""

import pytest

from tests.trainer.job.kohya_import.inputs import MIDDLE, MODERN, OLDEST, heading, imported, line, value
from trainer.job.fields import specs


@pytest.mark.parametrize(
    ("name", "found", "where"),
    [
        ("adamw8BIT", "AdamW8bit", "taken"),
        ("prodigyopt.Prodigy", "Prodigy", "taken"),
        ("transformers.optimization.Adafactor", "Adafactor", "taken"),
        ("torch.optim.AdamW", "AdamW", "default"),
        ("bitsandbytes.optim.AdEMAMix8bit", "AdamW8bit", "unsupported"),
        ("SomethingNew", "AdamW", "unsupported"),
    ],
)
def test_optimizers_are_found_by_any_name(name: str, found: str, where: str) -> None:
    made = imported({"optimizer": name})
    assert value(made, "training.optimizer") == found
    assert heading(made, "optimizer") == where


def test_the_oldest_switches_for_optimizers_are_read() -> None:
    assert value(imported({"use_8bit_adam": True}), "training.optimizer") == "AdamW8bit"
    assert value(imported({"use_8bit_adam": False}), "training.optimizer") == "AdamW"
    assert heading(imported(OLDEST), "use_8bit_adam") == "default"


def test_each_setting_of_an_optimizer_is_judged() -> None:
    made = imported(MIDDLE)
    arguments = value(made, "training.optimizer_args")
    assert (arguments["weight_decay"], arguments["betas"]) == (0.1, [0.9, 0.91])
    assert arguments["use_bias_correction"] is False, "the library's own, which Kohya leaves it to"
    assert heading(made, "optimizer_args: decouple") == "taken"
    assert heading(made, "optimizer_args: growth_rate") == "unsupported"
    assert "growth_rate" in line(made, "optimizer_args").verdict.why


def test_a_setting_that_cannot_be_is_left_out_and_said() -> None:
    made = imported({"optimizer": "AdamW", "optimizer_args": "betas=2,3 weight_decay=0.5 eps=x"})
    assert value(made, "training.optimizer_args") == {"weight_decay": 0.5}
    assert heading(made, "optimizer_args: betas") == heading(made, "optimizer_args: eps") == "unsupported"


@pytest.mark.parametrize(
    ("given", "percent", "steps"),
    [
        ({"lr_warmup": "10"}, 10, 0),
        ({"lr_warmup": 100}, 90, 0),
        ({"lr_warmup": 10, "lr_warmup_steps": 80, "max_train_steps": 1600}, 0, 80),
        ({"lr_warmup": 10, "lr_warmup_steps": 0}, 10, 0),
        ({"lr_warmup_steps": "", "lr_warmup": 0}, 0, 0),
        ("--lr_warmup_steps=0.05 --max_train_steps=100", 5, 0),
        ("--lr_warmup_steps=50 --max_train_steps=200", 0, 50),
    ],
)
def test_warm_up_is_a_share_or_a_number_of_steps(given: object, percent: float, steps: int) -> None:
    training = imported(given).job.training
    assert (training.warmup_percent, training.warmup_steps) == (percent, steps)


def test_restarts_without_a_number_are_as_many_as_epochs() -> None:
    made = imported(OLDEST)
    assert (value(made, "training.schedule"), value(made, "training.schedule_cycles")) == ("cosine_with_restarts", 12)


def test_a_cosine_of_a_given_length_is_kept() -> None:
    flags = '--lr_scheduler_type "CosineAnnealingLR" --lr_scheduler_args "T_max=1000" "eta_min=1e-5"'
    made = imported({"lr_scheduler": "cosine", "learning_rate": 1e-4, "additional_parameters": flags})
    training = made.job.training
    assert (training.schedule, training.schedule_period_steps) == ("cosine_annealing", 1000)
    assert training.schedule_min_ratio == pytest.approx(0.1)
    assert heading(made, "additional_parameters") == "taken"
    bare = imported({"lr_scheduler_type": "CosineAnnealingLR", "lr_scheduler_args": "T_max=50"}).job.training
    assert bare.schedule_min_ratio == 0


def test_schedules_that_there_are_not_become_the_nearest() -> None:
    assert value(imported(MODERN), "training.schedule") == "constant"
    made = imported({"lr_scheduler": "constant", "lr_scheduler_type": "LinearLR"})
    assert value(made, "training.schedule") == "linear"
    assert (heading(made, "lr_scheduler"), heading(made, "lr_scheduler_type")) == ("meaningless", "unsupported")


@pytest.mark.parametrize("betas", ["(0.9, 0.99)", "[0.9,0.99]", ".9,.99"])
def test_lists_in_optimizer_settings_are_read_as_python_writes_them(betas: str) -> None:
    made = imported({"optimizer": "AdamW", "optimizer_args": f'"betas={betas}"'})
    assert value(made, "training.optimizer_args") == {"betas": [0.9, 0.99]}
    assert line(made, "optimizer_args: betas").verdict.to == {"training.optimizer_args": {"betas": [0.9, 0.99]}}


@pytest.mark.parametrize("rate", ["$RATE", float("inf"), "fast"])
def test_a_learning_rate_that_is_none_is_not_called_taken_over(rate: object) -> None:
    made = imported({"learning_rate": rate})
    assert heading(made, "learning_rate") == "unsupported"
    assert value(made, "training.learning_rate") == specs()["training.learning_rate"].default
