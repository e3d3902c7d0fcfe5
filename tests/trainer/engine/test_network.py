"""What a file's metadata call the adapter, so that sd-scripts and LyCORIS would build the same."""

from collections.abc import Mapping
from typing import Any

import pytest

from trainer.engine.network import network_metadata
from trainer.job.settings import Adapter


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
