"""A trainer that is killed anywhere, or whose disk fails anywhere, loses nothing: resumed, it ends in the same bits."""

import collections
import dataclasses
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from app import watch
from tests.crash.faults import SAYS, Fault
from tests.crash.trainers import Ended, Trainers, kept, outcome
from trainer.job.words import say
from trainer.run.folder import RunFolder

KILLS = ("kill_before", "kill_half", "kill_after")
ADVICE = ("disk_advice", "disk_full_advice", "file_not_verified_advice", "run_unreadable_advice")
UNREADABLE = say("file_unreadable", path="", reason="").rpartition("): ")[2]
SIGKILL = -9
SEED = 20


class Ordeal:
    """Runs that trainers carry out under one trouble after the other; a finished one is compared, and another begun."""

    def __init__(self, trainers: Trainers, expected: dict[str, Any]) -> None:
        self._trainers, self._expected = trainers, expected
        self._run = trainers.new()
        self.counts: collections.Counter[str] = collections.Counter()

    def meet(self, fault: Fault | None, kill_after_s: float | None = None) -> Ended:
        """One trainer, and how it ended; the state is whole and no older than before."""
        before = kept(self._run)
        ended = self._trainers.resume(self._run, fault, kill_after_s)
        assert kept(self._run) >= before
        if watch.overview(self._run)["state"] == "finished":  # be it that the trainer was killed after its last word
            self._compare()
        return ended

    def finish(self) -> None:
        """Lets the run come to its end and compares it."""
        ended = self._trainers.resume(self._run)
        assert ended.status == 0, ended.said
        self._compare()

    def _compare(self) -> None:
        found = outcome(self._run)
        assert [name for name in found if found[name] != self._expected[name]] == [], self._run
        self.counts["runs compared"] += 1
        self._run = self._trainers.new()


def points(seen: Sequence[tuple[str, str]], whats: Sequence[str], rounds: int) -> Iterator[Fault]:
    """A fault of each sort at each kind of operation at each place, in an order of chance, and so on again."""
    chance = random.Random(SEED)
    for nth in range(1, rounds + 1):
        found = [
            Fault(what, kind, place, chance.randint(1, min(2 * nth, count)))
            for (kind, place), count in sorted(collections.Counter(seen).items())
            for what in whats
            if kind in SAYS[what]
        ]
        chance.shuffle(found)
        yield from found


def every(seen: Sequence[tuple[str, str]], what: str) -> Iterator[Fault]:
    """A fault of one sort at each single operation of a run."""
    for (kind, place), count in sorted(collections.Counter(seen).items()):
        if kind in SAYS[what]:
            yield from (Fault(what, kind, place, nth) for nth in range(1, count + 1))


@pytest.fixture
def ordeal(trainers: Trainers, expected: dict[str, Any]) -> Ordeal:
    return Ordeal(trainers, expected)


def test_a_trainer_killed_at_any_operation_of_its_run_loses_nothing(
    ordeal: Ordeal, trainers: Trainers, whole: RunFolder, thorough: bool
) -> None:
    wanted = 200 if thorough else 30
    killed: collections.Counter[str] = collections.Counter()
    for fault in points(trainers.seen(whole), KILLS, 20):
        ended = ordeal.meet(fault)
        assert ended.status in (0, SIGKILL), ended.said
        killed[f"{fault.what} {fault.kind}"] += ended.status == SIGKILL
        if killed.total() == wanted:
            break
    ordeal.finish()
    print(
        f"\nkilled {killed.total()} times: {dict(+killed)}; {ordeal.counts['runs compared']} runs, each the same bits"
    )
    assert killed.total() == wanted


def test_a_trainer_killed_at_any_moment_loses_nothing(
    ordeal: Ordeal, trainers: Trainers, expected: dict[str, Any], thorough: bool
) -> None:
    chance, wanted, killed = random.Random(SEED), 100 if thorough else 12, 0
    usual_s = trainers.resume(trainers.new()).took_s
    while killed < wanted:
        ended = ordeal.meet(None, chance.uniform(0.1, 0.9) * usual_s)
        assert ended.status in (0, SIGKILL), ended.said
        killed += ended.status == SIGKILL
    ordeal.finish()
    print(f"\nkilled {killed} times at moments of chance; {ordeal.counts['runs compared']} runs, each the same bits")


@pytest.mark.parametrize("what", ["ENOSPC", "EACCES", "EIO"])
def test_a_disk_that_fails_at_any_operation_is_said_in_a_sentence_and_loses_nothing(
    ordeal: Ordeal, trainers: Trainers, whole: RunFolder, thorough: bool, what: str
) -> None:
    ends: collections.Counter[int] = collections.Counter()
    struck: collections.Counter[str] = collections.Counter()
    for fault in every(trainers.seen(whole), what) if thorough else list(points(trainers.seen(whole), [what], 1))[:4]:
        asked_for = dataclasses.replace(fault, lasts=what == "ENOSPC")
        ended = ordeal.meet(asked_for)
        if not ended.struck:  # there are fewer operations in what is left of a run than in a whole one
            ended = ordeal.meet(asked_for)
        assert ended.status in (0, 1, 2), (fault, ended.said)
        assert "Traceback" not in ended.said, (fault, ended.said)
        if ended.status:
            assert any(advice in ended.said for advice in (*map(say, ADVICE), UNREADABLE)), (fault, ended.said)
        ends[ended.status] += 1
        struck[f"{fault.kind} {fault.place}"] += ended.struck > 0
    ordeal.finish()
    print(
        f"\n{what} struck at {struck.total()} operations: {dict(+struck)}: {ends[0]} trainers went on, "
        f"{ends[1] + ends[2]} ended with a sentence; {ordeal.counts['runs compared']} runs, each the same bits"
    )
    assert struck.total() >= (100 if thorough else 2)


def test_a_disk_that_is_full_in_the_middle_of_the_state_is_said_to_be_full(ordeal: Ordeal) -> None:
    for nth in (1, 2, 12):
        ended = ordeal.meet(Fault("ENOSPC", "write", "state", nth, lasts=True))
        assert ended.status == 1
        assert "The disk is full" in ended.said
        assert "state/resume.pt could not be written" in ended.said
        assert say("disk_full_advice") in ended.said
    ordeal.finish()


def test_a_disk_that_fails_at_the_first_and_the_last_words_of_a_run_is_said_in_a_sentence(
    ordeal: Ordeal, trainers: Trainers, whole: RunFolder
) -> None:
    last = trainers.seen(whole).count(("fsync", "events.jsonl"))
    for fault in (
        Fault("EACCES", "read", "events.jsonl"),
        Fault("EIO", "write", "events.jsonl", lasts=True),
        Fault("EIO", "fsync", "events.jsonl", last),
    ):
        ended = ordeal.meet(fault)
        assert ended.status in (1, 2), (fault, ended.said)
        assert say("disk_advice") in ended.said, (fault, ended.said)
    ordeal.finish()


def test_writes_that_take_only_a_part_are_written_on(ordeal: Ordeal) -> None:
    ended = ordeal.meet(Fault("short", lasts=True))
    print(f"\nshort writes at {ended.struck} operations; {ordeal.counts['runs compared']} run, the same bits")
    assert (ended.status, ordeal.counts["runs compared"], ended.struck > 10) == (0, 1, True)
