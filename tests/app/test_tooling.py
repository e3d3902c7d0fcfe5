"""A tool is a process of its own, whose end is told as what it was."""

import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app import thumbs, tooling
from app.tooling import Bench
from app.words import say
from trainer.job.settings import Job
from trainer.run import folder


@pytest.fixture
def bench() -> Iterator[Bench]:
    found = Bench()
    yield found
    found.close()


def ended(bench: Bench, tool: str) -> dict[str, Any]:
    """The state once the call is over."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        state = bench.state(tool, "")
        if state["state"] not in ("running", "cancelling"):
            return state
        time.sleep(0.05)
    raise TimeoutError


def test_what_is_wrong_starts_nothing(bench: Bench) -> None:
    assert bench.begin("inspect", {}) == {"field": "file", "problem": say("tools.no_file")}
    assert bench.begin("../run", {})["problem"] == say("tools.unknown")
    assert bench.state("inspect", "")["state"] == "none"


def test_a_refusal_is_told_once(bench: Bench, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"")
    assert bench.begin("inspect", {"file": str(tmp_path / "a.safetensors")})["problem"] == ""
    state = ended(bench, "inspect")
    assert state["state"] == "refused"
    assert str(tmp_path / "a.safetensors") in state["text"]
    assert bench.state("inspect", state["version"])["state"] == "same"


def waiting(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Every tool that is begun from now on is this program instead."""
    popen = subprocess.Popen
    monkeypatch.setattr(
        tooling.subprocess, "Popen", lambda words, **options: popen([sys.executable, "-c", code], **options)
    )


def test_a_cancelled_tool_ends_and_says_so(
    bench: Bench, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(monkeypatch, "import time; print('3/9 layers', flush=True); time.sleep(3600)")
    values = {"file": str(tmp_path / "a"), "out": str(tmp_path / "b"), "rank": "4"}
    assert bench.begin("resize", values)["problem"] == ""
    while not (state := bench.state("resize", "")).get("done"):
        assert state["state"] == "running"
        time.sleep(0.02)
    assert (state["state"], state["done"], state["total"]) == ("running", 3, 9)
    assert bench.begin("resize", values)["problem"] == say("tools.busy")
    bench.cancel("resize")
    assert ended(bench, "resize")["text"] == say("tools.cancelled")


def test_one_that_does_not_listen_is_killed(
    bench: Bench, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(
        monkeypatch,
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('1/9 x', flush=True); time.sleep(3600)",
    )
    monkeypatch.setattr(tooling, "PATIENCE_S", 0.4)
    bench.begin("inspect", {"file": str(tmp_path / "a")})
    while not bench.state("inspect", "").get("done"):
        time.sleep(0.02)
    bench.cancel("inspect")
    assert ended(bench, "inspect")["state"] == "cancelled"


def test_the_doctors_lines_are_told_while_he_looks_and_something_wrong_is_no_failure(
    bench: Bench, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    code = f"""
import json, pathlib, time
print(json.dumps({{"ok": "yes"}}), flush=True)
while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.02)
print(json.dumps({{"ok": "no"}}))
raise SystemExit(1)
"""
    waiting(monkeypatch, code)
    assert bench.begin("doctor", {})["problem"] == ""
    while not (state := bench.state("doctor", "")).get("examined"):
        assert state["state"] == "running"
        time.sleep(0.02)
    assert (state["state"], state["examined"]) == ("running", [{"ok": "yes"}])
    go.touch()
    state = ended(bench, "doctor")
    assert (state["state"], state["examined"]) == ("done", [{"ok": "yes"}, {"ok": "no"}])


def test_a_try_tells_where_it_is_and_gives_its_picture_to_the_page(
    bench: Bench, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = folder.create(tmp_path, "cat")
    folder.write_job(run, Job(), {})
    values = {"file": str(run.weights_file("cat")), "weights": "1"}
    go, grid = tmp_path / "go", run.tries_grid(run.weights_file("cat"))
    grid.parent.mkdir()
    code = f"""
import pathlib, time
print("loading the model", flush=True)
while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.02)
pathlib.Path({str(grid)!r}).touch()
"""
    waiting(monkeypatch, code)
    for word in ("cancel", "finish"):
        assert bench.begin("try", values)["problem"] == ""
        while not (state := bench.state("try", "")).get("said"):
            time.sleep(0.02)
        assert (state["state"], state["said"]) == ("running", "loading the model")
        if word == "cancel":
            bench.cancel("try")
            assert ended(bench, "try")["text"] == say("tools.cancelled_try")
    go.touch()
    shown = ended(bench, "try")["grid"]
    assert shown["path"] == str(grid)
    assert thumbs.is_shown(shown["path"], shown["key"])


def test_a_crash_is_told_with_its_last_words(
    bench: Bench, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(monkeypatch, "raise SystemError('out of luck')")
    bench.begin("inspect", {"file": str(tmp_path / "a")})
    state = ended(bench, "inspect")
    assert (state["state"], state["text"]) == ("failed", say("tools.failed"))
    assert "out of luck" in state["details"]


def test_the_end_of_the_program_ends_its_tools(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    waiting(
        monkeypatch, f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(3600)"
    )
    bench.begin("inspect", {"file": str(tmp_path / "a")})
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.02)
    bench.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
