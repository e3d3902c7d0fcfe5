"""Pickles that would fill the memory are refused before they do, and checkpoints of any kind are none of them."""

import io
import pathlib
import pickle
import tracemalloc
import zipfile
from collections import Counter, OrderedDict
from typing import Any

import pytest
import torch

from trainer.formats import pickle_size
from trainer.formats.pickled import read_pickled
from trainer.job.trouble import Refused

WIDE = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000" + (
    b"X\x03\x00\x00\x00cpuK\x01tQK\x00J\x00\x00\x00\x40\x85K\x00\x85\x89ccollections\nOrderedDict\n)RtR"
)
"""A tensor of one number that says to have 2^30."""
LIST = b"](" + b"".join(b"M" + number.to_bytes(2, "little") for number in range(5000)) + b"e"
TEXT = b"X\x88\x13\x00\x00" + b"x" * 5000
SWELLING = {
    "bytearray": b"c__builtin__\nbytearray\nJ\x00\x00\x00\x20\x85R",
    "bytearray by its new name": b"cbuiltins\nbytearray\nJ\x00\x00\x00\x20\x85R",
    "a tensor's own class": b"ctorch\nFloatTensor\nJ\x00\x00\x00\x20\x85R",
    "a storage": b"ctorch.storage\nUntypedStorage\nJ\x00\x00\x00\x20\x85R",
    "a set of rows": b"c__builtin__\nset\n" + WIDE + b"\x85R",
    "rows as what a function gets": b"c__builtin__\nset\n" + WIDE + b"R",
    "rows as a state": b"ccollections\nOrderedDict\n)R" + WIDE + b"b",
    "a tensor of another type": b"ctorch._utils\n_rebuild_device_tensor_from_cpu_tensor\n("
    + WIDE
    + b"ctorch\nfloat64\nX\x03\x00\x00\x00cpu\x89tR",
    "a list copied": b"c__builtin__\nset\nq\x00" + LIST + b"q\x01" + b"h\x00h\x01\x85R" * 4000,
    "a list that grows once it lies in a tuple": b"c__builtin__\nset\nq\x00]q\x01\x85q\x02h\x01"
    + LIST[1:]
    + b"h\x00h\x02R" * 4000,
    "a text copied": b"c_codecs\nencode\nq\x00" + TEXT + b"q\x01" + b"h\x00h\x01X\x06\x00\x00\x00utf-32\x86R" * 4000,
    "a list in itself": b"]q\x00" + b"h\x00a" * 50 + b"c__builtin__\nset\nh\x00\x85R",
    "a million sets": b"\x8f" * 1_000_001,
    "a long pickle": b"](" + (b"X\xff\xff\x0f\x00" + b"x" * 0xFFFFF) * 17,
}


def archive(content: bytes) -> bytes:
    """A checkpoint of today with this pickle in it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        packed.writestr("a/data.pkl", content)
        packed.writestr("a/data/0", bytes(4))
        packed.writestr("a/version", b"3\n")
    return stream.getvalue()


def of_old(content: bytes) -> bytes:
    """A checkpoint of the old kind with this pickle in it."""
    before = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})
    return b"".join(pickle.dumps(each, 2) for each in before) + content + pickle.dumps(["0"], 2) + b"\1" + bytes(11)


@pytest.mark.parametrize("make", [archive, of_old])
@pytest.mark.parametrize("content", SWELLING.values(), ids=SWELLING)
def test_what_would_fill_the_memory_is_refused_before_it_does(
    tmp_path: pathlib.Path, content: bytes, make: Any
) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(make(b"\x80\x02" + content + b"."))
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="could fill the memory"):
            read_pickled(path)
        assert tracemalloc.get_traced_memory()[1] < 128 * 2**20
    finally:
        tracemalloc.stop()


def test_a_pickle_is_found_under_any_name_that_torch_finds_it_by(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(archive(b"\x80\x02" + SWELLING["bytearray"] + b".").replace(b"a/data.pkl", b"a/DATA.pkl"))
    with pytest.raises(Refused, match="could fill the memory"):
        read_pickled(path)


def saved(content: Any, as_archive: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=as_archive)
    return stream.getvalue()


@pytest.mark.parametrize("as_archive", [True, False])
def test_a_large_checkpoint_with_all_that_trainers_leave_in_it_is_read(
    tmp_path: pathlib.Path, as_archive: bool
) -> None:
    weights = OrderedDict({f"model.diffusion_model.blocks.{n}.weight": torch.ones(1) for n in range(3000)})
    states = {n: {"step": n, "exp_avg": torch.zeros(1), "exp_avg_sq": torch.zeros(1)} for n in range(1000)}
    beside = {
        "optimizer_states": [{"state": states, "param_groups": [{"lr": 1e-4, "params": list(range(1000))}]}],
        "seen": {1, 2, 3},
        "milestones": Counter({3: 1, 5: 2}),
        "shape": torch.Size((1, 2)),
        "device": torch.device("cpu"),
        "kind": torch.bfloat16,
        "bytes": b"\xff\x00",
        "number": 3 + 4j,
        "words": [("a cat", "a cat")] * 1000,
    }
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2))
    content = {"state_dict": weights | module.state_dict() | dict(module.named_parameters(prefix="p")), **beside}
    (tmp_path / "a.ckpt").write_bytes(saved(content, as_archive))
    tensors, others = read_pickled(tmp_path / "a.ckpt")
    assert (len(tensors), others) == (3008, len(beside))


def test_weights_in_eight_bits_are_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.pt").write_bytes(saved({"a": torch.ones(3).to(torch.float8_e4m3fn)}, True))
    assert read_pickled(tmp_path / "a.pt")[0]["a"].dtype == torch.float8_e4m3fn


def test_what_is_no_pickle_that_torch_reads_is_left_to_torch() -> None:
    for content in (b"", b"\x80", b"\x80\x02h\x00.", b"\x80\x02tR.", b"cos\nsystem\nR.", b"\x80\x04\x95" + bytes(8)):
        assert not pickle_size.swells(content, 1)


def test_nothing_is_printed_of_a_text_with_an_odd_backslash() -> None:
    assert not pickle_size.swells(b"S'\\c'\n.", 1)  # warnings are errors here


def test_of_a_large_file_that_is_no_pickle_at_all_it_is_not_said() -> None:
    for content in (bytes(17 * 2**20), b"<html>" * 3 * 2**20):
        assert not pickle_size.swells(content, 1)
    assert pickle_size.swells(b"X" + (17 * 2**20).to_bytes(4, "little") + b"x" * 17 * 2**20 + b".", 1)
