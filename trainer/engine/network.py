"""What the metadata of a LoRA file say of the adapter: the names that sd-scripts and LyCORIS would write for it."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.adapters.places import stored_alpha, targets
from trainer.job.blocks import spread
from trainer.job.facts import ADAPTERS, FAMILIES
from trainer.job.settings import Adapter, Job


def network_metadata(adapter: Adapter) -> Mapping[str, Any]:
    """The keys `ss_network_…`.

    sd-scripts' own module knows LoRA and LoCon; the rest is called as LyCORIS does. Alphas are those of the file, so a
    rank-stabilised adapter needs no flag and alpha ÷ dim is its scale.
    """
    own = adapter.type in ("lora", "locon") and not adapter.decompose
    return {
        "ss_network_module": "networks.lora" if own else "lycoris.kohya",
        "ss_network_dim": adapter.rank,
        "ss_network_alpha": stored_alpha(adapter.rank, adapter.alpha, adapter),
        "ss_network_dropout": adapter.dropout or None,
        "ss_network_args": {**({} if own else _lycoris(adapter)), **_sizes(adapter), **_dropouts(adapter)},
    }


def learning_metadata(job: Job) -> dict[str, str]:
    """The network's arguments that sd-scripts has for how blocks are trained, and for LoRA+."""
    count, adapter, training = FAMILIES[job.model.family].blocks, job.adapter, job.training
    ranks = spread(adapter.block_ranks, count)
    alphas = spread(adapter.block_alphas, count) or [adapter.alpha] * len(ranks)
    own = ranks or [adapter.rank] * len(alphas)
    stored = [stored_alpha(int(rank), alpha, adapter) for rank, alpha in zip(own, alphas, strict=True)]
    found = {"block_dims": ranks, "block_alphas": stored, **_rates(training.block_learning_rates, count)}
    plus = {"loraplus_lr_ratio": training.loraplus_ratio}
    plus["loraplus_text_encoder_lr_ratio"] = training.loraplus_text_encoder_ratio
    lists = {name: ",".join(f"{number:g}" for number in numbers) for name, numbers in found.items() if numbers}
    return {**lists, **{name: f"{ratio:g}" for name, ratio in plus.items() if ratio}}


def _rates(given: Sequence[float], count: int) -> dict[str, Sequence[float]]:
    rates = spread(given, count)
    # sd-scripts gives no rate to the embeddings and the last layers of SDXL, which it counts otherwise.
    inner = rates[1:-1] if count == 23 else rates
    side = 9 if count == 23 else 12
    names = ("down_lr_weight", "mid_lr_weight", "up_lr_weight")
    parts = (inner[:side], inner[side : len(inner) - side], inner[len(inner) - side :])
    return dict(zip(names, parts, strict=True)) if rates else {}


def _sizes(adapter: Adapter) -> dict[str, str]:
    if "conv_rank" not in ADAPTERS[adapter.type].capabilities or targets(adapter) != "convolutions":
        return {}
    alpha = stored_alpha(adapter.conv_rank, adapter.conv_alpha, adapter)
    return {"conv_dim": str(adapter.conv_rank), "conv_alpha": str(alpha)}


def _dropouts(adapter: Adapter) -> dict[str, str]:
    found = {"rank_dropout": adapter.rank_dropout, "module_dropout": adapter.module_dropout}
    return {name: str(value) for name, value in found.items() if value}


def _lycoris(adapter: Adapter) -> dict[str, str]:
    args = {"algo": "locon" if adapter.type == "lora" else adapter.type}
    if "factor" in ADAPTERS[adapter.type].capabilities:
        args |= {"factor": str(adapter.factor), "full_matrix": str(adapter.full_matrix)}
    return args | ({"dora_wd": "True", "wd_on_output": "False"} if adapter.decompose else {})
