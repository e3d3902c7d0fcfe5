"""Pickles give up their weights and nothing else: what could act is refused before it does."""

import pathlib
import pickle
import sys
import types
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch

from trainer.formats.pickled import read_pickled
from trainer.job.trouble import Refused

WEIGHTS = OrderedDict({"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.float16)})


class Acts:
    """Unpickled by Python itself, it writes a file."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("as_archive", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_the_weights_come_out_and_the_rest_is_counted(tmp_path: pathlib.Path, as_archive: bool, inside: bool) -> None:
    path = tmp_path / "a.ckpt"
    content = {"state_dict": WEIGHTS | {"step": 3}, "epoch": 1, "global_step": 2} if inside else WEIGHTS
    torch.save(content, path, _use_new_zipfile_serialization=as_archive)
    tensors, others = read_pickled(path)
    assert others == (3 if inside else 0)
    assert tensors.keys() == WEIGHTS.keys()
    assert all(torch.equal(tensors[name], WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.parametrize("as_archive", [True, False])
def test_a_file_that_could_act_is_refused_in_one_sentence(tmp_path: pathlib.Path, as_archive: bool) -> None:
    path, harm = tmp_path / "evil.ckpt", tmp_path / "harm"
    torch.save({"state_dict": WEIGHTS, "x": Acts(harm)}, path, _use_new_zipfile_serialization=as_archive)
    with pytest.raises(Refused, match=r"which could run a program, and was not opened") as caught:
        read_pickled(path)
    assert not harm.exists()
    assert ". " not in str(caught.value).removeprefix(str(path))
    assert torch.load(path, weights_only=False)["x"].close() is None
    assert harm.exists(), "the file must be as bad as it is meant to be"


def test_a_bare_pickle_that_acts_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Acts(tmp_path / "harm")))
    with pytest.raises(Refused):
        read_pickled(tmp_path / "evil.pt")
    assert not (tmp_path / "harm").exists()


def test_what_trainers_leave_beside_the_weights_does_not_hinder(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "pytorch_lightning.callbacks.model_checkpoint"
    kind = type("ModelCheckpoint", (), {"__module__": name})
    for part in ("pytorch_lightning", "pytorch_lightning.callbacks", name):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    sys.modules[name].ModelCheckpoint = kind  # type: ignore[attr-defined]
    beside = {"best": np.float64(0.5), "scores": np.arange(3.0)}
    torch.save({"state_dict": WEIGHTS, "callbacks": {kind: beside}, "epoch": 1}, tmp_path / "a.ckpt")
    monkeypatch.undo()
    tensors, others = read_pickled(tmp_path / "a.ckpt")
    assert (list(tensors), others) == (list(WEIGHTS), 2)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "cannot be read"),
        (b"PK\x03\x04" + bytes(50), "cannot be read"),
        (b"\x80\x02}q\x00.", "cannot be read"),
        (b"no pickle at all", "cannot be read"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_sentence(tmp_path: pathlib.Path, content: bytes, word: str) -> None:
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(Refused, match=word) as caught:
        read_pickled(tmp_path / "a.ckpt")
    assert str(caught.value).endswith("get the file again.")


def test_a_cut_and_an_empty_file_and_one_that_is_not_there_are_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save(dict(WEIGHTS), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Refused, match="cannot be read"):
        read_pickled(path)
    for content in ({}, {"state_dict": {"a": 1}}, [1, 2]):
        torch.save(content, path)
        with pytest.raises(Refused, match="holds no weights"):
            read_pickled(path)
    with pytest.raises(Refused, match="does not exist"):
        read_pickled(tmp_path / "none.ckpt")
