"""Files of weights that are damaged or mean harm: their layers come of them, or one sentence."""

import io
import json
import pathlib
import pickle
import zipfile
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from safetensors.torch import save

from tests.fuzz.mutations import as_json, changed, damaged
from tests.fuzz.trials import Trials, said
from tests.trainer.formats import bad
from trainer.formats.pickled import read_pickled
from trainer.formats.stranger import open_lora
from trainer.job import base_model, lora_files, vae_files
from trainer.job.trouble import Refused
from trainer.tools import inspect

PEFT = "unet.mid_block.attentions.0.proj_in"
SETTINGS = {"unet.lora_alpha": 4, "unet.alpha_pattern": {"proj_in": 8}, "unet.use_rslora": True}
HARMFUL = (
    *(
        "(a+)+",
        "(a|a)*",
        "(.*)*" * 20,
        ".*.*.*.*.*.*x",
        "a{1,65000}" * 50,
        "((((" * 5000,
        "[",
        "(?i",
        "\\",
        "(?P<a>",
        "$" * 9,
    ),
    *("(\\w+\\.)*x", "(?=(\\w+))\\1*x", "x" * 100_000, "(?:" * 200 + ")" * 200, "\\d+{2}{3}{4}", "\\Z" * 1000),
)


def lora() -> bytes:
    """A LoRA as PEFT and diffusers write it, with the record of how it was made."""
    tensors = {f"{PEFT}.lora_A.weight": torch.ones(2, 8), f"{PEFT}.lora_B.weight": torch.ones(8, 2)}
    tags = {"a": {"cat": 3}}
    about = {"lora_adapter_metadata": json.dumps(SETTINGS), "ss_tag_frequency": json.dumps(tags)}
    return save(tensors, {**about, "modelspec.thumbnail": "data:image/png;base64,AAAA", "modelspec.tags": "a"})


def header(content: bytes) -> dict[str, Any]:
    """The header of a file, with what stands in its metadata as JSON taken apart."""
    found: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return found


WHOLE = (bad.lora_bytes(), lora(), save({"first_stage_model.decoder.conv_in.weight": torch.ones(2, 2, 1, 1)}))
HEADERS = tuple(map(header, WHOLE))
DATA = bytes(600)


def opened(path: pathlib.Path) -> None:
    """All that reads such a file."""
    try:
        file = open_lora(path)
        found = inspect.about(file)
        json.dumps(found, ensure_ascii=False)
        "\n".join(inspect.lines(found))
    except Refused as error:
        said(error)
    for problem in (lora_files.problem(str(path), "sd15"), vae_files.problem(str(path))):
        if problem:
            said(problem)
    described = base_model.describe(str(path), "sd15")
    said(described.problem or f"It is {described.text}.")


def test_safetensors(trials: Trials, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "odd.safetensors"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        opened(path)

    known = [content for content, _ in (*bad.BROKEN.values(), *bad.NO_LORA.values())]
    many = {f"a{number}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for number in range(4_000)}
    long = {"a" * 200_000 + ".lora_up.weight": {"dtype": "F32", "shape": [2, 2] + [1] * 5000, "data_offsets": [0, 16]}}
    known += [bad.with_header(many), bad.with_header(long, bytes(16)), bad.with_header(b'{"a":' * 50_000)]
    known += [bad.with_header(bad.entry([0, 16], ["&", size])) for size in (2, 10**9, 2**70)]
    known.append(bad.with_header(b'{"__metadata__": {"a": "\\ud800"}, "a": {"dtype": "U8", "shape": [' + b"9" * 5000))
    trials.of("safetensors, bytes", read, damaged(WHOLE), known, count=90)
    headers = changed(HEADERS).map(as_json)
    trials.of("safetensors", read, st.tuples(headers, st.just(DATA)).map(lambda both: bad.with_header(*both)), count=90)


def test_what_a_lora_says_of_itself(trials: Trials, tmp_path: pathlib.Path) -> None:
    """Metadata are texts that are read in turn: as JSON, as regular expressions, as pictures."""
    path = tmp_path / "odd.safetensors"
    tensors = {f"{PEFT}.lora_A.weight": torch.ones(2, 8), f"{PEFT}.lora_B.weight": torch.ones(8, 2)}

    def read(given: tuple[Any, Any, bytes]) -> None:
        settings, tags, picture = given
        about = {"lora_adapter_metadata": as_json(settings).decode(), "ss_tag_frequency": as_json(tags).decode()}
        path.write_bytes(save(tensors, {**about, "modelspec.thumbnail": f"data:;base64,{picture.hex()}"}))
        opened(path)

    def with_pattern(pattern: str) -> tuple[Any, Any, bytes]:
        return {**SETTINGS, "unet.alpha_pattern": {pattern: 2}}, {}, b""

    odd = st.tuples(changed((SETTINGS,)), changed(({"a": {"cat": 3}},)), st.binary(max_size=20))
    patterns = st.text(alphabet="a.*+?()[]{}|\\$^w1,", max_size=30).map(with_pattern)
    endless: Any = (SETTINGS, {"a": {"cat": float("inf")}}, b"")
    beyond: Any = ({**SETTINGS, "unet.lora_alpha": 1e308}, {}, b"")
    trials.of("metadata of LoRAs", read, odd | patterns, [*map(with_pattern, HARMFUL), endless, beyond], count=90)


@pytest.mark.parametrize(
    "pattern", ["proj_in", "attentions.0.proj_in", r"attentions\.\d+\.proj_in", ".*proj_in", "^mid.*in"]
)
def test_alphas_are_still_found_by_patterns(tmp_path: pathlib.Path, pattern: str) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {f"{PEFT}.lora_A.weight": torch.ones(2, 8), f"{PEFT}.lora_B.weight": torch.ones(8, 2)}
    settings = {"unet.lora_alpha": 4, "unet.alpha_pattern": {"other": 1, pattern: 8}}
    path.write_bytes(save(tensors, {"lora_adapter_metadata": json.dumps(settings)}))
    assert {layer.alpha for layer in open_lora(path).layers.values()} == {8.0}


def pickled(content: Any, as_archive: bool = True) -> bytes:
    """A checkpoint as torch writes it, in today's form or the older one."""
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=as_archive)
    return stream.getvalue()


def packed(content: bytes) -> bytes:
    """The same archive with its parts packed, as torch never does."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + bytes(20_000_000) * name.endswith("version"))
    return stream.getvalue()


WEIGHTS = {"state_dict": {"a.weight": torch.ones(2, 3), "b": torch.ones(2)}, "epoch": 1}
PICKLES = (
    pickled(WEIGHTS),
    pickled(WEIGHTS, False),
    pickle.dumps({"a": [1, 2]}),
    pickled({"a": torch.ones(1).expand(4)}),
)


def test_pickles(trials: Trials, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "odd.ckpt"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        try:
            tensors, _ = read_pickled(path)
            assert sum(tensor.nbytes for tensor in tensors.values()) <= len(content)
        except Refused as error:
            said(error)

    words = (
        b"cos\nsystem\n(S'x'\ntR.",
        b"\x8c\x08builtins\x8c\x04eval\x93",
        b"\x8d" + b"\xff" * 8,
        b"]" + b"2" * 30,
        b"cbuiltins\nbytearray\nJ\x00\x00\x00\x40\x85R",
    )
    expanded = pickled({"a": torch.ones(1).expand(2**20, 2**20)})
    known = (b"", b"\x80", b"PK\x03\x04", b"\x80\x02" + b"(" * 90_000, expanded, packed(PICKLES[0]), *PICKLES)
    trials.of("pickles", read, damaged(PICKLES, words), known, count=60)
