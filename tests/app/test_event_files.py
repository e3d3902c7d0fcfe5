"""Bounded reads of the events of a run, and that what is remembered of a file is never older than the file."""

import json
import pathlib
import tracemalloc
from collections.abc import Callable

import pytest

from app import event_files, interruption, watch
from trainer.run import events
from trainer.run.folder import RunFolder

STARTED = events.Started(
    name="a", first_step=0, steps=9, steps_per_epoch=3, epochs=3, pictures=1, prompts=["a"], device="cpu"
)


def line(kind: str, number: int, length: int = 0) -> bytes:
    return json.dumps({"kind": kind, "number": number, "text": "x" * length}).encode() + b"\n"


def numbers(path: pathlib.Path) -> list[int]:
    return [event["number"] for event in event_files.samples(path)]


def test_samples_are_found_in_a_file_that_grows_byte_by_byte_beyond_a_block(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_files, "WHOLE_BLOCK_BYTES", 100)
    content = b"".join(line("sample" if n % 3 else "step", n, n % 4 * 30) for n in range(40))
    path = tmp_path / "events.jsonl"
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        whole = content[: content[:end].rfind(b"\n") + 1].splitlines()
        expected = [json.loads(each)["number"] for each in whole if b'"sample"' in each]
        assert numbers(path) == expected


def test_of_a_file_that_has_only_grown_only_the_end_is_read_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_files, "WHOLE_BLOCK_BYTES", 1000)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(line("sample", n) for n in range(500)))
    assert numbers(path) == list(range(500))
    read: list[int] = []
    real = event_files._samples_between

    def counted(path: str, start: int, end: int) -> list[event_files.Event]:
        read.append(end - start)
        return real(path, start, end)

    monkeypatch.setattr(event_files, "_samples_between", counted)
    with path.open("ab") as stream:
        stream.write(line("sample", 500))
    assert numbers(path) == list(range(501))
    assert sum(read) <= 2000


def test_another_file_of_the_same_name_is_read_anew(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_files, "WHOLE_BLOCK_BYTES", 100)
    path, other = tmp_path / "events.jsonl", tmp_path / "other"
    path.write_bytes(b"".join(line("sample", n) for n in range(10, 40)))
    assert numbers(path) == list(range(10, 40))
    other.write_bytes(b"".join(line("sample", n) for n in range(50, 80)))
    other.replace(path)
    assert numbers(path) == list(range(50, 80))
    path.unlink()
    path.write_bytes(b"".join(line("sample", n) for n in range(110, 140)))
    assert numbers(path) == list(range(110, 140))
    path.write_bytes(b"".join(line("sample", n) for n in range(210, 240)))
    assert numbers(path) == list(range(210, 240))


def test_a_line_longer_than_any_event_is_passed_over_in_bounded_reads(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("WHOLE_BLOCK_BYTES", 100), ("BLOCK_BYTES", 100), ("LONGEST_LINE_BYTES", 300)):
        monkeypatch.setattr(event_files, name, size)
    largest, real = 0, event_files._read

    def measured(path: str | pathlib.Path, offset: int, size: int) -> bytes:
        nonlocal largest
        largest = max(largest, size)
        return real(path, offset, size)

    monkeypatch.setattr(event_files, "_read", measured)
    path = tmp_path / "events.jsonl"
    before = b"".join(line("sample", n) for n in range(5))
    for end, expected in ((b"", [*range(5)]), (b"\n" + line("sample", 5), [*range(6)])):
        path.write_bytes(before + b"x" * 10_000 + end)
        assert numbers(path) == expected
        offset, found = 0, []
        while True:
            events, following = event_files.some(path, offset)
            found += [event["number"] for event in events]
            if following == offset:
                break
            offset = following
        assert found == expected
    assert largest <= 400


@pytest.mark.parametrize(
    "read",
    [
        watch.overview,
        lambda run: watch.updates(run, 0),
        watch.sample_table,
        watch.sample_version,
        interruption.told,
        lambda run: events.read(run.events),
        lambda run: events.first(run.events, "finished"),
        lambda run: events.EventLog(run.events),
    ],
)
def test_little_is_held_of_a_file_of_hundreds_of_megabytes_in_one_line(
    tmp_path: pathlib.Path, read: Callable[[RunFolder], object]
) -> None:
    run = RunFolder(tmp_path)
    events.EventLog(run.events).write(STARTED)
    with run.events.open("ab") as stream:
        stream.truncate(300 * 2**20)
    tracemalloc.start()
    try:
        read(run)
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("zeros", [1, 5_000, 3_000_000, 7_000_000])
@pytest.mark.parametrize("end", ["finished", "stopped", "failed"])
def test_the_zeros_of_a_power_cut_do_not_hide_how_a_run_has_ended(tmp_path: pathlib.Path, zeros: int, end: str) -> None:
    run = RunFolder(tmp_path)
    log = events.EventLog(run.events)
    log.write(STARTED)
    log.write(events.Step(step=5, epoch=2, loss=0.1, learning_rate=1e-4))
    last = {
        "finished": events.Finished(step=9, file="", grid="", training_s=1.0),
        "stopped": events.Stopped(step=5, epoch=2, file=""),
        "failed": events.Failed(reason="The disk is full", advice="Make room"),
    }
    log.write(last[end])
    with run.events.open("ab") as stream:
        stream.write(bytes(zeros))
    seen = watch.overview(run)
    assert (seen["state"], seen["steps"]) == (end, 9)


def test_of_a_run_that_ends_in_more_zeros_than_are_read_it_is_known_how_long_it_was_to_be(
    tmp_path: pathlib.Path,
) -> None:
    run = RunFolder(tmp_path)
    events.EventLog(run.events).write(STARTED)
    with run.events.open("ab") as stream:
        stream.truncate(2 * event_files.MAX_TAIL_BYTES)
    assert watch.overview(run)["steps"] == 9


def test_in_a_file_without_end_samples_are_looked_for_in_its_last_part(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("WHOLE_BLOCK_BYTES", 100), ("MOST_BLOCKS", 4)):
        monkeypatch.setattr(event_files, name, size)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(line("sample", n) for n in range(100)))
    found = numbers(path)
    assert found == [*range(found[0], 100)]
    assert 5 < len(found) < 20


@pytest.mark.parametrize(
    "lines",
    [
        [b'{"kind":"a","x":[{"y":1}\n', b'{"z":2}]}\n'],
        [b'{"kind":"a"},{"kind":"b"}\n', b'{"kind":"c"}\n'],
        [b'{"kind":"a"\n', b'{"kind":"c"}\n'],
        [b"[1]\n", b'{"kind":"c"}\n', b"{}\n", b'{"kind":3}\n'],
        [b'{"kind":"c"}\n', b'{"kind":"torn"}'],
        [b"[" * 100_000 + b"\n", b' {"kind":"c"}\n'],
    ],
)
def test_lines_say_the_same_together_as_one_by_one(lines: list[bytes]) -> None:
    each = [event for line in lines for event in event_files.parsed([line])]
    assert event_files.parsed(lines) == each
    assert [event["kind"] for event in each] in (["c"], [])
