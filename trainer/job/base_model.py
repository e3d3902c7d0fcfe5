"""What a base model's name refers to, found out in milliseconds and without loading it."""

import dataclasses
import os
import pathlib
from typing import Literal

from trainer.job.detect import Detected, of_file, of_folder
from trainer.job.facts import FAMILIES
from trainer.job.header import read_header
from trainer.job.hub_names import HubName, cached, hub_name
from trainer.job.model_files import PICKLES, needed
from trainer.job.trouble import Refused
from trainer.job.words import say

STARTER = pathlib.Path(__file__).parents[1] / "starter" / "model"
_STARTER = Detected("sd15")


@dataclasses.dataclass(frozen=True)
class BaseModel:
    """Where a base model lies, a line about it, and the problem with it ("" if none).

    `path` is None for a hub id that has not been fetched yet. `family` is "" where nothing tells it, `prediction` is
    "epsilon", "v" or "", `precision` fp64, fp32, fp16, bf16, fp8, mixed or "".
    """

    kind: Literal["starter", "folder", "file", "hub", "missing"]
    path: pathlib.Path | None
    text: str
    problem: str = ""
    family: str = ""
    prediction: str = ""
    zero_terminal_snr: bool = False
    precision: str = ""


def describe(base: str, family: str) -> BaseModel:
    """What `base` refers to, and whether it fits `family` ("": any) as far as its config or file header tells."""
    if base == "starter":
        problem = problem_with(_STARTER, base, family)
        return BaseModel("starter", STARTER, say("base_starter"), problem, _STARTER.family)
    # os.path answers where pathlib raises: an unknown ~user, a name that is too long, a folder that may not be read.
    path = pathlib.Path(os.path.expanduser(base))
    if os.path.isdir(path):
        return _judged(BaseModel("folder", path, ""), base, family)
    if os.path.isfile(path):
        return _judged(BaseModel("file", path, ""), base, family)
    name = hub_name(base)
    if name is None or (name.file and os.path.isdir(path.parts[0])):
        return BaseModel("missing", None, "", say("base_missing", base=base))
    return _of_hub(name, base, family)


def _of_hub(name: HubName, base: str, family: str) -> BaseModel:
    path = cached(name)
    if path is None:
        return BaseModel("hub", None, say("base_hub"))
    return _judged(BaseModel("hub", path, ""), base, family)


def _judged(found: BaseModel, base: str, family: str) -> BaseModel:
    """`found` with what its file or folder tells."""
    assert found.path is not None
    try:
        detected = _detect(found.path, base)
        size = _size(found.path)
    except Refused as error:
        return dataclasses.replace(found, problem=str(error))
    except OSError as error:
        return dataclasses.replace(found, problem=say("unreadable", path=base, reason=error.strerror))
    return dataclasses.replace(
        found,
        text=_line(found.kind, detected, size),
        problem=problem_with(detected, base, family),
        family=detected.family,
        prediction=detected.prediction,
        zero_terminal_snr=detected.zero_terminal_snr,
        precision=detected.precision,
    )


def _detect(path: pathlib.Path, base: str) -> Detected:
    if path.is_dir():
        detected = of_folder(path)
        if detected is None:
            raise Refused("base_not_diffusers", base=base)
        return detected
    if path.suffix.lower() in PICKLES:
        raise Refused("base_pickle", base=base, new=path.with_suffix(".safetensors"))
    with path.open("rb") as stream:
        if stream.read(4) == b"GGUF":
            return Detected(other_kind="gguf")
    if path.suffix.lower() != ".safetensors":
        raise Refused("base_not_safetensors", base=base)
    return of_file(path, read_header(path))


def _size(path: pathlib.Path) -> int:
    """Bytes of what is loaded of it."""
    if path.is_file():
        return path.stat().st_size
    files = {file.relative_to(path).as_posix(): file.stat().st_size for file in path.glob("*/*") if file.is_file()}
    return sum(files[name] for name in needed(files).files)


def problem_with(found: Detected, base: str, family: str) -> str:
    """Why what `base` refers to cannot be trained as `family` ("" stands for any), "" if it can."""
    if found.other_kind == "lora":
        return say("base_is_lora", base=base)
    if found.other_kind or (found.family and found.family not in FAMILIES):
        labels = ", ".join(row.label for row in FAMILIES.values())
        return say("base_unsupported", base=base, found=say(f"kind_{found.other_kind or found.family}"), labels=labels)
    if found.family in ("", family) or not family:
        return ""
    return say("base_other_family", base=base, found=FAMILIES[found.family].label, family=FAMILIES[family].label)


def _line(kind: str, found: Detected, size_bytes: int) -> str:
    parts = [FAMILIES[found.family].label if found.family in FAMILIES else say("base_family_unknown")]
    parts.append(say(f"base_prediction_{found.prediction or 'unknown'}"))
    if found.guessed:
        parts[-1] += " " + say(f"base_by_{found.guessed}")
    if found.zero_terminal_snr:
        parts.append(say("base_zero_snr"))
    if found.precision:
        parts.append(say(f"base_precision_{found.precision}"))
    size = f"{size_bytes / 2**30:.1f} GB" if size_bytes >= 2**30 / 10 else f"{size_bytes / 2**20:.1f} MB"
    return say(f"base_line_{kind}", facts=", ".join([*parts, size]))
