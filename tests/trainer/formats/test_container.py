"""safetensors files of any origin: what is wrong is found in the header, and what is written by hand is one."""

import json
import pathlib
import tracemalloc

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.trainer.formats import bad
from trainer.formats.container import TYPES, Entry, open_container, write_streamed
from trainer.job.trouble import Refused


@pytest.mark.parametrize(("content", "word"), bad.BROKEN.values(), ids=bad.BROKEN)
def test_a_broken_file_is_refused_in_one_sentence(tmp_path: pathlib.Path, content: bytes, word: str) -> None:
    path = bad.write(tmp_path, content)
    with pytest.raises(Refused) as caught:
        open_container(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert word in sentence
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")


def test_a_claimed_size_takes_no_memory(tmp_path: pathlib.Path) -> None:
    tracemalloc.start()
    for claimed in (2 * 2**30, 2**62):
        with pytest.raises(Refused, match="claims"):
            open_container(bad.write(tmp_path, claimed.to_bytes(8, "little") + b"{}"))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2**20


@pytest.mark.parametrize("unit", [b"[],", b'{"":0},', b"1000,", b'"ab",'])
def test_a_header_of_no_tensors_takes_little_more_memory_than_a_file(tmp_path: pathlib.Path, unit: bytes) -> None:
    for size in (15 * 2**20, 100 * 10**6):
        path = bad.write(tmp_path, bad.with_header(b'{"a":[' + unit * (size // len(unit)) + b"0]}"))
        tracemalloc.start()
        with pytest.raises(Refused):
            open_container(path)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak_bytes < 256 * 2**20


def test_a_header_of_thousands_of_tensors_and_megabytes_of_captions_is_read(tmp_path: pathlib.Path) -> None:
    names = [f"model.diffusion_model.output_blocks.{number}.transformer_blocks.weight" for number in range(20_000)]
    tags = json.dumps({"1_cat": {f"a cat [on {{a}} mat], {number}": number for number in range(60_000)}})
    header = {name: {"dtype": "F16", "shape": [0, 4, 1, 1], "data_offsets": [0, 0]} for name in names}
    text = {"__metadata__": {"ss_tag_frequency": tags}, **header}
    container = open_container(bad.write(tmp_path, bad.with_header(text)))
    assert len(container.tensors) == 20_000
    assert container.metadata["ss_tag_frequency"] == tags


@pytest.mark.parametrize("length", [0x80, 0x280, 0x480])
def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path: pathlib.Path, length: int) -> None:
    header = json.dumps(bad.entry([0, 16])).encode()
    path = bad.write(tmp_path, bad.with_header(header + b" " * (length - len(header)), bytes(16)))
    assert path.read_bytes()[0] == 0x80
    assert len(open_container(path).tensors) == 1


def test_a_missing_file_and_a_folder_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Refused, match="does not exist"):
        open_container(tmp_path / "none.safetensors")
    with pytest.raises(Refused, match="cannot be read"):
        open_container(tmp_path)


def test_a_file_that_shrinks_after_it_was_opened_is_refused(tmp_path: pathlib.Path) -> None:
    path = bad.write(tmp_path, bad.lora_bytes())
    container = open_container(path)
    path.write_bytes(bad.lora_bytes()[:-70])
    with pytest.raises(Refused, match="cut short"):
        [container.read(name) for name in container.tensors]


def tensors() -> dict[str, torch.Tensor]:
    numbers = torch.arange(-6, 6, dtype=torch.float32).reshape(3, 4)
    return {f"of {name}": numbers.to(dtype) for name, dtype in TYPES.items()} | {"none": torch.ones(0, 3)}


def test_every_type_is_read_as_the_library_reads_it(tmp_path: pathlib.Path) -> None:
    save_file(tensors(), tmp_path / "a.safetensors", {"who": "me"})
    container = open_container(tmp_path / "a.safetensors")
    assert container.metadata == {"who": "me"}
    for name, tensor in load_file(tmp_path / "a.safetensors").items():
        found = container.read(name)
        assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
        assert found.float().equal(tensor.float())


def test_what_is_streamed_is_read_by_the_library(tmp_path: pathlib.Path) -> None:
    save_file(tensors(), tmp_path / "a.safetensors")
    like = open_container(tmp_path / "a.safetensors")
    given = ((name, like.read(name)) for name in like.tensors)
    size = write_streamed(tmp_path / "b.safetensors", like.tensors, {"näme": "ü"}, given)
    assert size == (tmp_path / "b.safetensors").stat().st_size
    written = load_file(tmp_path / "b.safetensors")
    assert written.keys() == tensors().keys()
    assert all(written[name].float().equal(tensor.float()) for name, tensor in tensors().items())
    with safe_open(tmp_path / "b.safetensors", "pt") as file:
        assert file.metadata() == {"näme": "ü"}


@pytest.mark.parametrize("given", [torch.ones(3), torch.ones(2, dtype=torch.float16)])
def test_a_stream_that_is_not_what_was_announced_leaves_nothing(tmp_path: pathlib.Path, given: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="announced"):
        write_streamed(tmp_path / "a.safetensors", {"x": Entry("F32", (2,), 0, 8)}, {}, [("x", given)])
    with pytest.raises(ValueError, match="zip"):
        write_streamed(tmp_path / "a.safetensors", {"x": Entry("F32", (2,), 0, 8)}, {}, [])
    assert not list(tmp_path.iterdir())
