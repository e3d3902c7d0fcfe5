"""What a probe does to itself becomes a fact: it crashes, hangs, fails, prints half a line."""

import os
import pathlib
import time

import pytest

from trainer.doctor import child
from trainer.doctor.child import Outcome


def outcome(code: str, limit_s: float = 30) -> Outcome:
    """How a probe of this code ended; nothing of it is left."""
    begun = child.begin(["-c", code], limit_s, {})
    found = child.outcome(begun)
    child.forget(begun)
    assert begun.process is not None
    assert begun.process.poll() is not None
    assert not begun.folder.exists()
    return found


TOLD = "print('{\"one\": 1}', flush=True); "


def test_facts_are_gathered_line_by_line() -> None:
    assert outcome(TOLD + "print('{\"two\": [2]}')") == Outcome({"one": 1, "two": [2]})


def test_a_crash_keeps_what_was_told_before() -> None:
    code = TOLD + "import os, sys; sys.stdout.write('{\"torn'); sys.stdout.flush(); os.kill(os.getpid(), 11)"
    if os.name == "nt":
        pytest.skip("there are no signals")
    assert outcome(code) == Outcome({"one": 1}, "crashed", "SIGSEGV")


def test_an_import_that_fails_is_told_in_its_last_line() -> None:
    found = outcome("import no_such_module_at_all")
    assert (found.ended, found.words) == ("failed", "ModuleNotFoundError: No module named 'no_such_module_at_all'")


def gone(pid: int) -> bool:
    """Whether no process has this number; one that has ended and that nobody has asked after counts as gone."""
    try:
        os.kill(pid, 0)
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except FileNotFoundError:  # it has ended in between, or the system has no such file
        return False


def test_a_hang_ends_when_its_time_is_over_with_all_that_it_has_begun() -> None:
    code = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    found = outcome(TOLD + code + "print('{\"two\": %d}' % p.pid, flush=True); p.wait()", 10.0)
    assert found == Outcome({"one": 1, "two": found.facts["two"]}, "late")
    until = time.monotonic() + 300
    while os.name != "nt" and not gone(found.facts["two"]):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_one_that_cannot_be_begun_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child.sys, "executable", "/no/such/python")
    begun = child.begin(["-c", ""], 1, {})
    assert child.outcome(begun).ended == "failed"
    assert "/no/such/python" in child.outcome(begun).words
    child.forget(begun)


def test_windows_names_its_crashes_by_number() -> None:
    assert child._crash(0xC0000005) == "access violation"
    assert child._crash(0xC000001D) == "illegal instruction"
    assert child._crash(0xC0000409) == "0xc0000409"
    assert child._crash(1) == ""
