"""LoRA files that a job begins with: how they are written down, and what can be said of them without loading them."""

import os
import pathlib
import re
import types
from collections.abc import Iterator, Mapping, Sequence

from trainer.job.facts import FAMILIES
from trainer.job.header import Entry, read_header
from trainer.job.trouble import Refused
from trainer.job.words import say

_SIGN = re.compile(r"[._](?:lora|hada|lokr)_(?:A|B|down|up|w[12]|linear_layer)|[._]lora\.(?:down|up)\.")
_TEXT_READER = re.compile(r"attn2[._](?:processor\.)?to_[kv].*(?:lora_A|lora_down|lora\.down|hada_w1_b)")
_BY_TEXT_WIDTH: Mapping[int, str] = types.MappingProxyType({768: "sd15", 1024: "sd2", 2048: "sdxl"})


def weighted(text: str) -> tuple[str, float]:
    """`file=0.8` as path and weight, which may turn out as nan or infinite; 1 for a file without a weight."""
    path, separator, number = text.rpartition("=")
    try:
        return (path, float(number)) if separator and path else (text, 1.0)
    except ValueError:
        return text, 1.0


def faults(start_from: str, base_loras: Sequence[str], family: str) -> Iterator[tuple[str, str]]:
    """What `problem` says of each file that a job names, with the path of the setting that names it."""
    named = [("adapter.start_from", start_from), *(("model.base_loras", weighted(text)[0]) for text in base_loras)]
    for path, name in named:
        if name and (found := problem(name, family)):
            yield path, found


def problem(name: str, family: str) -> str:
    """What is wrong with the LoRA file `name` for a base model of `family`, as far as its header tells; "" if nothing.

    It is one sentence, and takes milliseconds.
    """
    path = pathlib.Path(os.path.expanduser(name))
    try:
        tensors = read_header(path).tensors
    except Refused as error:
        return str(error)
    if not any(_SIGN.search(key) for key in tensors):
        return say("lora_none", path=name)
    found = next(_families(tensors), family)
    labels = {"found": FAMILIES[found].label, "family": FAMILIES[family].label}
    return say("lora_other_family", file=name, **labels) if found != family else ""


def _families(tensors: Mapping[str, Entry]) -> Iterator[str]:
    """The family that the width of the text states tells, for each layer that reads them."""
    for key, tensor in tensors.items():
        if _TEXT_READER.search(key) and len(tensor.shape) > 1 and tensor.shape[1] in _BY_TEXT_WIDTH:
            yield _BY_TEXT_WIDTH[tensor.shape[1]]
