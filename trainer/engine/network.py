"""What the metadata of a LoRA file say of the adapter: the names that sd-scripts and LyCORIS would write for it."""

from collections.abc import Mapping

from trainer.adapters.places import stored_alpha, targets
from trainer.job.facts import ADAPTERS
from trainer.job.settings import Adapter


def network_metadata(adapter: Adapter) -> Mapping[str, object]:
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
