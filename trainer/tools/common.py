"""What several tools do alike: ask for files, count on, and say what was written."""

import json
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from tqdm import tqdm

from trainer.formats.kohya import DTYPES
from trainer.formats.layers import LoraLayer
from trainer.formats.layouts import UNKNOWN, Layout
from trainer.formats.stranger import LoraFile
from trainer.job.trouble import Refused
from trainer.job.words import say

LINES_PER_S = 4
T = TypeVar("T")


def counted(items: Sequence[T], unit: str = "layers") -> Iterator[T]:
    """The items one by one, while it is shown how many are done: a bar on a terminal, else lines (12/192 layers)."""
    if sys.stdout.isatty():
        yield from tqdm(items, unit=" " + say(f"unit_{unit}"), dynamic_ncols=True, leave=False, file=sys.stdout)
        return
    last = 0.0
    for done, item in enumerate(items, 1):
        yield item
        if done == len(items) or time.monotonic() - last >= 1 / LINES_PER_S:
            print(say("tool_progress", done=done, total=len(items), unit=say(f"unit_{unit}")), flush=True)
            last = time.monotonic()


def new_file(path: pathlib.Path, ending: str = ".safetensors") -> pathlib.Path:
    """`path`, after it was made sure that a new file can be written there. Raises Refused."""
    if path.suffix.lower() != ending:
        raise Refused("out_ending", path=path, ending=ending)
    if path.exists():
        raise Refused("out_exists", path=path)
    if not path.parent.is_dir():
        raise Refused("out_folder", path=path, folder=path.parent)
    return path


def precision_name(asked: str | None, stored: torch.dtype) -> str:
    """fp16, bf16 or fp32: what was asked for, else what the tensors are stored in."""
    return asked or next((name for name, dtype in DTYPES.items() if dtype == stored), "fp32")


def one_layout(files: Sequence[LoraFile]) -> Layout:
    """The family of all files. Raises Refused when they are of several, or when a layer has different shapes."""
    first = next((file for file in files if file.layout is not UNKNOWN), files[0])
    shapes: dict[str, tuple[pathlib.Path, LoraLayer]] = {}
    for file in files:
        if file.layout not in (UNKNOWN, first.layout):
            labels = {"family": first.layout.label, "other_family": file.layout.label}
            raise Refused("mixed_families", path=first.path, other=file.path, **labels)
        for name, layer in file.layers.items():
            path, other = shapes.setdefault(name, (file.path, layer))
            if layer.shape[0] != other.shape[0] or columns(layer) != columns(other):
                raise Refused("mixed_shapes", path=path, other=file.path, layer=name)
    return first.layout


def columns(layer: LoraLayer) -> int:
    """The number of numbers that one output of the layer is made from."""
    return torch.Size(layer.shape[1:]).numel()


def plain(file: LoraFile) -> LoraFile:
    """`file`, if its changes are sums. Raises Refused for DoRA, which also depends on the weights it is used on."""
    if "dora" in file.kinds:
        raise Refused("dora_no_sum", path=file.path)
    return file


def network_metadata(
    layout: Layout, layers: Mapping[str, LoraLayer], sources: Sequence[Mapping[str, str]] = ()
) -> dict[str, str]:
    """The metadata that say what kind of LoRA a file holds, by the layers that go into it.

    Which of a family's models it is for (in 2.x one predicts v, another noise) is what the metadata `sources` agree on.
    """
    linear = [layer.rank or 1 for layer in layers.values() if max(layer.shape[2:], default=1) == 1]
    spatial = [layer.rank or 1 for layer in layers.values() if max(layer.shape[2:], default=1) > 1]
    alpha = str(max(layer.alpha or 1.0 for layer in layers.values()))
    about = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(max(linear or spatial)),
        "ss_network_alpha": alpha,
        "ss_network_args": json.dumps({"conv_dim": str(max(spatial)), "conv_alpha": alpha} if spatial else {}),
    }
    if layout is not UNKNOWN:
        version = _agreed(sources, "ss_base_model_version", layout.version_begins) or layout.base_model_version
        architecture = _agreed(sources, "modelspec.architecture", layout.architecture_begins) or layout.architecture
        about["ss_base_model_version"] = version
        about["ss_v2"] = str(version.startswith("sd_v2"))
        about["modelspec.architecture"] = f"{architecture.partition('/')[0]}/lora"
        about["modelspec.sai_model_spec"] = "1.0.1"
    return about


def _agreed(sources: Sequence[Mapping[str, str]], key: str, begins: str) -> str:
    """The one value that all of `sources` have for `key`, if it begins like those of the family; else ""."""
    values = {source.get(key, "") for source in sources}
    return next(iter(values)) if len(values) == 1 and all(value.startswith(begins) for value in values) else ""


def percent(error: float) -> str:
    """A relative error as percent, of three digits; 0 for what is no more than float32's rounding."""
    return f"{100 * error:.3g}" if error > 1e-7 else "0"


def written(path: pathlib.Path, size_bytes: int) -> None:
    """Says that the file is there."""
    print(say("tool_written", path=path, size=f"{size_bytes / 2**20:.1f}"), flush=True)
