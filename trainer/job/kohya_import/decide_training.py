"""Decisions about how it is learned: length, learning rates, noise, precision and seed."""

from collections.abc import Mapping

from trainer.job.facts import FAMILIES
from trainer.job.fields import specs
from trainer.job.kohya_import import values
from trainer.job.kohya_import.decide_model import kinds
from trainer.job.kohya_import.decide_optimizer import has_one_rate
from trainer.job.kohya_import.rows import Case, Verdict, direct, lack, skip, stays, take
from trainer.job.kohya_import.values import Unusable
from trainer.job.words import say

RESTS = (0.0, 0.0, 0.0)
"""The learning rates per block of a UNet that is not to be trained."""
RESTING = 1e-12
"""The rate of one of two text encoders that is not trained: only both can be left out."""
RATES = ("learning_rate", "unet_lr", "text_encoder_lr", "learning_rate_te", "learning_rate_te1", "learning_rate_te2")
TEXT_RATES = ("text_encoder_lr", "learning_rate_te", "learning_rate_te1")
LENGTHS = ("max_train_epochs", "max_train_steps", "epoch")


def length(case: Case) -> Mapping[str, Verdict]:
    """Kohya's order: max_train_epochs, else max_train_steps, else epoch; 0 and nothing mean "not this one"."""
    given = {name: case.number(name) or 0 for name in LENGTHS}
    decisive = next((name for name in LENGTHS if given[name] > 0), "")
    found = {}
    for name in LENGTHS:
        if name == decisive:
            found[name] = _length(case.raw(name), in_steps=name == "max_train_steps")
        elif decisive and given[name] > 0:
            found[name] = skip("decided_by", name=decisive)
        elif case.gives(name) and case.number(name) is None:
            found[name] = direct("training.epochs", case.raw(name))
        elif name == "epoch" and case.gives(name) and not decisive:
            found[name] = lack("no_length")
        else:
            found[name] = stays(say("kohya_not_this"))
    return found


def _length(value: object, *, in_steps: bool) -> Verdict:
    one, other = ("training.steps", "training.epochs") if in_steps else ("training.epochs", "training.steps")
    verdict = direct(one, value)
    return Verdict(verdict.heading, {**verdict.to, other: 0}, verdict.why) if one in verdict.to else verdict


# ---- learning rates ----


def rates(case: Case) -> Mapping[str, Verdict]:
    """What the denoiser and the text encoder learn at: 0 for one of them means that it is not trained."""
    unet, text = _effective(case)
    second = _second(case)
    if text <= 0 and (second or 0) > 0:
        text = RESTING
    found = _switches(case)
    for name in RATES:
        found[name] = _unread(case, name) or skip("rates_decide")
    unet_key, text_key = _deciding(case)
    if unet <= 0 and text <= 0:
        return {**found, **{name: lack("no_rate") for name in {unet_key, text_key}}}
    found |= _rates_of(case, (unet_key, unet), (text_key, text))
    for name in {unet_key, text_key} & set(RATES):
        if case.gives(name) and _rate(case, name) is None:
            found[name] = Verdict(
                "unsupported", found[name].to, say("kohya_unusable", reason=say("kohya_not_a_number"))
            )
    if second is not None and text > 0:
        verdict = _of_second(case, text, second)
        if text_key == "text_encoder_lr":
            found[text_key] = _joined(found[text_key], verdict)
        else:
            found["learning_rate_te2"] = verdict
    elif len(_list(case.raw("text_encoder_lr"))) > 1:
        found["text_encoder_lr"] = lack("first_encoder", found["text_encoder_lr"].to)
    return found


def _second(case: Case) -> float | None:
    """The rate of the second text encoder; None where there is none or it is no other than the first's."""
    key = _deciding(case)[1]
    listed = _list(case.raw("text_encoder_lr"))[1:2]
    if not any("text_encoder_2" in row.capabilities for name, row in FAMILIES.items() if name in kinds(case)):
        return None
    if key == "learning_rate_te1":
        return _rate(case, "learning_rate_te2")
    try:
        return values.number(listed[0]) if listed and key == "text_encoder_lr" else None
    except Unusable:
        return None


def _of_second(case: Case, first: float, second: float) -> Verdict:
    if has_one_rate(case):
        return stays() if second == first else lack("one_rate_only", rate=f"{first:g}")
    return direct("training.text_encoder_2_learning_rate", second if second > 0 else RESTING)


def _rates_of(case: Case, denoiser: tuple[str, float], encoder: tuple[str, float]) -> dict[str, Verdict]:
    (unet_key, unet), (text_key, text) = denoiser, encoder
    found: dict[str, Verdict] = {}
    paths = ("training.learning_rate", "training.text_encoder", "training.text_encoder_learning_rate")
    one = has_one_rate(case)
    if unet <= 0:
        rests = {"training.block_learning_rates": list(RESTS), **({paths[0]: text} if one and text > 0 else {})}
        found[unet_key] = take(rests, say("kohya_denoiser_rests"))
    else:
        found[unet_key] = direct(paths[0], unet)
    if text <= 0:
        return {**found, text_key: _joined(found.get(text_key), take({paths[1]: False}))}
    rate = found[unet_key].to.get(paths[0], text if unet <= 0 else unet)
    if one and rate != text:
        verdict = lack("one_rate_only", {paths[1]: True, paths[2]: rate}, rate=f"{rate:g}")
    else:
        fits = direct(paths[2], text)
        verdict = Verdict(fits.heading, {paths[1]: True, **fits.to}, fits.why)
    return {**found, text_key: _joined(found.get(text_key), verdict)}


def _joined(one: Verdict | None, other: Verdict) -> Verdict:
    """Both verdicts on one key as one."""
    if one is None:
        return other
    verdict = one if one.heading == "unsupported" else other
    return Verdict(verdict.heading, {**one.to, **other.to}, one.why or other.why)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _rate(case: Case, name: str) -> float | None:
    """The rate in a key, of a list the first; None without one."""
    first = _list(case.raw(name))[0] if case.gives(name) else None
    try:
        return None if values.is_empty(first) else values.number(first)
    except Unusable:
        return None


def _deciding(case: Case) -> tuple[str, str]:
    """The keys that say how fast the denoiser and the text encoder learn."""
    if case.on("network_train_unet_only"):
        return (_first(case, "unet_lr"), "network_train_unet_only")
    if case.on("network_train_text_encoder_only"):
        return ("network_train_text_encoder_only", _first(case, "text_encoder_lr"))
    if _all_zero(case):
        return ("learning_rate", "learning_rate")
    text = [name for name in TEXT_RATES if _rate(case, name) is not None]
    if case.gives("train_text_encoder") and not case.on("train_text_encoder"):
        text = ["train_text_encoder"]
    return (_first(case, "unet_lr"), text[0] if text else "learning_rate")


def _first(case: Case, name: str) -> str:
    return name if _rate(case, name) is not None else "learning_rate"


def _all_zero(case: Case) -> bool:
    """Kohya's GUI takes two zeros for "as learning_rate says"."""
    return case.source.kind == "gui" and _rate(case, "unet_lr") == 0 and _rate(case, "text_encoder_lr") == 0


def _effective(case: Case) -> tuple[float, float]:
    """The rates of the denoiser and the text encoder; 0 for what is not trained."""
    unet_key, text_key = _deciding(case)
    whole = _rate(case, "learning_rate")
    ours = specs()["training.learning_rate"].default
    fallback = whole if whole is not None else 2e-6 if case.source.kind == "scripts" else ours
    unet, text = (_rate(case, name) if name in RATES else 0 for name in (unet_key, text_key))
    return fallback if unet is None else unet, fallback if text is None else text


def _switches(case: Case) -> dict[str, Verdict]:
    """The switches where they are off, and the one that ends the training of the text encoder early."""
    names = ("network_train_unet_only", "network_train_text_encoder_only", "train_text_encoder")
    found = {name: stays() for name in names}
    stop = case.number("stop_text_encoder_training")
    name = "stop_text_encoder_training"
    if stop == -1 and not (case.gives("LoRA_type") or case.gives("network_dim")):
        found[name] = take({"training.text_encoder": False})
    else:
        found[name] = lack("to_the_end") if stop else stays()
    return found


def _unread(case: Case, name: str) -> Verdict | None:
    """The verdict on a rate that is none."""
    if not case.gives(name):
        return stays(say("kohya_was_empty"))
    return direct("training.learning_rate", _list(case.raw(name))[0]) if _rate(case, name) is None else None


# ---- noise ----


def noise(case: Case) -> Mapping[str, Verdict]:
    """Kohya's GUI uses the offset or the multi-resolution noise, as noise_offset_type says; its scripts use both."""
    by_type = case.words("noise_offset_type").lower() or ("original" if case.source.kind == "gui" else "")
    found = {}
    for name, (path, off, group) in _NOISE.items():
        if by_type and not by_type.startswith(group) and not values.is_off(case.raw(name), (off,)):
            found[name] = skip("decided_by", name="noise_offset_type")
        else:
            found[name] = direct(path, case.raw(name), (off,))
    multi = case.number("multires_noise_iterations")
    if not multi and case.gives("multires_noise_discount"):
        found["multires_noise_discount"] = skip("without", name="multires_noise_iterations")
    if not found["noise_offset"].to.get("training.noise_offset"):
        for name in ("noise_offset_random_strength", "adaptive_noise_scale"):
            if found[name].to and not values.is_off(case.raw(name), (0, False)):
                found[name] = skip("without", name="noise_offset")
    found["noise_offset_type"] = skip("says_which") if by_type.startswith("multi") else stays()
    return found


_NOISE: Mapping[str, tuple[str, object, str]] = {
    "noise_offset": ("training.noise_offset", 0, "orig"),
    "noise_offset_random_strength": ("training.noise_offset_random", False, "orig"),
    "adaptive_noise_scale": ("training.adaptive_noise_scale", 0, "orig"),
    "multires_noise_iterations": ("training.multires_noise_levels", 0, "multi"),
    "multires_noise_discount": ("training.multires_noise_discount", 0.3, "multi"),
}


# ---- precision and seed ----


def precision(case: Case) -> Mapping[str, Verdict]:
    """Mixed precision and the seed; an empty seed is a random one at Kohya's."""
    mixed = case.words("mixed_precision").lower()
    fp8 = lack("no_fp8_training", {"training.precision": "bf16"})
    whole = take({"training.precision": "no"}) if mixed in ("float", "fp32", "none") else None
    raw = case.raw("mixed_precision")
    seed = direct("training.seed", case.raw("seed"))
    if case.source.kind == "gui" and case.number("seed") == 0:
        seed = Verdict(seed.heading, seed.to, say("kohya_random_seed", seed=0))
    elif "seed" in case.counting and not case.gives("seed"):
        seed = stays(say("kohya_random_seed", seed=42))
    return {"mixed_precision": fp8 if mixed == "fp8" else whole or direct("training.precision", raw), "seed": seed}
