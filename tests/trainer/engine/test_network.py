"""What a file's metadata call the adapter, so that sd-scripts and LyCORIS would build the same."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.trainer.job.kohya_import.inputs import imported
from trainer.engine.network import learning_metadata, network_metadata
from trainer.job.settings import Adapter, Job, Model, Training


@pytest.mark.parametrize(
    ("settings", "module", "args"),
    [
        ({"type": "lora", "rank": 4, "alpha": 2}, "networks.lora", {}),
        (
            {"type": "locon", "conv_rank": 4, "conv_alpha": 1},
            "networks.lora",
            {"conv_dim": "4", "conv_alpha": "1.0"},
        ),
        ({"type": "locon", "targets": "attention"}, "networks.lora", {}),
        (
            {"type": "lora", "decompose": True},
            "lycoris.kohya",
            {"algo": "locon", "dora_wd": "True", "wd_on_output": "False"},
        ),
        (
            {"type": "loha", "targets": "linear", "rank_dropout": 0.25, "module_dropout": 0.5},
            "lycoris.kohya",
            {"algo": "loha", "rank_dropout": "0.25", "module_dropout": "0.5"},
        ),
        (
            {"type": "lokr", "factor": 8, "full_matrix": True, "conv_rank": 4, "conv_alpha": 1},
            "lycoris.kohya",
            {"algo": "lokr", "factor": "8", "full_matrix": "True", "conv_dim": "4", "conv_alpha": "1.0"},
        ),
    ],
)
def test_the_module_and_its_arguments(settings: Mapping[str, Any], module: str, args: Mapping[str, str]) -> None:
    found = network_metadata(Adapter(**settings))
    assert found["ss_network_module"] == module
    assert found["ss_network_args"] == args


def test_the_alphas_of_a_rank_stabilised_adapter_are_those_of_its_file() -> None:
    settings = Adapter(type="locon", rank=16, alpha=4, conv_rank=9, conv_alpha=2, rank_stabilised=True)
    found = network_metadata(settings)
    assert (found["ss_network_dim"], found["ss_network_alpha"]) == (16, 16)
    args = found["ss_network_args"]
    assert isinstance(args, dict)
    assert args["conv_alpha"] == "6.0"


def test_alphas_of_blocks_are_those_of_the_file_too_where_all_blocks_have_one_rank() -> None:
    adapter = Adapter(rank=16, block_alphas=[1, 2, 3], rank_stabilised=True)
    args = learning_metadata(Job(adapter=adapter))
    assert args == {"block_alphas": ",".join(["4"] * 12 + ["8"] + ["12"] * 12)}


@pytest.mark.parametrize(
    ("family", "numbers", "down", "middle", "up"),
    [
        ("sd15", [1, 0.5, 0], ["1"] * 12, ["0.5"], ["0"] * 12),
        ("sdxl", [1, 0.5, 0], ["1"] * 9, ["0.5"] * 3, ["0"] * 9),
        ("sdxl", [7, *[1] * 9, *[0.5] * 3, *[0] * 9, 7], ["1"] * 9, ["0.5"] * 3, ["0"] * 9),
    ],
)
def test_rates_of_blocks_are_those_that_sd_scripts_would_be_given(
    family: str, numbers: list[float], down: list[str], middle: list[str], up: list[str]
) -> None:
    job = Job(model=Model(family=family), training=Training(block_learning_rates=numbers))
    args = learning_metadata(job)
    assert [args[f"{part}_lr_weight"].split(",") for part in ("down", "mid", "up")] == [down, middle, up]


def test_ranks_alphas_and_loraplus_of_a_file_are_read_as_they_were_asked_for() -> None:
    """What sd-scripts would be given for the same training is what its users' presets are imported from."""
    adapter = Adapter(block_ranks=[4, 8, 2], block_alphas=[2, 4, 1])
    training = Training(loraplus_ratio=16, loraplus_text_encoder_ratio=4, block_learning_rates=[0.5, 1, 0])
    args = learning_metadata(Job(adapter=adapter, training=training))
    assert args["block_dims"] == ",".join(["4"] * 12 + ["8"] + ["2"] * 12)
    again = imported({"LoRA_type": "Standard", "unet_lr": 1e-4, "text_encoder_lr": 1e-5, **args}).job
    assert (again.adapter.block_ranks, again.adapter.block_alphas) == (adapter.block_ranks, adapter.block_alphas)
    assert again.training.block_learning_rates == training.block_learning_rates
    assert (again.training.loraplus_ratio, again.training.loraplus_text_encoder_ratio) == (16, 4)
    assert learning_metadata(Job()) == {}
