"""Which programs read a LoRA file, and why one does not: measured with ComfyUI 0.3.64, Forge of 2025-06, A1111 of
2024-01 and its DoRA of 1.9, diffusers 0.42 and sd-scripts 0.10.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal

from trainer.formats.alphas import uneven
from trainer.formats.stranger import LoraFile

COMFY, FORGE, A1111, DIFFUSERS, SD_SCRIPTS = "ComfyUI", "Forge", "A1111", "diffusers", "sd-scripts"
PROGRAMS = (COMFY, FORGE, A1111, DIFFUSERS, SD_SCRIPTS)
_PARTLY = frozenset(
    {
        "reader_text_names",
        "reader_alphas",
        "reader_lokr_tucker",
        "reader_dora_lost",
        "reader_dora_old",
        "reader_dora_open_clip",
        "reader_dora_axis",
        "reader_dora_other",
    }
)


@dataclasses.dataclass(frozen=True)
class Reader:
    """One program; `reason` is the key of the sentence that says what it does not read, "" when it reads all."""

    program: str
    reason: str

    @property
    def verdict(self) -> Literal["yes", "partly", "no"]:
        """Whether it loads the file, and all of it rightly."""
        return "yes" if not self.reason else "partly" if self.reason in _PARTLY else "no"


def readers(file: LoraFile) -> list[Reader]:
    """Every program with the first thing that stands against it; none for kinds of models that were not measured."""
    if file.unknown:
        return []
    found = list(_obstacles(file))
    return [Reader(program, next((why for who, why in found if who == program), "")) for program in PROGRAMS]


def _obstacles(file: LoraFile) -> Iterator[tuple[str, str]]:
    if file.format == "peft":
        yield from ((program, "reader_peft") for program in (COMFY, A1111, SD_SCRIPTS))
        yield FORGE, "reader_peft_forge"
    if file.format == "kohya" and any(_lacks_wrapper(name) for name in file.stored.values()):
        yield from ((program, "reader_text_names") for program in PROGRAMS if program != DIFFUSERS)
    if file.format == "kohya" and uneven(file.layers):
        yield DIFFUSERS, "reader_alphas"
    kinds = set(file.kinds)
    if kinds & {"loha", "lokr"}:
        yield DIFFUSERS, "reader_kind"
        yield SD_SCRIPTS, "reader_kind"
    if _has(file, "lokr_t2"):
        yield COMFY, "reader_lokr_tucker"
        yield FORGE, "reader_lokr_tucker_stops"
    if _has(file, "lora_mid"):
        yield DIFFUSERS, "reader_mid"
        yield SD_SCRIPTS, "reader_mid"
    if "dora" in kinds:
        columns = all(layer.norms_inputs for layer in file.layers.values() if layer.is_dora)
        old = "reader_dora_open_clip" if _decomposes_open_clip(file) else "reader_dora_old"
        yield A1111, old if columns else "reader_dora_axis"
        yield from ((program, "reader_dora_lost") for program in (DIFFUSERS, SD_SCRIPTS))
        if not columns:
            yield from ((program, "reader_dora_other") for program in (COMFY, FORGE))


def _has(file: LoraFile, kind: str) -> bool:
    return any(kind in layer.tensors for layer in file.layers.values())


def _decomposes_open_clip(file: LoraFile) -> bool:
    """Whether there is DoRA where A1111 has query, key and value as one weight, whose shape it then trips over."""
    return any(
        layer.is_dora and ".self_attn." in name and name.partition(".")[0] in file.layout.open_clip
        for name, layer in file.layers.items()
    )


def _lacks_wrapper(stored: str) -> bool:
    return stored.startswith("lora_te") and "text_model" not in stored and "text_projection" not in stored
