"""The command line as a person or a script uses it, in processes of its own."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import pytest
from safetensors.torch import load_file

from tests.trainer import tiny
from trainer.__main__ import main
from trainer.carry_out import new_run
from trainer.check import read_job_file
from trainer.job.presets import PRESETS
from trainer.run import events, folder
from trainer.run.folder import RunFolder, is_alive, write_text

ROOT = PRESETS.parent
STARTER = PRESETS / "sd15" / "starter.json"


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trainer", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def begin(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "trainer", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def happened(run: RunFolder, kind: str) -> list[dict[str, object]]:
    return [event for event in events.read(run.events)[0] if event["kind"] == kind]


def wait(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Waits until `what` is true; fails when the process ends before that."""
    while not what():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


@pytest.fixture
def job_file(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> pathlib.Path:
    job = tiny.job(tmp_path, tiny_model, {"output": {"save_precision": "fp32"}})
    write_text(tmp_path / "job.json", job.model_dump_json())
    return tmp_path / "job.json"


def test_check_prints_the_plan_of_the_starter() -> None:
    done = call("check", STARTER)
    assert (done.returncode, done.stderr) == (0, "")
    assert "pictures: 16 · with repeats: 192 · folders: 1" in done.stdout
    assert "192 ÷ batch 4 = 48 batches an epoch" in done.stdout
    assert done.stdout.endswith("ready to start\n")


def test_check_names_every_problem_and_exits_2(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    wrong = (f"dataset.folder={tmp_path / 'none'}", "model.base=/no/such/model", f"output.folder={tmp_path / 'file/a'}")
    done = call("check", STARTER, *(word for text in wrong for word in ("--set", text)))
    assert done.returncode == 2
    problems = [line for line in done.stderr.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 3
    assert "/no/such/model is no file" in problems[0]
    assert "There is no folder" in problems[1]
    assert "Runs cannot be put into" in problems[2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["check", "none.json"], "none.json does not exist"),
        (["run", STARTER, "--set", "adapter.rank=0"], "Rank: must be at least 1"),
        (["run", STARTER, "--set", "adapter.rnk=4"], "did you mean adapter.rank?"),
        (["run", STARTER, "--set", f"output.folder={STARTER}"], "is a file: choose another output folder"),
        (["check", STARTER, "--set", "output.folder=/"], "/ is a whole disk: choose or name a folder on it"),
        (["resume", "/none"], "is no run folder"),
        (["stop", "/none"], "/none is not running"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(arguments: Sequence[object], sentence: str) -> None:
    done = call(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("problem: ")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_help_is_for_people() -> None:
    done = call("--help")
    assert done.returncode == 0
    for verb in ("run", "check", "resume", "stop"):
        assert f"    {verb} " in done.stdout


def test_a_run_from_start_to_end_says_only_what_matters(tmp_path: pathlib.Path, job_file: pathlib.Path) -> None:
    done = call("run", job_file, "--set", 'samples.prompts=["a red thing"]')
    assert (done.returncode, done.stderr) == (0, "")
    run = RunFolder(tmp_path / "out" / "tiny")
    assert done.stdout.splitlines()[0] == f"run folder: {run.path}"
    assert f"all samples in one picture: {run.grid}" in done.stdout
    assert run.grid.is_file()
    assert len(happened(run, "sample")) == 3
    about = json.loads(run.job.read_text(encoding="utf-8"))["about"]
    assert {"torch", "diffusers", "peft", "python"} <= about["versions"].keys()
    assert "finished in" in run.log.read_text(encoding="utf-8")
    again = call("resume", run.path)
    assert (again.returncode, again.stderr) == (
        2,
        "problem: tiny is finished: nothing is left to do. Start a new run to train longer.\n",
    )


# Long enough that a process is still at work when it is halted after its first epoch.
LONG = ("--set", "training.epochs=5", "--set", "output.save_every_epochs=0")


def halted(run: RunFolder, process: subprocess.Popen[str]) -> None:
    """Waits for the end of the first epoch and halts the process in the middle of what it does next."""
    wait(lambda: happened(run, "epoch"), process)
    os.kill(process.pid, signal.SIGSTOP)


def assert_same_result(one: RunFolder, other: RunFolder) -> None:
    tensors, others = (load_file(run.weights / "tiny.safetensors") for run in (one, other))
    assert tensors.keys() == others.keys()
    assert all(bool((tensors[name] == others[name]).all()) for name in tensors)


@pytest.fixture
def whole(tmp_path: pathlib.Path, job_file: pathlib.Path) -> RunFolder:
    """A run that nothing interrupted."""
    assert call("run", job_file, *LONG).returncode == 0
    return RunFolder(tmp_path / "out" / "tiny")


def test_stop_and_resume_by_command_ends_in_the_same_bits(whole: RunFolder, job_file: pathlib.Path) -> None:
    run = RunFolder(whole.path.with_name("tiny-2"))
    process = begin("run", job_file, *LONG)
    halted(run, process)
    stopped = call("stop", run.path)
    os.kill(process.pid, signal.SIGCONT)
    output, _ = process.communicate()
    assert (process.returncode, stopped.returncode) == (0, 0)
    assert "python -m trainer resume" in output
    assert happened(run, "stopped")
    assert call("resume", run.path).returncode == 0
    assert_same_result(whole, run)


@pytest.mark.parametrize("what", folder.REQUESTS)
def test_each_request_has_a_verb_that_needs_a_trainer(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    run = folder.create(tmp_path, "cat")
    verb = what.replace("_", "-")
    assert main([verb, str(run.path)]) == 2
    assert "is not running" in capsys.readouterr().err
    with folder.held(run):
        assert main([verb, str(run.path)]) == 0
        assert str(run.path) in capsys.readouterr().out
        assert folder.asked(run) == {what}
        if what == "pause":
            assert main(["resume", str(run.path)]) == 0
            assert "pause" not in folder.pending(run)


def test_a_killed_run_frees_its_lock_and_resumes_to_the_same_bits(whole: RunFolder, job_file: pathlib.Path) -> None:
    run = RunFolder(whole.path.with_name("tiny-2"))
    process = begin("run", job_file, *LONG)
    halted(run, process)
    assert is_alive(run)
    busy = call("resume", run.path)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert busy.returncode == 2
    assert "Another trainer is at work" in busy.stderr
    assert not is_alive(run)
    assert call("resume", run.path).returncode == 0
    assert_same_result(whole, run)


@pytest.mark.usefixtures("heard_ctrl_c")
def test_ctrl_c_stops_as_stop_does(tmp_path: pathlib.Path, job_file: pathlib.Path) -> None:
    run = RunFolder(tmp_path / "out" / "tiny")
    process = begin("run", job_file, *LONG)
    wait(lambda: happened(run, "epoch"), process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert (process.returncode, happened(run, "failed")) == (0, [])
    assert happened(run, "stopped")[0]["file"]
    assert "stopping after this step" in output
    assert "Traceback" not in output


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = begin("settings")
    assert process.stdout
    process.stdout.close()
    assert process.wait() == 141
    shell = f'"{sys.executable}" -m trainer settings | head -n 1'
    assert subprocess.run(shell, shell=True, cwd=ROOT, capture_output=True, check=False).stderr == b""


def test_a_run_that_fails_says_why_and_what_to_do(tmp_path: pathlib.Path, job_file: pathlib.Path) -> None:
    done = call("run", job_file, "--set", "training.precision=fp16", "--set", "output.name=fails")
    run = RunFolder(tmp_path / "out" / "fails")
    assert done.returncode == 1
    assert "failed: Mixed precision fp16 does not work on a processor." in done.stdout
    assert "Set Mixed precision to no" in done.stdout
    assert happened(run, "failed")[0]["advice"].startswith("Set Mixed precision")  # type: ignore[attr-defined]
    assert "Traceback" in run.log.read_text(encoding="utf-8")
    assert "Traceback" not in done.stdout + done.stderr


def test_two_processes_learn_what_one_learns_from_twice_the_batches(
    tmp_path: pathlib.Path, job_file: pathlib.Path
) -> None:
    """The mean over processes is that over accumulated batches, up to the order of one addition."""
    skip = ("--set", "model.clip_skip=2")  # which leaves a layer without any gradient
    assert call("run", job_file, *skip, "--set", "training.gradient_accumulation=2").returncode == 0
    together = in_two_processes("trainer", "run", job_file, *skip)
    assert together.returncode == 0, together.stderr
    runs = [RunFolder(tmp_path / "out" / name) for name in ("tiny", "tiny-2")]
    one, two = (load_file(run.weights / "tiny.safetensors") for run in runs)
    assert len(happened(runs[1], "step")) == 6
    assert all(bool((one[name] - two[name]).abs().max() < 1e-5) for name in one)
    curves = [[event["loss"] for event in happened(run, "step")] for run in runs]
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)


def test_what_is_not_finite_in_one_of_two_processes_is_named_and_ends_both(
    tmp_path: pathlib.Path, job_file: pathlib.Path
) -> None:
    run = new_run(read_job_file(job_file, []))
    together = in_two_processes("tests.trainer.engine.poisoned", run.path)
    assert together.returncode == 1, together.stderr
    (failed,) = happened(run, "failed")
    # The first one's own loss is finite.
    assert str(failed["reason"]).startswith("The loss became nan at step 1, because ")
    assert happened(run, "step") == []


def in_two_processes(*command: object) -> "subprocess.CompletedProcess[str]":
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
    return subprocess.run(
        [*launch, *map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
