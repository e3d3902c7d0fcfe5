"""A queue whose commands, worker and trainers are killed anywhere keeps every entry once, whole and in order."""

import collections
import contextlib
import dataclasses
import math
import os
import pathlib
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.crash.faults import SAYS, Fault
from tests.crash.trainers import Ended, Trainers
from trainer.job.fields import parse
from trainer.job.words import say
from trainer.run import events, folder, queue
from trainer.run.folder import RunFolder, list_runs

KILLS = ("kill_before", "kill_half", "kill_after")
SIGKILL = -9
SEED = 21
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the server forks, and tells files by /proc")


@dataclasses.dataclass(frozen=True)
class Desk:
    """Where the commands of one queue are given."""

    trainers: Trainers
    place: pathlib.Path

    def call(self, words: Sequence[str], fault: Fault | None = None, kill_after_s: float | None = None) -> Ended:
        """`python -m trainer queue` with these words; the fault strikes in the queue's folder."""
        places = {"LORA_ATELIER_HOME": str(self.place / "home"), "LORA_ATELIER_OUTPUTS": str(self.place / "outputs")}
        return self.trainers.call(["queue", *words], queue.place(), fault, kill_after_s, places)

    def runs(self) -> list[RunFolder]:
        return list_runs(self.place / "outputs")


@pytest.fixture
def desk(trainers: Trainers, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("LORA_ATELIER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LORA_ATELIER_OUTPUTS", str(tmp_path / "outputs"))
    (tmp_path / "home").mkdir()
    return Desk(trainers, tmp_path)


Seen = tuple[tuple[str, int], ...]


def seen() -> Seen:
    """The entries in order, each by what a person can tell it by; all of them can be read."""
    assert queue.everything()[1] == []
    return tuple((entry.name, entry.job.training.batch_size) for entry in queue.entries())


# ---- commands ----


@dataclasses.dataclass(frozen=True)
class Command:
    """The words of a command, and what it makes of what was seen before."""

    words: tuple[str, ...]
    after: Seen


def a_command(chance: random.Random, job: str, number: int) -> Command:
    """Some change of the queue as it is now."""
    ids, now = [entry.id for entry in queue.entries()], seen()
    at, to = chance.randrange(len(ids)), chance.randrange(len(ids))
    rest = now[:at] + now[at + 1 :]
    added = Command(("add", job, "--set", f"output.name=n{number}"), (*now, (f"n{number}", 1)))
    if len(ids) < 3:
        return added
    commands = [
        added,
        Command(("move", ids[at], str(to + 1)), (*rest[:to], now[at], *rest[to:])),
        Command(("duplicate", ids[at]), (*now[: at + 1], now[at], *now[at + 1 :])),
        Command(
            ("edit", ids[at], "--set", f"training.batch_size={number + 2}"),
            (*now[:at], (now[at][0], number + 2), *now[at + 1 :]),
        ),
        Command(("remove", ids[at]), rest),
    ]
    return chance.choice(commands if len(ids) < 6 else commands[1:])


def faults(chance: random.Random, whats: Sequence[str]) -> Iterator[Fault]:
    """A fault of each sort at each kind of operation that a change has, in an order of chance, again and again."""
    while True:
        kinds = [(what, kind) for what in whats for kind in SAYS[what] if kind != "mkdir"]
        found = [Fault(what, kind, "", chance.randint(1, 2)) for what, kind in kinds]
        chance.shuffle(found)
        yield from found


@pytest.fixture
def job_file(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "job.json"
    path.write_text('{"training": {"batch_size": 1}}', encoding="utf-8")
    for name in "abcd":
        queue.add(parse({"output": {"name": name}, "training": {"batch_size": 1}}))
    return str(path)


def killed_commands(desk: Desk, job: str, wanted: int, how: Callable[[random.Random], Iterator[object]]) -> int:
    """Gives commands that meet troubles until so many were killed; each was carried out or not at all."""
    chance, killed, number = random.Random(SEED), 0, 0
    for trouble in how(chance):
        command, before, number = a_command(chance, job, number), seen(), number + 1
        fault, moment = (trouble, None) if isinstance(trouble, Fault) else (None, trouble)
        ended = desk.call(command.words, fault, moment)  # type: ignore[arg-type]
        assert ended.status in (0, SIGKILL), ended.said
        assert seen() in ((before, command.after) if ended.status else (command.after,)), (trouble, command)
        killed += ended.status == SIGKILL
        if killed == wanted:
            return killed
    raise AssertionError


def test_a_command_killed_at_any_operation_is_carried_out_or_not_at_all(
    desk: Desk, job_file: str, thorough: bool
) -> None:
    killed = killed_commands(desk, job_file, 200 if thorough else 30, lambda chance: faults(chance, KILLS))
    print(f"\nqueue: {killed} commands killed at operations; every entry once, whole and in order")


def test_a_command_killed_at_any_moment_is_carried_out_or_not_at_all(desk: Desk, job_file: str, thorough: bool) -> None:
    usual_s = desk.call(["duplicate", queue.entries()[0].id]).took_s
    moments = lambda chance: iter(lambda: chance.uniform(0.001, 1.2 * usual_s), None)  # noqa: E731
    killed = killed_commands(desk, job_file, 100 if thorough else 10, moments)
    print(f"\nqueue: {killed} commands killed at moments of chance; every entry once, whole and in order")


@pytest.mark.parametrize("what", ["ENOSPC", "EACCES", "EIO"])
def test_a_command_whose_disk_fails_is_carried_out_or_says_so(
    desk: Desk, job_file: str, thorough: bool, what: str
) -> None:
    chance, failed = random.Random(SEED), 0
    kinds = [kind for kind in SAYS[what] if kind not in ("read", "list", "mkdir")]
    for number in range(100 if thorough else 8):
        fault = Fault(what, kinds[number % len(kinds)], "", chance.randint(1, 2), lasts=what == "ENOSPC")
        command, before = a_command(chance, job_file, number), seen()
        ended = desk.call(command.words, fault)
        assert "Traceback" not in ended.said, (fault, ended.said)
        assert ended.status == 0 or say("disk_advice") in ended.said, (fault, ended.said)
        assert seen() in ((before, command.after) if ended.status else (command.after,)), (fault, command)
        failed += bool(ended.status)
    print(f"\nqueue: {what}: {failed} commands ended with a sentence; every entry once, whole and in order")
    assert failed


def test_the_order_survives_a_kill_while_there_is_no_room_between_two_positions(desk: Desk) -> None:
    positions = [1.0, math.nextafter(1.0, 2.0), 2.0, 3.0]
    killed = 0
    for nth in range(1, 6):
        for what in KILLS:
            for entry in queue.entries():
                queue.remove(entry.id)
            added = [queue.add(parse({"output": {"name": name}})) for name in "abcd"]
            with queue.changing():
                for entry, position in zip(added, positions, strict=True):
                    queue.write(entry.but(position=position))
            ended = desk.call(
                ["move", added[3].id, "2"], Fault(what, "write" if what == "kill_half" else "replace", "", nth)
            )
            killed += ended.status == SIGKILL
            names = "".join(name for name, _ in seen())
            assert names in (("abcd", "adbc") if ended.status else ("adbc",))
    print(f"\nqueue: {killed} moves killed while they made room")
    assert killed >= 9


# ---- the worker and its trainers ----


class Work:
    """A queue of three jobs, of which the second fails, that is begun anew when it is done."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.counts: collections.Counter[str] = collections.Counter()
        self._round = 0
        self._add()

    def _add(self) -> None:
        self._round += 1
        whole = self.desk.trainers.job
        changes = {"samples": {"prompts": []}, "training": {"epochs": 1}, "output": {"save_every_steps": 0}}
        short = {name: getattr(whole, name).model_copy(update=values) for name, values in changes.items()}
        good = whole.model_copy(update=short)
        bad = good.model_copy(update={"dataset": good.dataset.model_copy(update={"folder": "/nowhere"})})
        outputs = str(self.desk.place / "outputs")
        for number, job in enumerate((good, bad, good)):
            output = job.output.model_copy(update={"folder": outputs, "name": f"r{self._round}-{number}"})
            queue.add(job.model_copy(update={"output": output}))
        self._ids = [entry.id for entry in queue.entries()]

    def meet(self, fault: Fault | None, kill_after_s: float | None, everything: bool = False) -> None:
        """A worker that may be killed, and with `everything` its trainers too."""
        ended = self.desk.call(["work"], fault, kill_after_s)
        assert ended.status in (0, 2, SIGKILL), ended.said
        assert "Traceback" not in ended.said, ended.said
        self.counts["killed"] += ended.status == SIGKILL
        if everything and ended.status == SIGKILL:
            self.counts["trainers killed"] += sum(map(kill_trainers, self.desk.runs()))
        assert queue.everything()[1] == []
        assert sorted(entry.id for entry in queue.entries()) == sorted(self._ids)
        self._try_again()
        if not queue.has_work():
            self._compare()

    def finish(self) -> None:
        """Lets a worker come to the end of what has been begun."""
        rounds = self.counts["rounds"]
        for _ in range(20):
            if self.counts["rounds"] > rounds or not any(entry.run for entry in queue.entries()):
                break
            self.meet(None, None)
        assert self.counts["rounds"]

    def _try_again(self) -> None:
        """Two kills before a step are a failure with a sentence of its own."""
        for entry in queue.entries():
            if entry.state == "failed" and "ended twice without a word" in entry.reason:
                queue.again(entry.id)
                self.counts["given up and tried again"] += 1

    def _compare(self) -> None:
        done = sorted(queue.entries(), key=lambda entry: entry.position)
        assert [entry.id for entry in done] == self._ids
        assert [entry.state for entry in done] == ["finished", "failed", "finished"]
        # A kill right after a folder was made may leave that folder, empty; but no job has two runs.
        runs = [run for run in self.desk.runs() if run.name.startswith(f"r{self._round}-")]
        assert sorted(str(run.path) for run in runs) == sorted(entry.run for entry in done)
        told = [events.read(RunFolder(pathlib.Path(entry.run)).events)[0] for entry in done]
        assert [sum(event["kind"] == "finished" for event in each) for each in told] == [1, 0, 1]
        begun = [entry.begun_at for entry in done]
        assert begun == sorted(begun)
        self.counts["rounds"] += 1
        for entry in done:
            queue.remove(entry.id)
        self._add()


def kill_trainers(run: RunFolder) -> int:
    """Ends the trainer of `run`, if it has one, and says how many that were."""
    path = run.path.with_suffix(".pids")
    killed = 0
    for pid in path.read_text(encoding="utf-8").split() if path.exists() else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
            killed += 1
    path.unlink(missing_ok=True)
    while folder.is_alive(run):
        time.sleep(0.001)
    return killed


def test_a_worker_killed_at_any_operation_of_the_queue_runs_no_job_twice(desk: Desk, thorough: bool) -> None:
    work, wanted = Work(desk), 100 if thorough else 8
    for fault in faults(random.Random(SEED), KILLS):
        if fault.kind == "unlink":  # a worker removes only what a kill has left behind
            continue
        work.meet(fault, None)
        if work.counts["killed"] >= wanted:
            break
    work.finish()
    print(f"\nqueue: workers {dict(work.counts)}; each job once to its end, each entry once and in order")


def test_a_worker_killed_at_any_moment_alone_or_with_its_trainers_runs_no_job_twice(desk: Desk, thorough: bool) -> None:
    work, chance, wanted = Work(desk), random.Random(SEED), 120 if thorough else 8
    while work.counts["killed"] < wanted:
        work.meet(None, chance.uniform(0.02, 1.0), everything=chance.random() < 0.4)
    work.finish()
    print(f"\nqueue: workers {dict(work.counts)}; each job once to its end, each entry once and in order")


@pytest.mark.parametrize("what", ["ENOSPC", "EIO"])
def test_a_worker_whose_disk_fails_for_a_moment_goes_on(desk: Desk, thorough: bool, what: str) -> None:
    work, chance = Work(desk), random.Random(SEED)
    kinds = [kind for kind in SAYS[what] if kind not in ("read", "list", "mkdir")]
    for number in range(20 if thorough else 1):
        work.meet(Fault(what, kinds[number % len(kinds)], "", chance.randint(2, 6)), None)
    work.finish()
    print(f"\nqueue: {what} {dict(work.counts)}")
