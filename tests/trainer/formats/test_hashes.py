"""The two hashes, recomputed from bytes by their rules."""

import hashlib
import json
import pathlib

import pytest
import torch
from safetensors import safe_open

from tests.trainer.formats import made
from trainer.formats import kohya


def region(path: pathlib.Path) -> bytes:
    """The tensors' bytes: all that follows the header."""
    data = path.read_bytes()
    return data[8 + int.from_bytes(data[:8], "little") :]


def saved_anew(path: pathlib.Path) -> bytes:
    """The file with none but its ss_ metadata, put together by hand."""
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    header["__metadata__"] = {key: text for key, text in header["__metadata__"].items() if key.startswith("ss_")}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + region(path)


@pytest.mark.parametrize("width", [16, 200_000])
def test_both_hashes_follow_their_rules(tmp_path: pathlib.Path, width: int) -> None:
    path = tmp_path / "a.safetensors"
    layers = {made.FC1: made.lora(made.FC1, width, (8,), 2, 0.3)}
    kohya.write(path, layers, "fp32", {"ss_output_name": "ä", "modelspec.title": "a much longer title" * 9})
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["sshs_model_hash"] == hashlib.sha256(region(path)).hexdigest()
    legacy = hashlib.sha256(saved_anew(path)[0x100000:0x110000]).hexdigest()[:8]
    assert metadata["sshs_legacy_hash"] == legacy
    assert (legacy == hashlib.sha256(b"").hexdigest()[:8]) == (width == 16)


def test_the_hashes_follow_the_tensors_and_not_what_is_said_of_them(tmp_path: pathlib.Path) -> None:
    layers = made.sd15()
    found = set()
    for number, title in enumerate(["one", "two"]):
        kohya.write(tmp_path / f"{number}.safetensors", layers, "fp16", {"modelspec.title": title})
        with safe_open(tmp_path / f"{number}.safetensors", "pt") as file:
            found.add((file.metadata()["sshs_model_hash"], file.metadata()["sshs_legacy_hash"]))
    assert len(found) == 1
    with torch.no_grad():
        layers[made.FC1].tensors["lora_up"][0, 0] += 1
    kohya.write(tmp_path / "c.safetensors", layers, "fp16", {})
    with safe_open(tmp_path / "c.safetensors", "pt") as file:
        assert file.metadata()["sshs_model_hash"] not in {one for one, _ in found}
