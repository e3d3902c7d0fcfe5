"""Events: written in order, read from an offset, whatever a kill left behind."""

import errno
import io
import pathlib
import typing

import pytest

from trainer.run import events


def test_events_are_read_from_an_offset(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "events.jsonl"
    log = events.EventLog(path)
    log.write(events.Warned(text="日本語"))
    first, offset = events.read(path)
    log.write(events.Epoch(epoch=1, step=2, loss=0.5))
    second, end = events.read(path, offset)
    assert [event["kind"] for event in first + second] == ["warned", "epoch"]
    assert first[0]["text"] == "日本語"
    assert events.read(path, end) == ([], end)
    assert events.read(tmp_path / "none") == ([], 0)


def test_steps_are_gathered_and_all_of_them_arrive(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "events.jsonl"
    log = events.EventLog(path)
    for step in range(500):
        log.write(events.Step(step=step, epoch=1, loss=0.1, learning_rate=1e-4))
    assert len(events.read(path)[0]) < 500
    log.flush()
    assert [event["step"] for event in events.read(path)[0]] == list(range(500))


def test_what_is_begun_is_told_at_once_whatever_was_written_just_before(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "events.jsonl"
    log = events.EventLog(path)
    log.write(events.Asked(what="sample"))
    log.write(events.Stage(text="drawing", done=0, total=20))
    assert [event["kind"] for event in events.read(path)[0]] == ["asked", "stage"]
    log.write(events.Stage(text="drawing", done=1, total=20))
    assert len(events.read(path)[0]) == 2


def test_a_torn_line_is_left_and_does_not_swallow_the_next_event(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "events.jsonl"
    events.EventLog(path).write(events.Warned(text="whole"))
    with path.open("ab") as stream:
        stream.write(b'{"kind": "step", "lo')
    assert [event["text"] for event in events.read(path)[0]] == ["whole"]
    events.EventLog(path).write(events.Warned(text="next"))
    assert [event["text"] for event in events.read(path)[0]] == ["whole", "next"]


@pytest.mark.parametrize("zeros", [1, 4096, 3 * events.LONGEST_LINE_BYTES])
def test_after_the_zeros_of_a_power_cut_events_go_on(tmp_path: pathlib.Path, zeros: int) -> None:
    path = tmp_path / "events.jsonl"
    events.EventLog(path).write(events.Warned(text="whole"))
    with path.open("ab") as stream:
        stream.write(b'{"kind": "step", "lo' + bytes(zeros))
    found, offset = events.read(path)
    events.EventLog(path).write(events.Warned(text="next"))
    assert [event["text"] for event in found + events.read(path, offset)[0]] == ["whole", "next"]
    assert [event["text"] for event in events.read(path)[0]] == ["whole", "next"]
    size = path.stat().st_size
    events.EventLog(path)
    assert path.stat().st_size == size


def test_what_is_nested_too_deep_or_too_long_is_left_out(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "events.jsonl"
    log = events.EventLog(path)
    for line in (b"[" * 100_000, b'{"kind": "warned", "text": "' + b"x" * events.LONGEST_LINE_BYTES + b'"}'):
        with path.open("ab") as stream:
            stream.write(line + b"\n")
    log.write(events.Warned(text="next"))
    assert [event["text"] for event in events.read(path)[0]] == ["next"]


def test_the_kinds_are_those_that_readers_know() -> None:
    kinds = {cls.model_fields["kind"].default for cls in typing.get_args(events.Event)}
    known = {
        "started",
        "stage",
        "step",
        "epoch",
        "sample",
        "saved",
        "keeping",
        "asked",
        "paused",
        "resumed",
        "warned",
        "replanned",
        "validated",
        "stopped",
        "failed",
        "finished",
    }
    assert kinds == known


def test_what_a_full_disk_took_a_part_of_is_written_on_from_there(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened = tmp_path / "events.jsonl", io.open
    log = events.EventLog(path)

    class Full(io.FileIO):
        def write(self, data: object) -> int:
            if self.tell():
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(bytes(data)[:9])  # type: ignore[call-overload]

    monkeypatch.setattr(io, "open", lambda file, mode="r", *rest, **more: Full(file, mode))
    with pytest.raises(OSError, match="No space"):
        log.write(events.Warned(text="one"))
    assert path.stat().st_size == 9
    monkeypatch.setattr(io, "open", opened)
    log.write(events.Warned(text="two"))
    assert [event["text"] for event in events.read(path)[0]] == ["one", "two"]
