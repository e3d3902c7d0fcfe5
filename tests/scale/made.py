"""Makes what a user of years has: hundreds of runs, one of them long, one alive, and a data set of thousands."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass

from PIL import Image

from trainer.job.settings import Job
from trainer.run import events, folder
from trainer.run.folder import RunFolder

STATES = ("finished", "stopped", "failed", "interrupted", "finished", "finished", "paused")
PROMPT = "a portrait of the woman in a red coat, evening light, number"
ENGLISH, JAPANESE = "1girl, red coat, standing at the window, ", "夕方の窓辺に立つ赤いコートの女性、"
LONG_BYTES = 10_000
LONG_EVERY = 10


@dataclass(frozen=True)
class Size:
    """How much there is of everything."""

    runs: int = 500
    steps: int = 20_000
    epochs: int = 50
    prompts: int = 40
    pictures: int = 5_000


@dataclass(frozen=True)
class Made:
    """Where it lies."""

    home: pathlib.Path
    outputs: pathlib.Path
    long: RunFolder
    living: RunFolder
    pictures: pathlib.Path
    crowd: pathlib.Path


def make(base: pathlib.Path, size: Size) -> Made:
    """All of it below `base`; what is there already is used again."""
    outputs, elsewhere, home = base / "outputs", base / "elsewhere", base / "home"
    made = Made(home, outputs, RunFolder(outputs / "long"), RunFolder(outputs / "living"), base / "set", base / "crowd")
    if (base / "done").exists():
        return made
    for number in range(size.runs - 2):
        _run((outputs, elsewhere)[number % 2], f"run {number:03d}", STATES[number % len(STATES)], 400 + number % 3000)
    _long(folder.create(outputs, "long"), size)
    _start(folder.create(outputs, "living"), size.steps)
    _data_set(made.pictures, size.pictures)
    for number in range(size.pictures):
        (made.crowd / f"folder {number}").mkdir(parents=True)
    home.mkdir(exist_ok=True)
    places = {"output_folders": [str(elsewhere), str(outputs)]}
    (home / "places.json").write_text(json.dumps(places), encoding="utf-8")
    (base / "done").touch()
    return made


def _run(outputs: pathlib.Path, name: str, state: str, steps: int) -> None:
    run = folder.create(outputs, name)
    _write_job(run)
    lines = [_started(name, steps, 10), *_steps(steps, 0)]
    ends: dict[str, events.Event] = {
        "finished": events.Finished(step=steps, file=f"weights/{name}.safetensors", grid="", training_s=9.0 * steps),
        "stopped": events.Stopped(step=steps, epoch=10, file=""),
        "failed": events.Failed(reason="The disk is full", advice="Make room"),
        "paused": events.Paused(step=steps, epoch=10),
    }
    lines += [ends[state]] if state in ends else []
    _write(run, lines)
    run.lock.touch()
    past = time.time() - 3600
    for path in (run.job, run.events):
        os.utime(path, (past, past))


def _long(run: RunFolder, size: Size) -> None:
    _write_job(run)
    per_epoch = size.steps // size.epochs
    steps = _steps(size.steps, 0)
    lines: list[events.Event] = [_started(run.name, size.steps, size.epochs)]
    picture = run.samples / "picture.png"
    Image.radial_gradient("L").convert("RGB").save(picture)
    for epoch in range(1, size.epochs + 1):
        step = epoch * per_epoch
        lines += [*steps[step - per_epoch : step], events.Epoch(epoch=epoch, step=step, loss=0.1)]
        for prompt in range(1, size.prompts + 1):
            file = run.sample_file(run.name, epoch, prompt, 42)
            os.link(picture, file)
            about = {"file": f"samples/{file.name}", "width_px": 256, "height_px": 256, "seed": 42}
            lines.append(events.Sample(epoch=epoch, step=step, prompt=prompt, text=f"{PROMPT} {prompt}", **about))
        weights = run.weights_file(run.name, f"{epoch:06d}")
        weights.write_bytes(b"weights")
        told = {"size_bytes": 7, "verified": True, "largest_relative_error": 0.0}
        lines.append(events.Saved(file=f"weights/{weights.name}", epoch=epoch, step=step, **told))
    picture.unlink()
    _write(run, [*lines, events.Finished(step=size.steps, file="", grid="", training_s=90_000.0)])


def _start(run: RunFolder, steps: int) -> None:
    _write_job(run)
    _write(run, [_started(run.name, steps, 50)])


def _write_job(run: RunFolder) -> None:
    folder.write_text(run.job, json.dumps({**Job().model_dump(mode="json"), "about": {}}))


def _write(run: RunFolder, lines: "list[events.Event]") -> None:
    run.events.write_text("".join(f"{line.model_dump_json()}\n" for line in lines), encoding="utf-8")


def _started(name: str, steps: int, epochs: int) -> events.Event:
    per_epoch = steps // epochs
    about = {"pictures": 40, "prompts": [PROMPT], "device": "cpu"}
    return events.Started(name=name, first_step=0, steps=steps, steps_per_epoch=per_epoch, epochs=epochs, **about)


def _steps(steps: int, begun: int) -> "list[events.Event]":
    now = time.time() - steps
    return [
        events.Step(time=now + n, step=begun + n, epoch=1, loss=0.1 + (n * 7919 % 97) / 900, learning_rate=1e-4)
        for n in range(1, steps + 1)
    ]


def _data_set(base: pathlib.Path, pictures: int) -> None:
    sizes = ((512, 512), (768, 512), (512, 768), (640, 480), (300, 900))
    for name in ("10_woman", "5_窓辺"):
        (base / name).mkdir(parents=True)
    models = []
    for width, height in sizes:
        for ending in ("jpg", "png"):
            model = base / f".{width}x{height}.{ending}"
            Image.linear_gradient("L").resize((width, height)).convert("RGB").save(model)
            models.append(model)
    for number in range(pictures):
        model = models[number % len(models)]
        target = base / ("10_woman", "5_窓辺")[number % 2] / f"{number:05d}{model.suffix}"
        shutil.copy(model, target)
        if number % 7:
            target.with_suffix(".txt").write_text(_caption(number), encoding="utf-8")
    for model in models:
        model.unlink()


def _caption(number: int) -> str:
    text = (ENGLISH, JAPANESE)[number // LONG_EVERY % 2]
    length = LONG_BYTES if number % LONG_EVERY == 0 else 120
    return f"{number}, " + text * max(1, length // len(text.encode()))


LIVING = """
import pathlib, sys, time
from trainer.run import events, folder
run, pace_s = folder.RunFolder(pathlib.Path(sys.argv[1])), float(sys.argv[2])
log = events.EventLog(run.events)
found = [e["step"] for e in events.read(run.events)[0] if e["kind"] == "step"]
with folder.held(run):
    for step in range(max(found, default=0) + 1, 10**9):
        log.write(events.Step(step=step, epoch=1, loss=0.1, learning_rate=1e-4))
        time.sleep(pace_s)
"""


def live(run: RunFolder, pace_s: float = 0.3) -> "subprocess.Popen[bytes]":
    """A process that holds the lock of `run` and tells of a step every `pace_s` seconds."""
    return subprocess.Popen([sys.executable, "-c", LIVING, str(run.path), str(pace_s)])
