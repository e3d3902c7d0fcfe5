"""How errors become sentences."""

import json
import pathlib

import pytest
import torch

from trainer.carry_out import carry_out, understood
from trainer.job.fields import parse
from trainer.job.trouble import Trouble
from trainer.run import folder
from trainer.run.folder import RunFolder


@pytest.fixture
def run(tmp_path: pathlib.Path) -> RunFolder:
    run = folder.create(tmp_path, "cat")
    folder.write_job(run, parse({}), {})
    return run


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory"),
        (RuntimeError("CUDA error: out of memory"), "out_of_memory"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (OSError(28, "No space left on device"), "disk"),
        (KeyboardInterrupt(), "interrupted"),
        (ValueError("odd"), "unexpected"),
    ],
)
def test_an_error_is_understood(error: BaseException, key: str) -> None:
    assert understood(error).key == key


def test_a_run_folder_that_cannot_be_written_is_said_in_a_sentence(run: RunFolder) -> None:
    run.lock.mkdir()
    with pytest.raises(Trouble, match="Check that the disk has space"):
        carry_out(run, lambda event: None)


@pytest.mark.parametrize("content", ["[]", "{", json.dumps({"version": 1, "training": 3}), "[" * 100_000])
def test_a_job_that_cannot_be_read_is_said_in_a_sentence(run: RunFolder, content: str) -> None:
    run.job.write_text(content, encoding="utf-8")
    with pytest.raises(Trouble, match=r"job\.json cannot be read"):
        carry_out(run, lambda event: None)
