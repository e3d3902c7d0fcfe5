"""Trouble from outside of a training: its data, its model, its folder, its disk or its clock is changed under it."""

import errno
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer import tiny
from trainer import carry_out as carried
from trainer.job.settings import Job
from trainer.job.trouble import Trouble
from trainer.run import events, folder
from trainer.run.folder import RunFolder

Do = Callable[[], object]


@pytest.fixture
def job(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> Job:
    """Two epochs of three steps; the model is one of its own, to be moved away."""
    shutil.copytree(tiny_model, tmp_path / "model")
    return job_in(tmp_path)


def job_in(place: pathlib.Path) -> Job:
    tiny.pictures(place / "data", 3)
    output = {"save_precision": "fp32", "save_state_every_minutes": 1e-9}
    return tiny.job(place, place / "model", {"output": output, "training": {"text_encoder": False}})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_model: pathlib.Path) -> RunFolder:
    """A run of the same job that nothing troubled."""
    place = tmp_path_factory.mktemp("whole")
    shutil.copytree(tiny_model, place / "model")
    run = begun(job_in(place))
    assert trained(run)[0] == 0
    return run


def begun(job: Job) -> RunFolder:
    run = folder.create(pathlib.Path(job.output.folder), job.output.name)
    folder.write_job(run, job, {})
    return run


def trained(run: RunFolder, kind: str = "", number: int = 1, do: Do = lambda: None) -> tuple[int, list[events.Event]]:
    """Carries `run` out; `do` is done at the event `number` of a kind. The exit status and all events."""
    seen: list[events.Event] = []

    def show(event: events.Event) -> None:
        seen.append(event)
        if event.kind == kind and sum(each.kind == kind for each in seen) == number:
            do()

    return carried.carry_out(run, show), seen


def failure(seen: list[events.Event]) -> events.Failed:
    last = seen[-1]
    assert isinstance(last, events.Failed), last
    return last


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(run.weights / "tiny.safetensors")


def assert_same_result(one: RunFolder, other: RunFolder) -> None:
    tensors, others = weights(one), weights(other)
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


def test_what_becomes_of_data_and_model_after_the_first_step_changes_nothing(
    job: Job, tmp_path: pathlib.Path, whole: RunFolder
) -> None:
    torn = begun(job)

    def take_away() -> None:
        shutil.rmtree(tmp_path / "data")
        shutil.rmtree(tmp_path / "model")

    assert trained(torn, "step", 1, take_away)[0] == 0
    assert_same_result(whole, torn)


def test_a_data_set_that_vanishes_while_it_is_read_is_named_and_waited_for(job: Job, tmp_path: pathlib.Path) -> None:
    run, data = begun(job), tmp_path / "data"
    status, seen = trained(run, "stage", 3, lambda: data.rename(tmp_path / "elsewhere"))
    assert status == 1
    assert f"There is no folder {data}" in failure(seen).reason
    assert "resume" in failure(seen).advice
    (tmp_path / "elsewhere").rename(data)
    assert trained(run)[0] == 0


def test_a_data_set_that_is_gone_at_resume_is_named_and_what_was_learned_stays(
    job: Job, tmp_path: pathlib.Path
) -> None:
    run, data = begun(job), tmp_path / "data"
    assert trained(run, "step", 4, lambda: folder.request(run, "stop"))[1][-1].kind == "stopped"
    kept = (run.state / "resume.pt").read_bytes()
    data.rename(tmp_path / "elsewhere")
    status, seen = trained(run)
    assert (status, (run.state / "resume.pt").read_bytes()) == (1, kept)
    assert f"There is no folder {data}" in failure(seen).reason
    (tmp_path / "elsewhere").rename(data)
    assert trained(run)[1][-1].kind == "finished"


def test_a_data_set_that_was_changed_meanwhile_is_said_and_trained_on(job: Job, tmp_path: pathlib.Path) -> None:
    run = begun(job)
    trained(run, "step", 4, lambda: folder.request(run, "stop"))
    (tmp_path / "data" / "2_thing" / "0.txt").write_text("something else", encoding="utf-8")
    status, seen = trained(run)
    said = [event.text for event in seen if isinstance(event, events.Warned)]
    assert status == 0
    assert any("1 caption is another one" in text for text in said)


def test_a_base_model_that_was_moved_is_named_and_what_was_learned_stays(job: Job, tmp_path: pathlib.Path) -> None:
    run, model = begun(job), tmp_path / "model"
    trained(run, "step", 4, lambda: folder.request(run, "stop"))
    model.rename(tmp_path / "models")
    status, seen = trained(run)
    assert status == 1
    assert str(model) in failure(seen).reason
    assert "Bring it back and resume" in failure(seen).advice
    (tmp_path / "models").rename(model)
    assert trained(run)[1][-1].kind == "finished"


@pytest.mark.parametrize("kind", ["stage", "step"])
def test_a_run_folder_that_vanishes_ends_the_training_in_a_sentence(
    job: Job, tmp_path: pathlib.Path, kind: str
) -> None:
    run, elsewhere = begun(job), tmp_path / "elsewhere"
    with pytest.raises(Trouble, match="is not there any more") as trouble:
        trained(run, kind, 2, lambda: run.path.rename(elsewhere))
    assert trouble.value.key == "run_folder_gone"
    assert "resume" in trouble.value.advice
    assert not run.path.exists()
    assert trained(RunFolder(elsewhere))[1][-1].kind == "finished"


def test_folders_inside_of_a_run_that_vanish_are_made_anew(job: Job, whole: RunFolder) -> None:
    torn = begun(job)

    def take_away() -> None:
        for place in (torn.samples, torn.weights, torn.state, torn.requests):
            shutil.rmtree(place)

    assert trained(torn, "step", 2, take_away)[1][-1].kind == "finished"
    assert_same_result(whole, torn)


def test_a_full_disk_is_said_with_its_place_and_room_and_the_run_goes_on_after(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, fsync = begun(job), os.fsync

    def full(descriptor: int) -> None:
        if "state" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    status, seen = trained(run, "step", 4, lambda: monkeypatch.setattr(os, "fsync", full))
    assert status == 1
    assert failure(seen).reason.startswith(f"The disk is full: {run.state / 'resume.pt'} could not be written")
    assert "B are free" in failure(seen).reason
    assert "resume" in failure(seen).advice
    monkeypatch.setattr(os, "fsync", fsync)
    status, seen = trained(run)
    assert next(event for event in seen if isinstance(event, events.Started)).first_step > 0
    assert status == 0


def test_a_drive_that_knows_no_locks_is_refused_in_a_sentence(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun(job)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr("fcntl.flock", refuse)
    assert not folder.is_alive(run)
    with pytest.raises(Trouble, match="cannot lock files"):
        carried.carry_out(run, lambda event: None)


def test_a_second_trainer_of_a_run_is_sent_away_and_changes_nothing(job: Job) -> None:
    run = begun(job)
    code = "import sys; from trainer.__main__ import main; sys.exit(main(['resume', sys.argv[1]]))"

    def second() -> None:
        before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
        done = subprocess.run([sys.executable, "-c", code, str(run.path)], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "Another trainer is at work on tiny" in done.stderr
        assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before

    assert trained(run, "step", 2, second)[1][-1].kind == "finished"


@pytest.mark.parametrize("jump_s", [86_400.0, -86_400.0])
def test_a_clock_that_jumps_changes_neither_weights_nor_what_is_told_of_time(
    job: Job, whole: RunFolder, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    torn, wall = begun(job), time.time
    status, seen = trained(torn, "step", 3, lambda: monkeypatch.setattr(time, "time", lambda: wall() + jump_s))
    took_s = [event.training_s for event in seen if isinstance(event, events.Step | events.Finished)]
    assert status == 0
    assert took_s == sorted(took_s)
    assert took_s[-1] < 60
    assert_same_result(whole, torn)


def test_the_time_taken_is_that_of_all_sittings_and_a_run_stays_as_old_as_it_is(job: Job) -> None:
    run = begun(job)
    born = run.job.stat().st_mtime
    first = trained(run, "step", 4, lambda: folder.request(run, "stop"))[1]
    second = trained(run)[1]
    before_s = max(event.training_s or 0.0 for event in first if isinstance(event, events.Step))
    resumed = next(event.training_s for event in second if isinstance(event, events.Started))
    assert resumed is not None
    assert resumed >= before_s > 0
    assert isinstance(second[-1], events.Finished)
    assert second[-1].training_s > resumed
    assert run.job.stat().st_mtime == pytest.approx(born, abs=0.002)
