"""The progress of the quickstart in a terminal."""

import pathlib

import pytest

from app import quickstart
from trainer.run import events
from trainer.run.folder import RunFolder, create, held


@pytest.fixture
def run(tmp_path: pathlib.Path) -> RunFolder:
    """An empty run."""
    return create(tmp_path, "run")


def whole_run() -> list[events.Event]:
    """One event of each kind that a run of one step has."""
    lengths = {"steps": 1, "steps_per_epoch": 1, "epochs": 1, "pictures": 16}
    return [
        events.Stage(text="loading the program"),
        events.Stage(text="encoding pictures", done=1, total=16),
        events.Stage(text="encoding pictures", done=16, total=16),
        events.Started(name="run", first_step=0, prompts=["a"], device="cpu", **lengths),
        events.Sample(epoch=0, step=0, prompt=1, text="a", seed=1, file="samples/a.png", width_px=8, height_px=8),
        events.Step(step=1, epoch=1, loss=0.5, learning_rate=1e-4),
        events.Epoch(epoch=1, step=1, loss=0.5),
        events.Warned(text="it is warm"),
        events.Finished(step=1, file="weights/run.safetensors", grid="samples/grid.png", training_s=90),
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_run_is_told_to_its_end(run: RunFolder, capsys: pytest.CaptureFixture[str], terminal: bool) -> None:
    shown = quickstart.Progress(run.path, terminal)
    ends = [shown.show(event.model_dump()) for event in whole_run()]
    assert ends == [False] * 8 + [True]
    text = capsys.readouterr().out
    assert text.count("encoding pictures") == 1
    for words in ("16 pictures", "Epoch 1/1", "loss 0.5", "it is warm", "1.5 minutes"):
        assert words in text
    assert str(run.path / "weights" / "run.safetensors") in text
    assert str(run.path / "samples" / "grid.png") in text


def test_a_failed_run_says_why_and_what_to_do(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert quickstart.Progress(run.path, False).show({"kind": "failed", "reason": "It rains.", "advice": "Wait."})
    assert "It rains. Wait." in capsys.readouterr().out


def test_events_are_followed_to_the_end(run: RunFolder) -> None:
    log = events.EventLog(run.events)
    for event in whole_run():
        log.write(event)
    log.flush()
    assert [event["kind"] for event in quickstart.follow(run)] == [event.kind for event in whole_run()]


def test_a_trainer_that_is_gone_without_a_word_has_failed(run: RunFolder) -> None:
    holding = held(run)
    holding.__enter__()
    found = list(quickstart.follow(run, sleep=lambda _: holding.__exit__(None, None, None)))
    assert [event["kind"] for event in found] == ["failed"]
    assert str(run.log) in found[0]["advice"]
