"""Run folders: never overwritten, locked while a trainer lives, asked through files."""

import errno
import json
import os
import pathlib
import stat
import subprocess
import sys
import threading
import time
from typing import IO, Any

import pytest

from trainer.engine import checkpoint
from trainer.job import presets
from trainer.job.fields import Invalid, parse
from trainer.run import ending, folder
from trainer.run.folder import Busy, RunFolder


def test_a_second_run_of_the_same_name_gets_a_folder_of_its_own(tmp_path: pathlib.Path) -> None:
    assert [folder.create(tmp_path, "cat").name for _ in range(3)] == ["cat", "cat-2", "cat-3"]


def test_the_job_is_read_back_and_runs_are_listed_newest_first(tmp_path: pathlib.Path) -> None:
    job = parse({"output": {"name": "猫"}})
    runs = [folder.create(tmp_path, "猫") for _ in range(2)]
    for run in runs:
        folder.write_job(run, job, {"torch": "2"})
    (tmp_path / "foreign").mkdir()
    assert folder.read_job(runs[0]) == job
    assert folder.list_runs(tmp_path) == runs[::-1]
    assert folder.list_runs(tmp_path / "none") == []


def test_a_held_run_is_alive_and_busy_and_a_killed_trainer_frees_it(tmp_path: pathlib.Path) -> None:
    run = folder.create(tmp_path, "cat")
    assert not folder.is_alive(run)
    code = (
        "import pathlib, sys, time; from trainer.run import folder\n"
        "with folder.held(folder.RunFolder(pathlib.Path(sys.argv[1]))): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(run.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout:
        assert process.stdout.readline() == "held\n"
    assert folder.is_alive(run)
    with pytest.raises(Busy), folder.held(run):
        pass
    process.kill()
    process.wait()
    assert not folder.is_alive(run)
    with folder.held(run):
        pass


def test_a_request_is_taken_once(tmp_path: pathlib.Path) -> None:
    run = RunFolder(tmp_path)
    assert not folder.take_request(run, "stop")
    folder.request(run, "stop")
    assert folder.take_request(run, "stop")
    assert not folder.take_request(run, "stop")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a"
    folder.write_whole(path, lambda stream: stream.write(b"old"))

    def fail(stream: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        folder.write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_run_that_was_renamed_is_not_made_anew(tmp_path: pathlib.Path) -> None:
    run = folder.create(tmp_path, "a")
    folder.write_job(run, parse({}), {})
    run.path.rename(tmp_path / "b")
    began = ending.before(run)
    for write in (
        lambda: folder.write_job(run, parse({}), {}),
        lambda: checkpoint.note_data(run, {"pictures": []}, print),
    ):
        with pytest.raises(FileNotFoundError):
            write()
    ending.note(run, -9, began)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_two_processes_may_write_one_file_at_once(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a"
    other = (
        "import pathlib, sys; from trainer.run.folder import write_whole; "
        "write_whole(pathlib.Path(sys.argv[1]), lambda stream: stream.write(b'other'))"
    )

    def write(stream: IO[bytes]) -> None:
        stream.write(b"mine")
        subprocess.run([sys.executable, "-c", other, str(path)], check=True)
        assert path.read_bytes() == b"other"

    folder.write_whole(path, write)
    assert path.read_bytes() == b"mine"


def test_a_file_is_written_though_its_name_is_as_long_as_a_name_can_be(tmp_path: pathlib.Path) -> None:
    path = tmp_path / ("a" * 255)
    folder.write_text(path, "whole")
    assert path.read_text() == "whole"


def test_folders_that_are_no_runs_are_left_out_of_the_list(tmp_path: pathlib.Path) -> None:
    run = folder.create(tmp_path, "cat")
    folder.write_job(run, parse({}), {})
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "odd" / "job.json").mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")
    assert folder.list_runs(tmp_path) == [run]


def test_a_lock_that_may_not_be_looked_at_is_nobodys(tmp_path: pathlib.Path) -> None:
    run = folder.create(tmp_path, "cat")
    run.lock.mkdir()
    assert not folder.is_alive(run)


@pytest.mark.skipif(os.name == "nt", reason="there is no flock")
def test_a_lock_is_seen_to_be_held_on_a_drive_that_shows_it_only_to_who_may_write(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    real = fcntl.flock

    def as_of_nfs(descriptor: int, what: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        real(descriptor, what)

    monkeypatch.setattr(fcntl, "flock", as_of_nfs)
    run = folder.create(tmp_path, "cat")
    with folder.held(run):
        assert folder.is_alive(run)
    assert not folder.is_alive(run)


@pytest.mark.skipif(os.name == "nt", reason="there is no flock")
def test_a_lock_is_seen_to_be_held_where_nothing_may_be_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, run = os.open, folder.create(tmp_path, "cat")

    def read_only(path: Any, flags: int, *rest: Any) -> int:
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return real(path, flags, *rest)

    with folder.held(run):
        monkeypatch.setattr(os, "open", read_only)
        assert folder.is_alive(run)


def test_who_comes_second_waits_for_the_first_and_then_knows(tmp_path: pathlib.Path) -> None:
    run = folder.create(tmp_path, "cat")
    run.events.touch()
    done: list[str] = []
    begun = threading.Event()

    def first() -> None:
        with folder.first_to(run, "slower") as is_first:
            begun.set()
            time.sleep(0.3)
            done.append(f"first {is_first}")

    other = threading.Thread(target=first)
    other.start()
    assert begun.wait(60)
    with folder.first_to(run, "slower") as is_first:
        done.append(f"second {is_first}")
    other.join()
    assert done == ["first True", "second False"]


def test_all_that_was_asked_for_is_taken_but_a_pause_stays_until_it_is_ended(tmp_path: pathlib.Path) -> None:
    run = folder.create(tmp_path, "cat")
    for what in folder.REQUESTS:
        folder.request(run, what)
    assert folder.asked(run) == set(folder.REQUESTS)
    assert folder.asked(run) == {"pause"}
    assert "pause" in folder.pending(run)
    assert folder.take_request(run, "pause")
    assert folder.asked(run) == set()
    assert folder.asked(RunFolder(tmp_path / "gone")) == set()


def test_a_written_file_and_its_name_reach_the_disk_in_that_order(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "a", list[str]()
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        seen.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def note_replace(old: object, new: object) -> None:
        seen.append("rename")
        replace(old, new)  # type: ignore[arg-type,type-var]

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    folder.write_whole(path, lambda stream: stream.write(b"new"))
    assert seen == ["file", "rename", "folder"]


def test_a_write_that_fails_names_the_file_that_was_meant(tmp_path: pathlib.Path) -> None:
    def fail(stream: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space") as error:
        folder.write_whole(tmp_path / "a", fail)
    assert error.value.filename == str(tmp_path / "a")
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="directory") as error:
        folder.write_whole(tmp_path / "taken", lambda stream: None)
    assert error.value.filename == str(tmp_path / "taken")


def test_only_what_nobody_can_be_writing_any_more_is_forgotten(tmp_path: pathlib.Path) -> None:
    old, new, own = tmp_path / f".{'a' * 32}.new", tmp_path / f".{'b' * 32}.new", tmp_path / ".mine.new"
    for path in (old, new, own):
        path.write_text("half")
    for path in (old, own):
        os.utime(path, (0, 0))
    folder.forget_abandoned(tmp_path)
    assert sorted(tmp_path.iterdir()) == [new, own]


def test_a_job_that_is_written_again_keeps_when_its_run_was_begun(tmp_path: pathlib.Path) -> None:
    run = folder.create(tmp_path, "cat")
    folder.write_job(run, parse({}), {})
    about = json.loads(run.job.read_text(encoding="utf-8"))["about"]
    about["created"] = "2026-01-02T03:04:05+00:00"
    run.job.write_text(json.dumps({"about": about}), encoding="utf-8")
    folder.write_job(run, parse({}), {"torch": "3"})
    again = json.loads(run.job.read_text(encoding="utf-8"))["about"]
    assert again == {"created": "2026-01-02T03:04:05.000+00:00", "versions": {"torch": "3"}}
    assert run.job.stat().st_mtime == 1767323045


def test_the_job_of_an_older_version_is_brought_to_todays(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renamed(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "adapter": {"rank": data["adapter"]["dim"]}}

    monkeypatch.setattr(presets, "VERSION", 2)
    monkeypatch.setattr(presets, "MIGRATIONS", {1: renamed})
    run = folder.create(tmp_path, "cat")
    older = {"version": 1, "adapter": {"dim": 7}, "about": {"created": "then"}}
    run.job.write_text(json.dumps(older), encoding="utf-8")
    assert folder.read_job(run).adapter.rank == 7


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"version": 9}, r"written by a newer version of LoRA Atelier \(format 9, .*update the program"),
        ({"adapter": {"rnk": 4}}, r"adapter\.rnk: there is no such setting; did you mean adapter\.rank\?"),
        ({"adapter": {"rank": 0}}, "Rank: must be at least 1"),
    ],
)
def test_a_job_that_cannot_be_followed_is_refused_by_its_words(
    tmp_path: pathlib.Path, content: dict[str, Any], sentence: str
) -> None:
    run = folder.create(tmp_path, "cat")
    run.job.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(Invalid, match=sentence):
        folder.read_job(run)


def test_the_job_of_before_a_setting_was_there_has_its_default(tmp_path: pathlib.Path) -> None:
    run = folder.create(tmp_path, "cat")
    run.job.write_text(json.dumps({"version": 1, "adapter": {"rank": 4}}), encoding="utf-8")
    assert folder.read_job(run) == parse({"adapter": {"rank": 4}})
