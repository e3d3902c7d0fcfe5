"""The verb as a person and a script see it; what it finds is told elsewhere."""

import json
from collections.abc import Iterator

import pytest

from trainer.__main__ import main
from trainer.doctor import command
from trainer.doctor.line import Line

FOUND = (
    Line("python", "yes", "3.12."),
    Line("card", "note", "None.", "Take another."),
    Line("torch", "no", "Broken.", "Install it:", "pip install torch"),
)


def finding(monkeypatch: pytest.MonkeyPatch, *found: Line) -> None:
    def lines(places: dict[str, str], *, network: bool) -> Iterator[Line]:
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
