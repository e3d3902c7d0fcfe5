"""What is shown of a run on a terminal never harms the run."""

import contextlib
import os
import pathlib
import sys

import pytest

from trainer.run import events, folder
from trainer.terminal import Terminal


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
def test_a_training_goes_on_when_its_terminal_is_gone(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = folder.create(tmp_path, "cat")
    ours, theirs = os.openpty()
    stream = os.fdopen(theirs, "w")
    monkeypatch.setattr(sys, "stdout", stream)
    shown = Terminal(run)
    os.close(ours)
    about = {"name": "cat", "first_step": 0, "steps": 4, "steps_per_epoch": 2, "epochs": 2, "pictures": 1}
    shown.show(events.Warned(text="before the bar"))
    shown.show(events.Started(prompts=[], device="cpu", **about))
    shown.show(events.Step(step=1, epoch=1, loss=0.1, learning_rate=1e-4))
    shown.show(events.Epoch(epoch=1, step=2, loss=0.1))
    shown.show(events.Finished(step=4, file="weights/cat.safetensors", grid="", training_s=60.0))
    with contextlib.suppress(OSError):
        stream.close()
    log = run.log.read_text(encoding="utf-8")
    assert "before the bar" in log
    assert "cat.safetensors" in log
