"""Open programs and leftovers are found, those of living trainers not."""

import json
import os
import pathlib
from typing import Any

import pytest

from trainer.doctor.probes import traces
from trainer.job.settings import Job
from trainer.run import folder, presence


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """All facts."""
    traces.main()
    return {key: value for line in capsys.readouterr().out.splitlines() for key, value in json.loads(line).items()}


def test_open_programs_and_unfinished_files(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, outputs = tmp_path / "home", tmp_path / "outputs"
    monkeypatch.setenv("LORA_ATELIER_HOME", str(home))
    monkeypatch.setenv("LORA_ATELIER_OUTPUTS", str(outputs))
    assert told(capsys) == {"open": [], "unfinished": 0, "size": 0, "folders": [], "latest": 0.0}
    dead, alive = (folder.create(outputs, name) for name in ("dead", "alive"))
    for run in (dead, alive):
        folder.write_job(run, Job(), {})
        for name, age_s in ((".old.new", 3600), (".fresh.new", 0)):
            (run.state / name).write_bytes(b"12345")
            when = (run.state / name).stat().st_mtime - age_s
            os.utime(run.state / name, (when, when))
    with folder.held(alive), presence.present(home, 7863):
        facts = told(capsys)
    assert facts["open"] == [7863]
    assert (facts["unfinished"], facts["size"], facts["folders"]) == (1, 5, [str(outputs)])
    assert facts["latest"] > 0
    assert told(capsys)["open"] == []
