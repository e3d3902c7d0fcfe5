"""Decisions about blocks, LoRA+ and LoRA files to begin with: which blocks are trained how, and from what on.

The rules are those of sd-scripts (networks/lora.py): `get_block_lr_weight`, `get_block_dims_and_alphas`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from trainer.job.facts import FAMILIES
from trainer.job.kohya_import import values
from trainer.job.kohya_import.decide_adapter import kind
from trainer.job.kohya_import.decide_model import switch_of
from trainer.job.kohya_import.rows import Case, Verdict, direct, lack, skip, stays, take
from trainer.job.kohya_import.values import Unusable
from trainer.job.words import say

RATES = ("down_lr_weight", "mid_lr_weight", "up_lr_weight")
SIZES = ("block_dims", "block_alphas")
CONV_SIZES = ("conv_block_dims", "conv_block_alphas")
PLUS = ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio")
_FAMILIES: Mapping[str, str] = {"": "sd15", "v2": "sd2", "sdxl": "sdxl"}
_MIDDLE: Mapping[int, int] = {25: 1, 23: 3}
"""How many blocks are in the middle, by their number in all."""


def blocks(case: Case) -> Mapping[str, Verdict]:
    """Ranks, alphas and learning rates by block."""
    names = (*RATES, "block_lr_zero_threshold", *SIZES, *CONV_SIZES)
    given = [name for name in names if case.gives(name)]
    found = {name: stays(say("kohya_was_empty")) for name in names}
    if switch_of(case) not in _FAMILIES:
        return found | {name: lack("plain_family") for name in given}
    if "lycoris" in kind(case).tags:
        return found | {name: skip("not_of_lycoris") for name in given}
    count = FAMILIES[_FAMILIES[switch_of(case)]].blocks
    return found | _rates(case, count) | _sizes(case, count) | _conv_sizes(case, count)


# ---- learning rates ----


def _rates(case: Case, count: int) -> dict[str, Verdict]:
    given = [name for name in RATES if case.gives(name)]
    threshold = case.number("block_lr_zero_threshold") or 0.0
    if not given:
        without = skip("without", name="down_lr_weight") if threshold else stays(say("kohya_off"))
        return {"block_lr_zero_threshold": without} if case.gives("block_lr_zero_threshold") else {}
    middle = _MIDDLE[count]
    side = 9 if count == 23 else 12
    parts = []
    for name, length in zip(RATES, (side, middle, side), strict=True):
        try:
            parts.append(_part(case.raw(name), length, threshold, name != "mid_lr_weight"))
        except Unusable as error:
            return {one: Verdict("unsupported", why=say("kohya_unusable", reason=error)) for one in given}
    every = [rate for part in parts for rate in part]
    # sd-scripts counts the embeddings and the last layers of SDXL too, where it adapts nothing.
    shown = _short([1.0, *every, 1.0] if count == 23 else every, count)
    verdict = take({"training.block_learning_rates": [] if all(rate == 1 for rate in every) else shown})
    named = [*given, *(["block_lr_zero_threshold"] if case.gives("block_lr_zero_threshold") else [])]
    return dict.fromkeys(named, verdict)


def _part(given: object, length: int, threshold: float, named: bool) -> list[float]:
    """The rates of one part of the UNet: 1 for what is not given, 0 for what is left empty or within the threshold.

    Raises Unusable.
    """
    if values.is_empty(given):
        return [1.0] * length
    texts = _items(given)
    if named and len(texts) == 1:
        rates = _curve(texts[0], length)
    else:
        rates = [values.number(text) if text else 0.0 for text in texts]
        rates = [*rates[:length], *[1.0] * (length - len(rates))]
    return [round(rate, 6) if rate > threshold else 0.0 for rate in rates]


def _curve(text: str, length: int) -> list[float]:
    """The rates that a name such as sine, or cosine+0.25 with a least rate, stands for. Raises Unusable."""
    name, _, least = text.partition("+")
    offset = values.number(least) if least else 0.0
    steps = [number / (length - 1) for number in range(length)]
    curves = {
        "sine": [math.sin(math.pi / 2 * step) for step in steps],
        "cosine": [math.sin(math.pi / 2 * step) for step in reversed(steps)],
        "linear": steps,
        "reverse_linear": steps[::-1],
        "zeros": [0.0] * length,
    }
    if name.strip().lower() not in curves:
        raise Unusable(say("kohya_not_a_choice", choices=", ".join(curves)))
    return [rate + offset for rate in curves[name.strip().lower()]]


def _items(given: object) -> list[str]:
    """The numbers of a list, or of a text with commas between."""
    texts = given if isinstance(given, list) else str(given).strip("[] ").split(",")
    return [str(text).strip() for text in texts]


def _short(numbers: Sequence[float], count: int) -> list[float]:
    """One number each for down, mid and up where that says the same, else all of them."""
    middle = _MIDDLE[count]
    side = (count - middle) // 2
    # The first number, and the last of SDXL, stand for what is never adapted.
    up = numbers[side + middle : -1 if count == 23 else None]
    parts = (numbers[1:side], numbers[side : side + middle], up)
    return [part[0] for part in parts] if all(len(set(part)) == 1 for part in parts) else list(numbers)


# ---- ranks and alphas ----


def _sizes(case: Case, count: int) -> dict[str, Verdict]:
    try:
        ranks = _numbers(case.raw("block_dims"), count)
        alphas = _numbers(case.raw("block_alphas"), count)
    except Unusable as error:
        wrong = Verdict("unsupported", why=say("kohya_unusable", reason=error))
        return {name: wrong for name in SIZES if case.gives(name)}
    found: dict[str, Verdict] = {}
    if ranks:
        to = {"adapter.block_ranks": [int(rank) for rank in _short(ranks, count)]}
        left_out = kind(case).has_convolutions and not all(ranks[1:])
        found["block_dims"] = lack("blocks_whole", to) if left_out else take(to)
    if alphas and not ranks and not any(case.gives(name) for name in RATES):
        found["block_alphas"] = skip("without", name="block_dims")
    elif alphas:
        rank = case.number("network_dim") or 1.0
        # 0 stands for the rank, as it does for all blocks.
        whole = [alpha or (ranks[at] if ranks else rank) for at, alpha in enumerate(alphas)]
        found["block_alphas"] = take({"adapter.block_alphas": _short(whole, count)})
    return found


def _numbers(given: object, count: int) -> list[float]:
    """As many numbers as there are blocks; none where none are given. Raises Unusable."""
    if values.is_empty(given):
        return []
    found = [values.number(text) for text in _items(given)]
    if len(found) != count:
        raise Unusable(say("kohya_block_count", count=count, given=len(found)))
    return found


def _conv_sizes(case: Case, count: int) -> dict[str, Verdict]:
    """All larger convolutions have one rank and one alpha here."""
    net = kind(case)
    found: dict[str, Verdict] = {}
    for name, path in zip(CONV_SIZES, ("adapter.conv_rank", "adapter.conv_alpha"), strict=True):
        if not case.gives(name):
            continue
        if not net.has_convolutions:
            found[name] = skip("no_convolutions")
            continue
        try:
            numbers = {number for number in _numbers(case.raw(name), count) if number > 0}
        except Unusable as error:
            found[name] = Verdict("unsupported", why=say("kohya_unusable", reason=error))
            continue
        most = {path: max(numbers)} if numbers else {}
        found[name] = direct(path, max(numbers)) if len(numbers) == 1 else lack("conv_blocks", most)
    return found


# ---- LoRA+ ----


def plus(case: Case) -> Mapping[str, Verdict]:
    """LoRA+: the ratio of each part, which is that of both where it has none of its own."""
    both, unet, text = (case.number(name) or 0.0 for name in PLUS)
    wanted = {"training.loraplus_ratio": _ratio(unet or both)}
    if _ratio(text or both) != _ratio(unet or both):
        wanted["training.loraplus_text_encoder_ratio"] = _ratio(text or both) or 1.0
    found = {}
    for name, value in zip(PLUS, (both, unet, text), strict=True):
        if case.gives(name) and case.number(name) is None:
            found[name] = direct("training.loraplus_ratio", case.raw(name))
        else:
            found[name] = take(wanted) if _ratio(value) or (value and any(wanted.values())) else _off(case, name)
    return found


def _ratio(value: float) -> float:
    return 0.0 if value == 1 else value


def _off(case: Case, name: str) -> Verdict:
    return stays(say("kohya_off" if case.gives(name) else "kohya_was_empty"))


# ---- files to begin with ----


def files(case: Case) -> Mapping[str, Verdict]:
    """LoRA files that are trained on, or merged into the base model before."""
    start, ranks = stays(say("kohya_was_empty")), _off(case, "dim_from_weights")
    if values.is_placeholder(case.raw("network_weights")):
        start = skip("placeholder")
    elif case.gives("network_weights"):
        start = direct("adapter.start_from", case.raw("network_weights"))
    if case.on("dim_from_weights"):
        ranks = lack("own_rank") if start.to else skip("without", name="network_weights")
    return {"network_weights": start, "dim_from_weights": ranks, **_base(case)}


def _base(case: Case) -> dict[str, Verdict]:
    if not case.gives("base_weights"):
        given = case.gives("base_weights_multiplier")
        alone = skip("without", name="base_weights") if given else stays(say("kohya_was_empty"))
        return {"base_weights": stays(say("kohya_was_empty")), "base_weights_multiplier": alone}
    paths = _texts(case.raw("base_weights"))
    try:
        weights = [values.number(text) for text in _texts(case.raw("base_weights_multiplier"))]
    except Unusable as error:
        weights = []
        multiplier = Verdict("unsupported", why=say("kohya_unusable", reason=error))
    else:
        multiplier = stays(say("kohya_was_empty"))
    # sd-scripts merges with 1 what has no multiplier.
    weights = [*weights, *[1.0] * len(paths)][: len(paths)]
    lines = [path if weight == 1 else f"{path}={weight:g}" for path, weight in zip(paths, weights, strict=True)]
    verdict = take({"model.base_loras": lines})
    if case.gives("base_weights_multiplier") and multiplier.heading != "unsupported":
        multiplier = verdict
    return {"base_weights": verdict, "base_weights_multiplier": multiplier}


def _texts(given: object) -> list[str]:
    """The values of a flag that takes several."""
    if values.is_empty(given):
        return []
    found: Iterable[object] = given if isinstance(given, list) else [given]
    return [str(text).strip() for text in found if str(text).strip()]
