"""Errors of the program that serves the page are told by it as sentences, and whole in its log."""

import fastapi
import gradio as gr
import pytest
from fastapi.testclient import TestClient

from app import mishaps, places


def broken(*given: object) -> None:
    raise ValueError("<b>It</b> rains.\nAnd more.")


def log_text() -> str:
    return (places.home() / "log.txt").read_text(encoding="utf-8")


def test_an_error_is_told_in_a_sentence_and_kept_whole() -> None:
    try:
        broken()
    except ValueError as error:
        told = mishaps.noted(error)
    assert told["reason"].endswith("ValueError: <b>It</b> rains.")
    assert str(places.home() / "log.txt") in told["advice"]
    assert "And more." in told["details"]
    assert told["details"] in log_text()


def test_a_log_that_grows_too_long_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mishaps, "MAX_LOG_BYTES", 100)
    mishaps.noted(ValueError("first" + 100 * "."))
    mishaps.noted(ValueError("second"))
    assert "first" not in log_text()
    assert "second" in log_text()


def test_where_there_is_no_log_the_error_is_told_all_the_same() -> None:
    places.home().rmdir()
    places.home().write_text("a file", encoding="utf-8")
    assert "OSError: full" in mishaps.noted(OSError("full"))["reason"]


def test_a_route_answers_with_the_sentence() -> None:
    app = fastapi.FastAPI()
    app.add_exception_handler(Exception, mishaps.answer)
    app.get("/")(lambda: broken())
    answer = TestClient(app, raise_server_exceptions=False).get("/")
    assert answer.status_code == 500
    assert "rains" in answer.json()["detail"]["reason"]


def test_what_an_island_calls_answers_with_the_sentence() -> None:
    with pytest.raises(fastapi.HTTPException) as raised:
        mishaps.told_to_island(broken)({})
    assert raised.value.status_code == 500
    assert set(raised.value.detail) == {"reason", "advice", "details"}
    assert mishaps.told_to_island(len)({"a": 1, "b": 2}) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [None, [1], "a", 1, True])
def test_what_an_island_calls_is_given_an_object_whatever_is_sent(given: object) -> None:
    assert mishaps.told_to_island(lambda asked: asked)(given) == {}


def test_an_event_tells_without_any_markup_of_the_error() -> None:
    with pytest.raises(gr.Error) as raised:
        mishaps.told_by_gradio(broken)()
    assert "&lt;b&gt;It" in raised.value.message
    assert "<details>" in raised.value.message


def test_an_error_that_is_meant_for_the_user_stays_as_it_is() -> None:
    def refuse() -> None:
        raise gr.Error("No.")

    with pytest.raises(gr.Error, match="No"):
        mishaps.told_by_gradio(refuse)()
