"""The verb as a person and a script see it; what it finds is told elsewhere."""

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Generator

import pytest

from tests.house.tree import ROOT
from trainer.__main__ import main
from trainer.doctor import command
from trainer.doctor.line import Line

FOUND = (
    Line("python", "yes", "3.12."),
    Line("card", "note", "None.", "Take another."),
    Line("torch", "no", "Broken.", "Install it:", "pip install torch"),
)


def finding(monkeypatch: pytest.MonkeyPatch, *found: Line) -> None:
    def lines(places: dict[str, str], *, network: bool) -> Generator[Line]:
        assert (places, network) == ({"LORA_ATELIER_HOME": "/h"}, False)
        yield from found

    monkeypatch.setattr(command, "lines", lines)


def test_lines_for_a_person(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    finding(monkeypatch, *FOUND)
    assert main(["doctor", "--no-network", "--home", "/h"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "✓ Python: 3.12.",
        "! Graphics card: None.",
        "    Take another.",
        "✗ PyTorch: Broken.",
        "    Install it:",
        "    pip install torch",
        "1 ok · 1 worth knowing · 1 wrong",
    ]


def test_what_is_worth_knowing_is_not_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    finding(monkeypatch, *FOUND[:2])
    assert main(["doctor", "--no-network", "--home", "/h"]) == 0


def test_lines_for_a_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    finding(monkeypatch, *FOUND)
    assert main(["doctor", "--json", "--no-network", "--home", "/h"]) == 1
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["ok"] for line in told] == ["yes", "note", "no"]
    assert told[2] == {
        "name": "torch",
        "title": "PyTorch",
        "ok": "no",
        "text": "Broken.",
        "advice": "Install it:",
        "command": "pip install torch",
    }


@pytest.mark.skipif(os.name == "nt", reason="there are no signals")
def test_one_that_is_asked_to_end_leaves_no_probe_behind(tmp_path: pathlib.Path) -> None:
    note = tmp_path / "pid"
    text = f"import os, time\nopen({str(note)!r}, 'w').write(f'{{os.getpid()}}.')\ntime.sleep(3600)"
    for name in ("torch", "bitsandbytes"):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    asked = [sys.executable, "-m", "trainer.doctor", "--no-network", "--home", str(tmp_path / "home")]
    with subprocess.Popen(asked, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as process:
        while not note.exists() or not note.read_text(encoding="utf-8").endswith("."):
            assert process.poll() is None
            time.sleep(0.02)
        process.terminate()
        assert process.wait(300) == 128 + 15
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text(encoding="utf-8").rstrip(".")), 0)
