"""What is said of memory, disks, network, clock and other programs, from their facts alone."""

import errno
import os
from typing import Any

import pytest

from trainer.doctor import surroundings
from trainer.doctor.child import Outcome
from trainer.doctor.line import Line
from trainer.doctor.surroundings import GIB

WHOLE: dict[str, Any] = {
    "path": "/data/outputs",
    "exists": True,
    "is_folder": True,
    "free": 100 * GIB,
    "whole": True,
    "wrote_s": 0.01,
    "locks": True,
}


def failing(number: int, **more: Any) -> dict[str, Any]:
    """The facts of a folder in which the first thing to be written failed."""
    facts = {"path": "/data/outputs", "exists": True, "is_folder": True, "free": 100 * GIB}
    return {**facts, "problem": os.strerror(number), "number": number, **more}


def verdict(line: Line) -> tuple[str, str]:
    return line.ok, line.text


@pytest.mark.parametrize(
    ("facts", "ok", "said"),
    [
        (WHOLE, "yes", "can be written, and locks hold; 107.4 GB are free"),
        ({**WHOLE, "exists": False}, "yes", "can be made"),
        ({**WHOLE, "free": 3 * GIB}, "note", "only 3.2 GB are free"),
        ({**WHOLE, "free": 1000}, "no", "the disk is full"),
        (failing(errno.ENOSPC), "no", "the disk is full"),
        (failing(errno.EDQUOT), "no", "the disk is full"),
        (failing(errno.EACCES), "no", "may not be written"),
        (failing(errno.EROFS), "no", "can only be read"),
        (failing(errno.EIO), "no", "could not be written"),
        ({**WHOLE, "is_folder": False}, "no", "is no folder"),
        ({**WHOLE, "whole": False}, "no", "The disk or the memory is failing"),
        ({**WHOLE, "locks": False}, "no", "locks do not hold"),
        ({**WHOLE, "wrote_s": 7.0}, "note", "took 7 s"),
    ],
)
def test_the_output_folder(facts: dict[str, Any], ok: str, said: str) -> None:
    line = surroundings.disk("outputs", Outcome(facts))
    assert line.ok == ok
    assert said in line.text
    assert bool(line.advice) == (ok != "yes")


def test_a_folder_that_may_not_be_written_has_a_command_where_it_is_there() -> None:
    there, not_there = failing(errno.EACCES), failing(errno.EACCES, exists=False)
    assert "chown" in surroundings.disk("home", Outcome(there)).command or os.name == "nt"
    assert surroundings.disk("home", Outcome(not_there)).command == ""


def test_a_drive_that_does_not_answer_is_wrong_and_named() -> None:
    assert verdict(surroundings.disk("cache", Outcome({"path": "/net/x"}, "late")))[0] == "no"
    assert "/net/x" in surroundings.disk("cache", Outcome({"path": "/net/x"}, "late")).text


def test_a_probe_that_fails_is_worth_knowing_only() -> None:
    line = surroundings.disk("home", Outcome({}, "failed", "ModuleNotFoundError: No module named 'pydantic'"))
    assert line.ok == "note"
    assert "pydantic" in line.text


@pytest.mark.parametrize(
    ("total", "free", "swap", "system", "ok", "said"),
    [
        (32, 20, 8, "linux", "yes", "20.0 of 32.0 GB"),
        (32, 1, 8, "linux", "note", "Only 1.0"),
        (4, 3, 0, "linux", "note", "little"),
        (16, 12, 2, "win32", "note", "page file of 2.0 GB"),
        (16, 12, 16, "win32", "yes", "12.0 of 16.0 GB"),
        (64, 50, 4, "win32", "yes", "50.0 of 64.0 GB"),
    ],
)
def test_memory(total: float, free: float, swap: float, system: str, ok: str, said: str) -> None:
    facts = {"total": total * GIB, "free": free * GIB, "swap": swap * GIB}
    line = surroundings.memory(Outcome(facts), system)
    assert line.ok == ok
    assert said in line.text


ANSWER = {"address": "https://huggingface.co", "status": 200, "ahead_s": 1.0}


@pytest.mark.parametrize(
    ("outcome", "offline", "ok", "said"),
    [
        (Outcome(ANSWER), "", "yes", "https://huggingface.co answers"),
        (None, "", "yes", "not asked"),
        (None, "1", "note", "HF_HUB_OFFLINE is set"),
        (Outcome({**ANSWER, "status": 503}), "", "note", "503"),
        (Outcome({**ANSWER, "status": 404}), "", "yes", "answers"),
        (Outcome({"address": "https://h", "problem": "name", "words": "no such host"}), "", "note", "offline"),
        (Outcome({"address": "https://h", "problem": "time", "words": "timed out"}), "", "note", "5 s"),
        (Outcome({"address": "https://h", "problem": "certificate", "words": "x"}), "", "note", "not trusted"),
        (Outcome({"address": "https://h", "problem": "other", "words": "refused"}), "", "note", "refused"),
        (Outcome({"address": "https://h"}, "late"), "", "note", "5 s"),
        (Outcome({**ANSWER, "address": "https://me:secret@mirror.example"}), "", "yes", "https://mirror.example"),
    ],
)
def test_the_hub(outcome: Outcome | None, offline: str, ok: str, said: str) -> None:
    line = surroundings.hub(outcome, offline)
    assert line.ok == ok
    assert said in line.text
    assert "secret" not in line.text


@pytest.mark.parametrize(
    ("proxies", "spares", "ok", "said"),
    [
        ({}, False, "yes", "None is set"),
        ({"no": "localhost"}, True, "yes", "None is set"),
        ({"https": "http://me:secret@proxy:8080"}, True, "yes", "https_proxy set"),
        ({"http": "http://me:secret@proxy:8080"}, False, "note", "not excepted"),
        ({"all": "socks5://me:secret@proxy:1080"}, True, "note", "SOCKS"),
    ],
)
def test_proxies_are_named_but_never_told(proxies: dict[str, str], spares: bool, ok: str, said: str) -> None:
    line = surroundings.proxy(proxies, spares)
    assert line.ok == ok
    assert said in line.text
    assert "secret" not in str(line)


@pytest.mark.parametrize(
    ("now", "made", "latest", "ahead", "ok", "said"),
    [
        (1000_000, 900_000, 990_000, None, "yes", "right"),
        (1000_000, 900_000, 990_000, 3.0, "yes", "right"),
        (1000_000, 2000_000, 0, None, "no", "12 days behind"),
        (1000_000, 900_000, 1100_000, None, "note", "set back"),
        (1000_000, 900_000, 0, -3600.0, "note", "60 min"),
        (1000_000, 900_000, 0, 200_000.0, "no", "from that of the hub"),
    ],
)
def test_the_clock(now: float, made: float, latest: float, ahead: float | None, ok: str, said: str) -> None:
    line = surroundings.clock(now, made, latest, ahead)
    assert line.ok == ok
    assert said in line.text


@pytest.mark.parametrize(
    ("ports", "ok", "said"),
    [([], "yes", "No LoRA"), ([7860], "yes", "port 7860"), ([7860, 7861], "note", "7860, 7861")],
)
def test_open_programs(ports: list[int], ok: str, said: str) -> None:
    found, leftovers = surroundings.traces(Outcome({"open": ports, "unfinished": 0}), "linux")
    assert found.ok == ok
    assert said in found.text
    assert leftovers.ok == "yes"


def test_leftovers_of_a_kill_are_counted_and_can_be_deleted() -> None:
    facts = {"open": [], "unfinished": 2, "size": 3 * 2**20, "folders": ["/data/my outputs"]}
    line = surroundings.traces(Outcome(facts), "linux")[1]
    assert (line.ok, line.text.split(" ")[0]) == ("note", "2")
    assert line.command == "find \"/data/my outputs\" -maxdepth 3 -name '.*.new' -mmin +10 -delete"
    assert "Get-ChildItem" in surroundings.traces(Outcome(facts), "win32")[1].command
