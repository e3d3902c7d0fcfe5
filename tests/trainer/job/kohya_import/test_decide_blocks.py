"""Blocks, LoRA+ and files to begin with, as sd-scripts reads them (networks/lora.py)."""

import math
from typing import Any

import pytest

from tests.trainer.job.kohya_import.inputs import heading, imported, line, value

RATES = "training.block_learning_rates"


def by_args(*given: str) -> str:
    return "accelerate launch train_network.py --network_dim=8 --network_args " + " ".join(f'"{one}"' for one in given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"down_lr_weight": "0,0,0,0,0,0,0,0,0,0,0,0", "mid_lr_weight": "1"}, [0, 1, 1]),
        ({"mid_lr_weight": "0"}, [1, 0, 1]),
        ({"mid_lr_weight": 0}, [1, 0, 1]),
        ({"up_lr_weight": "zeros"}, [1, 1, 0]),
        ({"up_lr_weight": "zeros+0.25", "mid_lr_weight": "0.5"}, [1, 0.5, 0.25]),
        # fewer numbers than blocks are filled with 1, more are left out, nothing between commas is 0
        ({"down_lr_weight": "0.5,,0.5"}, [0.5, 0, 0.5, *[1] * 9, 1, *[1] * 12]),
        ({"up_lr_weight": ",".join(["0.5"] * 14)}, [1, 1, 0.5]),
        # 0 to 1 in twelve steps, of which what is not above the threshold is 0
        (
            {"down_lr_weight": "linear", "block_lr_zero_threshold": "0.1"},
            [0, 0, *[round(n / 11, 6) for n in range(2, 12)], 1, *[1] * 12],
        ),
        ({"up_lr_weight": "reverse_linear"}, [*[1] * 13, *[round(n / 11, 6) for n in range(11, -1, -1)]]),
        (
            {"down_lr_weight": "sine", "up_lr_weight": "cosine+.5"},
            [
                *[round(math.sin(math.pi * (n / 11) / 2), 6) for n in range(12)],
                1,
                *[round(math.sin(math.pi * (n / 11) / 2) + 0.5, 6) for n in reversed(range(12))],
            ],
        ),
    ],
)
def test_rates_of_blocks_are_those_of_sd_scripts(given: dict[str, Any], expected: list[float]) -> None:
    made = imported({"LoRA_type": "Standard", "learning_rate": 1e-4, **given})
    assert value(made, RATES) == expected
    assert {heading(made, key) for key in given} == {"taken"}
    in_command = by_args(*(f"{key}={number}" for key, number in given.items()))
    assert value(imported(in_command), RATES) == expected


def test_sdxl_has_nine_blocks_a_side_and_three_in_the_middle() -> None:
    nine = ",".join(["0.5"] * 8 + ["0"])
    made = imported({"sdxl": True, "LoRA_type": "Standard", "down_lr_weight": nine, "mid_lr_weight": "1,0,1"})
    assert value(made, RATES) == [1, *[0.5] * 8, 0, 1, 0, 1, *[1] * 9, 1]
    short = imported({"sdxl": True, "LoRA_type": "Standard", "mid_lr_weight": "0,0,0"})
    assert value(short, RATES) == [1, 0, 1]


def test_rates_that_are_all_1_are_the_default() -> None:
    made = imported({"LoRA_type": "Standard", "down_lr_weight": ",".join("1" * 12)})
    assert (value(made, RATES), heading(made, "down_lr_weight")) == ([], "default")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"down_lr_weight": "waves"}, "none of sine, cosine"),
        ({"mid_lr_weight": "much"}, "no number"),
        ({"block_dims": "4,4,4"}, "25 numbers are needed, but there are 3"),
        ({"block_dims": "a" + ",4" * 24}, "no number"),
    ],
)
def test_what_cannot_be_meant_is_named(given: dict[str, Any], why: str) -> None:
    made = imported({"LoRA_type": "Standard", **given})
    assert [heading(made, key) for key in given] == ["unsupported"]
    assert why in line(made, next(iter(given))).verdict.why


def test_ranks_and_alphas_of_blocks() -> None:
    ranks, alphas = ",".join(["4", "5", *["6"] * 22, "7"]), ",".join(["2", "0", *["2"] * 23])
    made = imported({"LoRA_type": "Standard", "network_dim": 8, "block_dims": ranks, "block_alphas": alphas})
    assert value(made, "adapter.block_ranks") == [4, 5, *[6] * 22, 7]
    # An alpha of 0 stands for the rank.
    assert value(made, "adapter.block_alphas") == [2, 5, *[2] * 23]
    assert {heading(made, key) for key in ("block_dims", "block_alphas")} == {"taken"}


def test_equal_ranks_in_each_part_are_three_numbers() -> None:
    made = imported({"LoRA_type": "Standard", "block_dims": ",".join(["0"] * 12 + ["4"] + ["8"] * 12)})
    assert value(made, "adapter.block_ranks") == [0, 4, 8]


def test_alphas_alone_have_no_effect() -> None:
    made = imported({"LoRA_type": "Standard", "block_alphas": ",".join(["2"] * 25)})
    assert (heading(made, "block_alphas"), value(made, "adapter.block_alphas")) == ("meaningless", [])


@pytest.mark.parametrize(
    ("dims", "expected", "under"),
    [(["4"] * 25, 4, "taken"), (["4"] * 24 + ["6"], 6, "unsupported"), (["0"] * 25, 8, "unsupported")],
)
def test_convolutions_have_one_rank(dims: list[str], expected: int, under: str) -> None:
    made = imported({"LoRA_type": "Kohya LoCon", "conv_dim": 8, "conv_block_dims": ",".join(dims)})
    assert (value(made, "adapter.conv_rank"), heading(made, "conv_block_dims")) == (expected, under)


def test_a_block_of_rank_0_loses_its_convolutions_and_that_is_said() -> None:
    dims = ",".join(["0", *["4"] * 11, *["0"], *["4"] * 12])
    made = imported({"LoRA_type": "Kohya LoCon", "conv_dim": 8, "block_dims": dims})
    assert heading(made, "block_dims") == "unsupported"
    assert value(made, "adapter.block_ranks") == [4, 0, 4]


@pytest.mark.parametrize(
    ("given", "ratio", "text"),
    [
        ({"loraplus_lr_ratio": 16}, 16, 0),
        ({"loraplus_unet_lr_ratio": 16}, 16, 1),
        ({"loraplus_text_encoder_lr_ratio": 4}, 0, 4),
        ({"loraplus_lr_ratio": 16, "loraplus_text_encoder_lr_ratio": 4, "loraplus_unet_lr_ratio": 0}, 16, 4),
        ({"loraplus_lr_ratio": 8, "loraplus_unet_lr_ratio": 2}, 2, 8),
        ({"loraplus_lr_ratio": 0, "loraplus_unet_lr_ratio": 1}, 0, 0),
    ],
)
def test_loraplus_is_that_of_both_unless_one_has_its_own(given: dict[str, Any], ratio: float, text: float) -> None:
    made = imported({"LoRA_type": "Standard", **given})
    assert (value(made, "training.loraplus_ratio"), value(made, "training.loraplus_text_encoder_ratio")) == (
        ratio,
        text,
    )
    assert {heading(made, key) for key, number in given.items() if number > 1} <= {"taken"}
    assert {heading(made, key) for key, number in given.items() if number <= 1} <= {"default"}


def test_what_one_rate_for_all_forbids_is_named() -> None:
    made = imported({"LoRA_type": "Standard", "optimizer": "Prodigy", "loraplus_lr_ratio": 16, "mid_lr_weight": "0.5"})
    assert {heading(made, key) for key in ("loraplus_lr_ratio", "mid_lr_weight")} == {"unsupported"}


def test_lycoris_and_other_families_have_no_blocks() -> None:
    assert heading(imported({"LoRA_type": "LyCORIS/LoCon", "mid_lr_weight": "0"}), "mid_lr_weight") == "meaningless"
    assert heading(imported({"LoRA_type": "Flux1", "mid_lr_weight": "0"}), "mid_lr_weight") == "unsupported"


def test_a_file_to_go_on_from_is_taken_over() -> None:
    made = imported(
        {"LoRA_type": "Standard", "lora_network_weights": "D:/a b/cat.safetensors", "dim_from_weights": True}
    )
    assert value(made, "adapter.start_from") == "D:/a b/cat.safetensors"
    assert (heading(made, "lora_network_weights"), heading(made, "dim_from_weights")) == ("taken", "unsupported")
    assert heading(imported({"dim_from_weights": False}), "dim_from_weights") == "default"
    assert heading(imported({"dim_from_weights": True}), "dim_from_weights") == "meaningless"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--base_weights a.safetensors", ["a.safetensors"]),
        (
            "--base_weights a.safetensors b.safetensors --base_weights_multiplier 0.5",
            ["a.safetensors=0.5", "b.safetensors"],
        ),
        (
            "--base_weights a.safetensors b.safetensors --base_weights_multiplier 0.5 -1",
            ["a.safetensors=0.5", "b.safetensors=-1"],
        ),
    ],
)
def test_loras_in_the_base_model_are_taken_over_with_their_weights(flags: str, expected: list[str]) -> None:
    made = imported(f"accelerate launch train_network.py --network_dim=8 {flags}")
    assert value(made, "model.base_loras") == expected
    assert heading(made, "--base_weights") == "taken"


def test_max_norm_is_taken_over() -> None:
    made = imported({"LoRA_type": "Standard", "scale_weight_norms": 1})
    assert (value(made, "adapter.max_norm"), heading(made, "scale_weight_norms")) == (1, "taken")
    assert heading(imported({"scale_weight_norms": 0}), "scale_weight_norms") == "default"
