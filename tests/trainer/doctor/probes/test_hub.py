"""Whether the hub answers is told in one request, by the step that failed."""

import http.server
import json
import socket
import threading
from typing import Any

import pytest

from trainer.doctor.probes import hub


class Answer(http.server.BaseHTTPRequestHandler):
    """Says that there is something, or nothing."""

    def do_HEAD(self) -> None:
        self.send_response(404 if self.path == "/none" else 200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def told(address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """All facts."""
    monkeypatch.setenv("HF_ENDPOINT", address)
    hub.main()
    return {key: value for line in capsys.readouterr().out.splitlines() for key, value in json.loads(line).items()}


def test_an_answer_is_an_answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert told(address, monkeypatch, capsys)["status"] == 200
        found = told(f"{address}/none", monkeypatch, capsys)
        server.shutdown()
    assert found["status"] == 404
    assert abs(found["ahead_s"]) < 60


def test_what_fails_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert told(address, monkeypatch, capsys)["problem"] == "other"
    assert told("nothing like an address", monkeypatch, capsys)["problem"] == "other"


def test_silence_ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(hub, "LIMIT_S", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert told(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch, capsys)["problem"] == "time"
