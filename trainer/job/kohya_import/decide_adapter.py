"""Decisions about the adapter: which kind it is by any of its names, and its ranks and alphas."""

import dataclasses
import types
from collections.abc import Mapping

from trainer.job.facts import ADAPTERS
from trainer.job.fields import specs
from trainer.job.kohya_import.rows import Case, Verdict, choice, direct, known, lack, skip, stays, take
from trainer.job.words import say

FULL_MATRIX = 10_000
"""Ranks from here on are Kohya's users' way to say that LoKr is to use a whole matrix."""


@dataclasses.dataclass(frozen=True)
class Net:
    """A kind of adapter of Kohya's: the adapters here in order of likeness, whether the first one is the same, tags."""

    here: tuple[str, ...]
    tags: frozenset[str]
    exact: bool = True

    @property
    def found(self) -> str:
        """The nearest adapter that this version has."""
        return next(name for name in (*self.here, "lora") if choice("adapter.type", name))

    @property
    def is_same(self) -> bool:
        return self.exact and self.found == self.here[0]

    @property
    def has_convolutions(self) -> bool:
        return "conv_rank" in ADAPTERS[self.found].capabilities


def _net(here: str, tags: str = "", *, exact: bool = True) -> Net:
    return Net(tuple(here.split()), frozenset(tags.split()), exact)


LORA = _net("lora")
TYPES: Mapping[str, Net] = types.MappingProxyType(
    {
        "standard": LORA,
        "lora": LORA,
        "flux1": LORA,
        "anima": LORA,
        "hunyuanimage-2.1": LORA,
        "lumina": LORA,
        "lora-fa": _net("lora", "lora_fa", exact=False),
        "locon": _net("locon", "conv"),
        "kohya locon": _net("locon", "conv"),
        "kohya loha": _net("loha locon", "conv lycoris loha"),
        "kohya lokr": _net("lokr locon", "conv lycoris lokr"),
        "kohya dylora": _net("lora", "dylora conv", exact=False),
        "flux1 oft": _net("lora", "oft", exact=False),
        "lycoris/locon": _net("locon", "conv lycoris"),
        "lycoris/loha": _net("loha locon", "conv lycoris loha"),
        "lycoris/lokr": _net("lokr locon", "conv lycoris lokr"),
        "lycoris/ia3": _net("lora", "lycoris ia3", exact=False),
        "lycoris/dylora": _net("locon", "conv lycoris dylora", exact=False),
        "lycoris/glora": _net("locon", "conv lycoris", exact=False),
        "lycoris/boft": _net("locon", "conv lycoris oft", exact=False),
        "lycoris/diag-oft": _net("locon", "conv lycoris oft", exact=False),
        "lycoris/native fine-tuning": _net("locon", "conv lycoris", exact=False),
    }
)
ALGORITHMS: Mapping[str, Net] = types.MappingProxyType(
    {name.removeprefix("lycoris/"): net for name, net in TYPES.items() if name.startswith("lycoris/")}
    | {"lora": TYPES["lycoris/locon"], "full": TYPES["lycoris/native fine-tuning"]}
)
MODULES: Mapping[str, Net] = types.MappingProxyType(
    {
        "networks.lora": LORA,
        "networks.lora_flux": LORA,
        "networks.lora_sd3": LORA,
        "networks.lora_anima": LORA,
        "networks.lora_lumina": LORA,
        "networks.lora_hunyuan_image": LORA,
        "networks.lora_fa": TYPES["lora-fa"],
        "networks.dylora": TYPES["kohya dylora"],
        "networks.oft": TYPES["flux1 oft"],
        "networks.oft_flux": TYPES["flux1 oft"],
        "networks.loha": TYPES["kohya loha"],
        "networks.lokr": TYPES["kohya lokr"],
    }
)
_OTHER = _net("lora", exact=False)


def kind(case: Case) -> Net:
    """The kind of adapter that the input asks for."""
    by_type, module = case.words("LoRA_type").lower(), case.words("network_module").lower()
    if by_type:
        net = TYPES.get(by_type, _OTHER)
    elif module.startswith("lycoris"):
        net = ALGORITHMS.get(case.words("algo").lower() or "lora", _OTHER)
    else:
        net = MODULES.get(module, LORA if not module else _OTHER)
    if net is LORA and not by_type and case.number("conv_dim"):
        return TYPES["kohya locon"]
    # Without a rank for convolutions, Kohya's own LoCon trains none.
    return LORA if net is TYPES["kohya locon"] and case.number("conv_dim") == 0 else net


def decide(case: Case) -> Mapping[str, Verdict]:
    """Type, rank, alpha, and those of convolutions."""
    net = kind(case)
    verdict = _type(net)
    whole = "lokr" in net.tags and max(case.number(name) or 0 for name in ("network_dim", "conv_dim")) >= FULL_MATRIX
    by_algo = case.words("network_module").lower().startswith("lycoris") and case.gives("algo")
    named = dict.fromkeys(("LoRA_type", "algo", "network_module"), verdict)
    if by_algo:
        named["network_module"] = skip("decided_by", name="algo")
    named |= _lycoris(case, net)
    if whole:
        return {**named, **_whole_matrix(case)}
    return {**named, **_sizes(case, net)}


def _type(net: Net) -> Verdict:
    to = {"adapter.type": net.found}
    return take(to) if net.is_same else lack("adapter", to, adapter=ADAPTERS[net.found].label)


def _lycoris(case: Case, net: Net) -> dict[str, Verdict]:
    """What only LyCORIS's kinds have."""
    found = {"LyCORIS_preset": _preset(case.words("LyCORIS_preset").lower())}
    if case.on("rank_dropout_scale"):
        found["rank_dropout_scale"] = stays(say("kohya_dropout_scaled"))
    elif case.gives("rank_dropout_scale"):
        unlike = "lycoris" in net.tags and bool(case.number("rank_dropout"))
        found["rank_dropout_scale"] = lack("dropout_scaled") if unlike else stays(say("kohya_off"))
    if case.on("dora_wd"):
        found["dora_wd"] = take({"adapter.decompose": True}, say("kohya_dora_axis"))
    elif case.gives("dora_wd"):
        found["dora_wd"] = take({"adapter.decompose": False})
    if case.gives("wd_on_output"):
        unlike = case.on("dora_wd") and case.on("wd_on_output")
        found["wd_on_output"] = lack("dora_axis") if unlike else stays(say("kohya_off"))
    return found


# LyCORIS's "attn-mlp" is, despite its name, everything in the transformers.
SAME_LAYERS = types.MappingProxyType({"attn-mlp": "linear", "attn-only": "attention"})
NEAR_LAYERS = types.MappingProxyType({"full-lin": "linear", "unet-transformer-only": "linear"})
"""The layers that LyCORIS's presets choose, as the choice here that is the same or the nearest."""


def _preset(name: str) -> Verdict:
    if not name or name == "full":
        return stays(say("kohya_all_layers" if name else "kohya_was_empty"))
    if name in SAME_LAYERS:
        return take({"adapter.targets": SAME_LAYERS[name]})
    return lack("near_layers", {"adapter.targets": NEAR_LAYERS[name]}) if name in NEAR_LAYERS else lack("all_layers")


def _whole_matrix(case: Case) -> dict[str, Verdict]:
    path = "adapter.full_matrix"
    found = {name: take({path: True}) if known(path) else lack("full_matrix") for name in ("network_dim", "conv_dim")}
    for name in ("network_dim", "conv_dim"):
        if (case.number(name) or 0) < FULL_MATRIX:
            found[name] = skip("of_full_matrix")
    return {**found, "network_alpha": skip("of_full_matrix"), "conv_alpha": skip("of_full_matrix")}


def _sizes(case: Case, net: Net) -> dict[str, Verdict]:
    rank = direct("adapter.rank", case.raw("network_dim"))
    found = {"network_dim": rank, "network_alpha": _alpha(case, "network_alpha", "adapter.alpha", rank)}
    if not net.has_convolutions:
        return {**found, **{name: _no_convolutions(case, name) for name in ("conv_dim", "conv_alpha")}}
    conv = direct("adapter.conv_rank", case.raw("conv_dim"))
    if case.number("conv_dim") == 0:
        same = {"adapter.conv_rank": rank.to.get("adapter.rank", specs()["adapter.rank"].default)}
        conv = take(same, say("kohya_zero_is", meaning="network_dim"))
    return {**found, "conv_dim": conv, "conv_alpha": _alpha(case, "conv_alpha", "adapter.conv_alpha", conv)}


def _alpha(case: Case, name: str, path: str, rank: Verdict) -> Verdict:
    if case.number(name) != 0:
        return direct(path, case.raw(name))
    sizes = [value for at, value in rank.to.items() if at.endswith("rank")]
    size = sizes[0] if sizes else specs()[path.replace("alpha", "rank")].default
    return take({path: float(size)}, say("kohya_zero_is", meaning=f"{size:g}"))


def _no_convolutions(case: Case, name: str) -> Verdict:
    return skip("no_convolutions") if case.gives(name) else stays(say("kohya_was_empty"))
