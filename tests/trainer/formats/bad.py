"""Files that are no whole LoRA, each with a word of the sentence that refuses it."""

import json
import pathlib
from typing import Any

import torch
from safetensors.torch import save

NAME = "lora_unet_mid_block_attentions_0_proj_in"


def lora_bytes(down: torch.Tensor | None = None) -> bytes:
    """A LoRA of one layer, as a file."""
    down = torch.ones(2, 8) if down is None else down
    tensors = {f"{NAME}.lora_down.weight": down, f"{NAME}.lora_up.weight": torch.ones(8, 2)}
    return save({**tensors, f"{NAME}.alpha": torch.tensor(1.0)})


def with_header(header: Any, data: bytes = b"") -> bytes:
    """A file with this header, well-formed or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(
    offsets: Any, shape: Any = (2, 2), dtype: Any = "F32", name: str = f"{NAME}.lora_up.weight"
) -> dict[str, Any]:
    """A header of one LoRA tensor."""
    return {name: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


BROKEN = {
    "empty": (b"", "empty"),
    "three bytes": (b"abc", "no safetensors file"),
    "text": (b"<!DOCTYPE html><html>not found</html>", "claims"),
    "pickle": (b"PK\x03\x04" + bytes(100), "pickle"),
    "old pickle": (b"\x80\x02}q\x00." + bytes(100), "pickle"),
    "header of 2 GB": ((2 * 2**30).to_bytes(8, "little") + b"{}", "claims 2147483648 bytes"),
    "header of 2^64 bytes": (b"\xff" * 16, "claims"),
    "truncated": (lora_bytes()[:-20], "cut short"),
    "truncated header": (lora_bytes()[:60], "claims"),
    "bytes after the end": (lora_bytes() + b"more", "4 bytes after"),
    "no JSON": (with_header(b"{'a': 1}"), "no safetensors file"),
    "deep JSON": (with_header(b"[" * 100_000), "no safetensors file"),
    "too long a header": (with_header(b"{}".ljust(17 * 2**20)), "claims 17825792 bytes"),
    "a million lists": (with_header(b'{"a":[' + b"[]," * 10**6 + b"0]}"), "no safetensors file"),
    "a million objects": (with_header(b'{"a":[' + b'{"":0},' * 10**6 + b"0]}"), "no safetensors file"),
    "a list": (with_header([]), "no safetensors file"),
    "no tensors": (with_header({"__metadata__": {"a": "b"}}), "no tensors"),
    "metadata no object": (with_header({"__metadata__": ["a"]}), "__metadata__"),
    "NaN offsets": (with_header(entry([float("nan"), 16]), bytes(16)), NAME),
    "negative offsets": (with_header(entry([-16, 0]), bytes(16)), NAME),
    "offsets back to front": (with_header(entry([16, 0]), bytes(16)), NAME),
    "one offset": (with_header(entry([0]), bytes(16)), NAME),
    "offsets of another size": (with_header(entry([0, 12]), bytes(12)), NAME),
    "true as an offset": (with_header(entry([False, 16]), bytes(16)), NAME),
    "negative shape": (with_header(entry([0, 16], (-2, -2)), bytes(16)), NAME),
    "huge shape": (with_header(entry([0, 16], (2**62, 2**62)), bytes(16)), NAME),
    "unknown type": (with_header(entry([0, 16], dtype="F12")), NAME),
    "entry no object": (with_header({NAME: 5}), NAME),
    "a gap": (with_header(entry([8, 24]), bytes(24)), NAME),
    "overlap": (with_header(entry([0, 16]) | entry([8, 24], name="other"), bytes(24)), "other"),
}
NO_LORA = {
    "a checkpoint": (save({"model.diffusion_model.out.2.weight": torch.ones(2)}), "no LoRA"),
    "a LoRA and more": (save({f"{NAME}.lora_up.weight": torch.ones(2, 2), "x": torch.ones(1)}), "such as x"),
    "not a number": (lora_bytes(torch.full((2, 8), float("nan"))), "no numbers"),
    "infinite": (lora_bytes(torch.full((2, 8), float("inf"))), "no numbers"),
    "shapes that do not fit": (lora_bytes(torch.ones(3, 8)), "do not fit"),
    "half a layer": (save({f"{NAME}.lora_up.weight": torch.ones(2, 2)}), "do not fit"),
    "alpha alone": (save({f"{NAME}.alpha": torch.ones(1)}), "no LoRA"),
    "whole numbers": (lora_bytes(torch.ones(2, 8, dtype=torch.int32)), "no numbers"),
    "two kinds in one": (
        save({f"{NAME}.lora_up.weight": torch.ones(2, 2), f"{NAME}.hada_w1_a": torch.ones(2, 2)}),
        "do not fit",
    ),
    "settings no JSON": (
        save({"unet.mid_block.attentions.0.proj_in.lora_A.weight": torch.ones(2, 2)}, {"lora_adapter_metadata": "{"}),
        "lora_adapter_metadata",
    ),
}  # fmt: skip


def write(folder: pathlib.Path, content: bytes) -> pathlib.Path:
    """The file, with a name that promises something better."""
    path = folder / "bad.safetensors"
    path.write_bytes(content)
    return path
