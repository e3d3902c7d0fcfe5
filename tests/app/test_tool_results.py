"""What a tool prints becomes what the page shows."""

import json

import pytest

from app.tool_results import MAX_METADATA, MAX_VALUE_CHARACTERS, examined, progress, refusal, report, sentences
from trainer.job.words import say


def counted(done: int, total: int) -> str:
    return say("tool_progress", done=done, total=total, unit=say("unit_layers")) + "\n"


def test_the_last_count_is_the_progress() -> None:
    assert progress("") == {"done": 0, "total": 0, "unit": ""}
    assert progress(counted(1, 192) + counted(12, 192)) == {"done": 12, "total": 192, "unit": "layers"}
    assert progress(counted(12, 192) + "13/1")["done"] == 12


def test_what_was_done_is_said_without_the_counting_and_the_path() -> None:
    done = say("merge_shortened", rank=8, error="1.5")
    printed = counted(1, 2) + counted(2, 2) + done + "\n" + say("tool_written", path="/a b", size="1.0") + "\n"
    assert sentences(printed) == [done]


def test_a_refusal_is_its_sentence() -> None:
    assert refusal("UserWarning: something\nproblem: The file is empty.\n") == "The file is empty."
    assert refusal("usage: …\npython -m trainer resize: error: argument --rank: 0 is no rank\n") == "0 is no rank"
    assert refusal("Traceback (most recent call last):\nValueError: x") == ""
    assert refusal("") == ""


def test_the_doctors_lines_are_shown_once_they_are_whole() -> None:
    assert examined('{"ok": "yes"}\n{"ok": "no"}\n{"ok": "no') == [{"ok": "yes"}, {"ok": "no"}]
    assert examined("") == []


def test_metadata_are_cut_to_what_a_page_can_show() -> None:
    metadata = {f"key {n:04}": "v" for n in range(MAX_METADATA + 10)} | {"key 0000": "x" * 100_000}
    found = report(json.dumps({"metadata": metadata, "thumbnail": None, "trigger_words": "y" * 100_000}))
    assert len(found["metadata"]) == MAX_METADATA
    assert found["metadata_count"] == MAX_METADATA + 10
    assert len(found["metadata"]["key 0000"]) <= MAX_VALUE_CHARACTERS + 2
    assert len(found["trigger_words"]) <= MAX_VALUE_CHARACTERS + 2


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("data:image/png;base64,AAAA", True),
        ("data:image/svg+xml;base64,AAAA", False),
        ("https://example.com/a.png", False),
        ('data:image/png;base64,AAAA" onerror="x', False),
    ],
)
def test_a_picture_in_the_file_is_only_shown_when_it_can_do_nothing_else(data: str, shown: bool) -> None:
    printed = json.dumps({"metadata": {"modelspec.thumbnail": data}, "thumbnail": {"width_px": 1}})
    assert report(printed)["picture"] == (data if shown else "")
