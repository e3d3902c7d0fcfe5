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


def test_a_hang_ends_when_its_time_is_over_with_all_that_it_has_begun(tmp_path: pathlib.Path) -> None:
    grandchild = f"import time, pathlib; time.sleep(3); pathlib.Path({str(tmp_path / 'alive')!r}).touch()"
    code = TOLD + f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    began = time.monotonic()
    assert outcome(code, 1.0) == Outcome({"one": 1}, "late")
    assert time.monotonic() - began < 3
    time.sleep(max(0.0, 3.5 - (time.monotonic() - began)))
    assert os.name == "nt" or not (tmp_path / "alive").exists()


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
