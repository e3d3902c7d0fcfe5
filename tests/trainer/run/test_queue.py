"""The queue on disk: every entry once, in order, whatever is done to it and whatever lies beside it."""

import errno
import os
import pathlib
import random
from typing import IO

import pytest

from trainer.job.fields import parse
from trainer.job.settings import Job
from trainer.job.trouble import Refused
from trainer.run import folder, queue
from trainer.run.folder import RunFolder

pytestmark = pytest.mark.usefixtures("places")


def job(name: str, **training: float) -> Job:
    return parse({"output": {"name": name}, "training": training})


def names() -> list[str]:
    return [entry.name for entry in queue.entries()]


def change(entry: queue.Entry, **values: object) -> None:
    with queue.changing():
        queue.write(queue.find(entry.id).but(**values))


def test_jobs_wait_in_the_order_in_which_they_were_added_with_whole_paths(places: pathlib.Path) -> None:
    assert names() == []
    added = [queue.add(job(name)) for name in ("one", "二", "three")]
    assert queue.entries() == added
    assert names() == ["one", "二", "three"]
    assert {entry.job.output.folder for entry in added} == {str(places / "outputs")}
    assert {entry.state for entry in added} == {"waiting"}


def test_an_entry_is_moved_to_any_place_and_beyond_the_ends() -> None:
    added = {name: queue.add(job(name)).id for name in "abcd"}
    for name, number, expected in (("d", 1, "dabc"), ("d", 3, "abdc"), ("a", 99, "bdca"), ("c", -5, "cbda")):
        queue.move(added[name], number)
        assert "".join(names()) == expected


def test_the_order_holds_where_no_number_lies_between_two_neighbours() -> None:
    expected = [queue.add(job(str(number))).name for number in range(4)]
    chance = random.Random(0)
    for _ in range(120):
        # Always the last one to the second place: each time half of what is left between the first two.
        moved = expected.pop()
        expected.insert(1, moved)
        queue.move(queue.entries()[-1].id, 2)
        assert names() == expected
    for _ in range(40):
        start, end = chance.randrange(4), chance.randrange(4)
        entry = queue.entries()[start]
        expected.insert(end, expected.pop(start))
        queue.move(entry.id, end + 1)
        assert names() == expected


def test_a_duplicate_waits_right_behind_with_the_same_job() -> None:
    first, _ = queue.add(job("a", batch_size=3)), queue.add(job("b"))
    twin = queue.duplicate(first.id)
    assert names() == ["a", "a", "b"]
    assert twin.job == first.job
    assert twin.id != first.id


def test_a_waiting_entry_is_edited_in_its_place() -> None:
    first, _ = queue.add(job("a")), queue.add(job("b"))
    queue.edit(first.id, job("c", batch_size=3))
    assert names() == ["c", "b"]
    assert queue.entries()[0].job.training.batch_size == 3


def test_a_failed_entry_with_another_job_gets_a_run_of_its_own_and_with_the_same_one_goes_on(
    places: pathlib.Path,
) -> None:
    entry = queue.add(job("a"))
    run = folder.create(places / "outputs", "a")
    run.events.write_text("before\n", encoding="utf-8")
    change(entry, state="failed", run=str(run.path), reason="x", interruptions=2)
    same = queue.edit(entry.id, entry.job)
    assert (same.state, same.run, same.reason, same.interruptions) == ("waiting", str(run.path), "", 0)
    assert same.from_byte == len("before\n")
    change(entry, state="failed", run=str(run.path))
    other = queue.edit(entry.id, job("a", batch_size=3))
    assert (other.state, other.run, other.from_byte) == ("waiting", "", 0)


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_one_that_ended_badly_waits_again_in_the_same_run_and_place(state: str, places: pathlib.Path) -> None:
    first, _ = queue.add(job("a")), queue.add(job("b"))
    change(first, state=state, run=str(places / "outputs" / "a"), reason="why", advice="what")
    queue.again(first.id)
    entry = queue.entries()[0]
    assert (entry.state, entry.run, entry.reason, entry.advice) == ("waiting", str(places / "outputs" / "a"), "", "")


def test_what_cannot_be_done_is_refused_in_a_sentence(places: pathlib.Path) -> None:
    entry = queue.add(job("a"))
    with pytest.raises(Refused, match="neither failed nor been stopped"):
        queue.again(entry.id)
    for unknown in ("none", ""):
        with pytest.raises(Refused, match="queue list names them all"):
            queue.remove(unknown)
    run = folder.create(places / "outputs", "a")
    change(entry, state="running", run=str(run.path))
    with pytest.raises(Refused, match="stop it first"):
        queue.edit(entry.id, entry.job)
    with folder.held(run), pytest.raises(Refused, match="stop it first"):
        queue.remove(entry.id)
    for state in ("running", "failed", "stopped"):
        change(entry, state=state, run=str(run.path))
        with pytest.raises(Refused, match="does not wait"):
            queue.move(entry.id, 1)
    change(entry, state="finished")
    for act in (lambda: queue.move(entry.id, 1), lambda: queue.edit(entry.id, entry.job)):
        with pytest.raises(Refused, match="duplicate it"):
            act()


def test_a_running_entry_is_not_removed_while_a_worker_may_be_about_to_begin_it(places: pathlib.Path) -> None:
    entry = queue.add(job("a"))
    change(entry, state="running", run=str(places / "a"))
    with folder.locked(queue.worker_lock(), 1):
        assert queue.is_worked()
        with pytest.raises(Refused):
            queue.remove(entry.id)
    queue.remove(entry.id)
    assert queue.entries() == []


def test_an_entry_is_found_by_the_beginning_of_its_id() -> None:
    entry = queue.add(job("a"))
    assert queue.find(entry.id[:3].upper()) == entry
    with queue.changing():
        queue.write(entry.model_copy(update={"id": entry.id[:5] + ("0" if entry.id[5] != "0" else "1")}))
    with pytest.raises(Refused, match="letters and digits"):
        queue.find(entry.id[:5])
    assert queue.find(entry.id) == entry


def test_finished_ones_come_first_in_the_order_of_their_end() -> None:
    one, two, _ = (queue.add(job(name)) for name in "abc")
    change(two, state="finished", ended_at=1.0)
    change(one, state="finished", ended_at=2.0)
    assert names() == ["b", "a", "c"]


def test_what_runs_stands_before_what_waits_and_what_failed_behind_wherever_they_are_moved() -> None:
    failed, running, *waiting = (queue.add(job(name)) for name in "frabc")
    change(failed, state="failed")
    change(running, state="running", run="/nowhere/r")
    assert names() == ["r", "a", "b", "c", "f"]
    for which, number, expected in ((2, 1, "cab"), (0, 2, "cab"), (2, 3, "abc"), (0, 99, "bca"), (0, -1, "abc")):
        queue.move(waiting[which].id, number)
        assert "".join(names()) == f"r{expected}f"
    assert queue.duplicate(failed.id).position > queue.find(waiting[2].id).position
    queue.again(failed.id)
    assert "".join(names()) == "rfabcf"


def test_a_held_queue_has_no_work_but_what_runs(places: pathlib.Path) -> None:
    assert not queue.has_work()
    entry = queue.add(job("a"))
    assert queue.has_work()
    queue.hold(True)
    assert queue.is_held()
    assert not queue.has_work()
    change(entry, state="running", run=str(places / "a"))
    assert queue.has_work()
    queue.hold(False)
    assert not queue.is_held()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"job": {}, "posi',
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"job": {}, "position": NaN}',
        b'{"job": {"output": {"name": "../x"}}}',
        b'{"job": {}, "state": "running"}',
        b'{"job": {}, "unknown": 1}',
        b'{"job": {}, "step": "x"}',
    ],
)
def test_a_damaged_file_is_told_of_and_hides_no_other(content: bytes) -> None:
    queue.add(job("a"))
    (queue.place() / "abcdef.json").write_bytes(content)
    assert names() == ["a"]
    assert queue.everything()[1] == ["abcdef.json"]
    queue.add(job("b"))
    assert names() == ["a", "b"]


def test_an_entry_that_the_disk_does_not_give_now_is_told_of_and_keeps_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second, third = (queue.add(job(name)) for name in "abc")
    lost, opened = queue.place() / f"{second.id}.json", queue.open_file

    def failing(path: pathlib.Path) -> IO[bytes]:
        if path == lost:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return opened(path)

    with monkeypatch.context() as disk:
        disk.setattr(queue, "open_file", failing)
        assert (names(), queue.everything()[1]) == (["a", "c"], [lost.name])
        assert queue.has_work()
        for do in (lambda: queue.add(job("d")), lambda: queue.move(third.id, 1), lambda: queue.duplicate(first.id)):
            with pytest.raises(OSError, match=lost.name):
                do()
    assert names() == ["a", "b", "c"]


@pytest.mark.skipif(os.name == "nt", reason="has no such files")
def test_what_is_no_file_of_ours_is_told_of_and_never_waited_for() -> None:
    queue.add(job("a"))
    os.mkfifo(queue.place() / "aaaaaa.json")
    (queue.place() / "bbbbbb.json").mkdir()
    (queue.place() / "notes.json").write_text("{}", encoding="utf-8")
    (queue.place() / "cccccc.json").symlink_to("cccccc.json")
    assert names() == ["a"]
    assert queue.everything()[1] == ["aaaaaa.json", "bbbbbb.json", "notes.json"]


def test_a_lock_that_is_never_given_back_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    queue.add(job("a"))
    monkeypatch.setattr(queue, "PATIENCE_S", 0.1)
    with folder.locked(queue.place() / "lock", 1), pytest.raises(Refused, match="kept the queue to itself"):
        queue.add(job("b"))


def test_what_a_kill_left_beside_an_entry_goes_with_the_next_change() -> None:
    queue.add(job("a"))
    (queue.place() / ".0.new").write_text("half", encoding="utf-8")
    queue.add(job("b"))
    assert not list(queue.place().glob(".*"))


def test_an_entry_is_named_after_its_run_once_it_has_one() -> None:
    entry = queue.add(job("a"))
    change(entry, run=str(RunFolder(pathlib.Path("/out/a-2")).path))
    assert names() == ["a-2"]
