"""How errors become sentences."""

import errno
import json
import os
import pathlib
import signal
import time

import pytest
import torch

from tests.trainer import tiny
from trainer.carry_out import Saved, carry_out, stopped_by_ctrl_c, traced
from trainer.job.fields import parse
from trainer.job.trouble import Trouble, first_line
from trainer.run import events, folder
from trainer.run.folder import RunFolder
from trainer.run.process import BEGUN


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
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory"),
        (OSError(errno.EIO, "Input/output error"), "disk"),
        (ValueError("odd"), "unexpected"),
    ],
)
def test_an_error_is_understood(error: Exception, key: str, run: RunFolder) -> None:
    assert traced(run, error).key == key
    assert first_line(error) in run.log.read_text(encoding="utf-8")


def test_a_run_folder_that_cannot_be_written_is_said_in_a_sentence(run: RunFolder) -> None:
    run.lock.mkdir()
    with pytest.raises(Trouble, match="Check that the disk has space"):
        carry_out(run, lambda event: None)


@pytest.mark.parametrize("content", ["[]", "{", json.dumps({"version": 1, "training": 3}), "[" * 100_000])
def test_a_job_that_cannot_be_read_is_said_in_a_sentence(run: RunFolder, content: str) -> None:
    run.job.write_text(content, encoding="utf-8")
    with pytest.raises(Trouble, match=r"job of this run cannot be read: .*job\.json"):
        carry_out(run, lambda event: None)


@pytest.mark.usefixtures("heard_ctrl_c")
def test_the_first_ctrl_c_asks_to_stop_and_the_second_ends_at_once(run: RunFolder) -> None:
    with stopped_by_ctrl_c(run):
        signal.raise_signal(signal.SIGINT)
        assert folder.take_request(run, "stop")
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_state_counts_as_saved_once_training_has_gone_on() -> None:
    saved, step = Saved(), {"loss": 0.1, "learning_rate": 1.0}
    lengths = {"steps": 30, "steps_per_epoch": 10, "epochs": 3, "pictures": 1}
    saved.see(events.Started(name="a", first_step=10, prompts=[], device="cpu", **lengths).model_dump())
    assert (saved.step, saved.epoch) == (10, 1)
    saved.see(events.Epoch(epoch=2, step=20, loss=0.1).model_dump())
    saved.see(events.Keeping(step=20, epoch=2).model_dump())
    saved.see(events.Failed(reason="The disk is full.", advice="").model_dump())
    assert (saved.step, saved.epoch) == (10, 1)
    saved.see(events.Step(step=21, epoch=3, **step).model_dump())
    assert (saved.step, saved.epoch) == (20, 2)


def test_a_stop_is_heard_while_the_training_is_only_being_begun(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = folder.create(tmp_path, "early")
    folder.write_job(run, tiny.job(tmp_path, tmp_path / "no model"), {})
    folder.request(run, "stop")
    monkeypatch.setenv(BEGUN, str(time.time() - 60))
    assert carry_out(run, lambda event: None) == 0
    kinds = [event["kind"] for event in events.read(run.events)[0]]
    assert (kinds[0], kinds[-1]) == ("stage", "stopped")
    assert "started" not in kinds


def test_what_an_earlier_trainer_did_not_live_to_see_is_forgotten(run: RunFolder) -> None:
    folder.request(run, "stop")
    folder.request(run, "pause")
    os.utime(run.requests / "stop", (time.time() - 100, time.time() - 100))
    folder.forget_requests(run, before=time.time() - 50)
    assert folder.asked(run) == {"pause"}
    folder.forget_requests(run)
    assert not folder.asked(run)
