"""events.jsonl and log.txt as a kill, a full disk or a stranger leaves them: the page shows what can be shown."""

import json
import pathlib
from typing import Any

from hypothesis import strategies as st

from app import live, watch
from tests.fuzz.mutations import as_json, changed, damaged, values
from tests.fuzz.trials import Trials
from trainer.run import events
from trainer.run.events import (
    Epoch,
    Failed,
    Finished,
    Keeping,
    Paused,
    Resumed,
    Sample,
    Saved,
    Stage,
    Started,
    Step,
    Stopped,
    Validated,
    Warned,
)
from trainer.run.folder import RunFolder
from trainer.run.grid import draw_grid

PICTURE = "samples/a_e0001_p01_s42.png"
COURSE: tuple[Any, ...] = (
    Stage(text="caching", done=1, total=2),
    Started(
        name="a",
        first_step=0,
        steps=4,
        steps_per_epoch=2,
        epochs=2,
        pictures=2,
        prompts=["a cat"],
        device="the processor",
    ),
    Step(step=1, epoch=1, loss=0.1, learning_rate=1e-4, text_encoder_learning_rate=1e-5),
    Step(step=2, epoch=1, loss=0.2, learning_rate=1e-4),
    Epoch(epoch=1, step=2, loss=0.15),
    Validated(step=2, epoch=1, loss=0.1),
    Sample(epoch=1, step=2, prompt=1, text="a cat", seed=42, file=PICTURE, width_px=8, height_px=8),
    Saved(file="weights/a.safetensors", epoch=1, step=2, size_bytes=10, verified=True, largest_relative_error=0.0),
    Keeping(step=2, epoch=1),
    Paused(step=2, epoch=1),
    Resumed(step=2, epoch=1),
    Warned(text="something"),
    Stopped(step=2, epoch=1, file="weights/a.safetensors"),
    Failed(reason="The disk is full.", advice="Make room."),
    Finished(step=4, file="weights/a.safetensors", grid="samples/grid.png", training_s=3.0),
)
WHOLE = tuple(event.model_dump(mode="json") for event in COURSE)
LINES = b"".join(as_json(event) + b"\n" for event in WHOLE)
KNOWN = (
    *(b"", b"\n", b"\0" * 5000, b"{}\n", b"[]\n1\nnull\n", b'{"kind": 1}\n', b'{"kind": []}\n', b'{"kind": {}}\n'),
    *(b'{"kind": "step"}\n', b'{"kind": "sample"}\n', b'{"kind": "finished", "grid": 7}\n', b"x" * 3_000_000),
    *(b"[" * 100_000 + b"\n", b'{"kind": "step", "step": 1' + b"0" * 4400 + b"}\n", LINES + b'{"kind": "st'),
    *(b'{"kind": "failed", "reason": "\\ud800", "advice": null}\n', b'{"kind": "warned", "text": "\\udfff"}\n'),
    b'{"kind": "sample", "epoch": [1], "prompt": {}, "file": ["a"]}\n' * 3,
    *(LINES.replace(b"\n", b"\r"), LINES.replace(b"\n", b"\n\n\x0c\x1c\xe2\x80\xa8")),
)


def shown(run: RunFolder) -> None:
    """All that is read of a run, as it is sent to a page; NaN and half characters cannot be."""
    found, offset = events.read(run.events)
    assert all(isinstance(event, dict) for event in found)
    assert offset <= run.events.stat().st_size
    update = watch.updates(run, 0)
    for _ in range(3):
        if not update["more"]:
            break
        assert update["next"] > 0
        update = watch.updates(run, update["next"])
    for value in (
        watch.overview(run),
        watch.updates(run, 0),
        update,
        watch.sample_table(run),
        watch.log_tail(run, 200),
    ):
        json.loads(live.as_json(value).body)


def folder(path: pathlib.Path) -> RunFolder:
    """A run with one picture that its events may name."""
    run = RunFolder(path)
    run.samples.mkdir()
    run.state.mkdir()
    run.job.write_text("{}")
    (path / PICTURE).write_bytes(b"no picture")
    return run


def test_events(trials: Trials, tmp_path: pathlib.Path) -> None:
    run = folder(tmp_path)

    def read(content: bytes) -> None:
        run.events.write_bytes(content)
        shown(run)
        draw_grid(run)

    odd = st.lists(changed(WHOLE).map(as_json) | st.sampled_from(WHOLE).map(as_json), min_size=1, max_size=12)
    trials.of("events", read, odd.map(lambda lines: b"\n".join(lines) + b"\n"), KNOWN, count=150)
    trials.of("events, bytes", read, damaged((LINES,)), KNOWN, count=60)


def test_logs(trials: Trials, tmp_path: pathlib.Path) -> None:
    run = folder(tmp_path)

    def read(given: tuple[bytes, Any]) -> None:
        content, lines = given
        run.log.write_bytes(content)
        watch.log_tail(run, lines).encode()

    whole = b"\x1b[32mgreen\x1b[0m 10%|#\r20%|##\r\n" + "桜".encode("cp932") + b"\n\x1b]8;;x\x07\x1b[?25l\n"
    long = [(b"\x1b[" * 200_000, 200), (b"\r" * 500_000, 200), (b"\x1b[" + b"0" * 300_000, 1), (b"\n" * 300_000, -1)]
    trials.of("logs", read, st.tuples(damaged((whole,)), st.integers()), long, count=80)


def test_values_of_a_page(trials: Trials, tmp_path: pathlib.Path) -> None:
    """What stands in events reaches numbers and names of files only as what they are."""
    run = folder(tmp_path)

    def read(given: Any) -> None:
        lines = [{**event, **{key: given for key in event if key not in ("kind", key_kept)}} for event in WHOLE
                 for key_kept in ("time", "step")]  # fmt: skip
        run.events.write_bytes(b"".join(as_json(line) + b"\n" for line in lines))
        shown(run)
        draw_grid(run)

    trials.of("values in events", read, values(), [10**400, -(10**400), 1e308, [1], {"a": 1}, "/etc/passwd"], count=60)
