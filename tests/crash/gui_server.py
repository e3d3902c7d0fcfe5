"""Starts programs cheaply (see children.py): each child is the GUI with all of its page built, and does what is asked.

`deed` is "work", which starts runs, saves presets, writes captions and remembers folders one after the other and notes
in the file `noted` what it is about to do and what it has done; or "look", which is a program that is started
anew and writes into `noted` all that it shows; or "begin", which starts a run and a tool with real trainers. `place` is
the folder of all, `trainer` what stands in for Python where a trainer is started, `number` where names count from.
"""

import itertools
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from fastapi.testclient import TestClient

from app import captions, jobs, main, shelf, thumbs, tooling
from tests.crash.children import serve
from tests.crash.faults import Disk, Fault
from trainer.dataset.scan import scan
from trainer.job.fields import parse
from trainer.job.settings import Job

APP = main.create_app()
ADDRESS = "http://127.0.0.1:7860"
Note = Callable[[str, str], None]


def be_program(asked: dict[str, Any]) -> int:
    """One program, from its start to its end."""
    place, noted = pathlib.Path(asked["place"]), os.open(asked["noted"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.environ.update(LORA_ATELIER_HOME=str(place / "home"), LORA_ATELIER_OUTPUTS=str(place / "outputs"))

    def note(what: str, value: str) -> None:
        os.write(noted, json.dumps([what, value]).encode() + b"\n")

    if asked["deed"] == "look":
        look(place, note)
        return 0
    if asked["deed"] == "begin":
        begin(asked, note)
        os.kill(os.getpid(), 9)
    sys.executable = asked["trainer"]
    disk = Disk(place, Fault(**asked["fault"]) if asked["fault"] else None)
    disk.install()
    for number in itertools.count(asked["number"]) if asked["kill_after_s"] else [asked["number"]]:
        work(place, number, note)
    note("seen", json.dumps(disk.seen))
    return 0


def work(place: pathlib.Path, number: int, note: Note) -> None:
    """All that a person can do, once; the order is another one each time."""
    deeds = list(_deeds(place, number))
    for what, value, do in deeds[number % len(deeds) :] + deeds[: number % len(deeds)]:
        note(f"try {what}", value)
        do()
        note(f"done {what}", value)


def _deeds(place: pathlib.Path, number: int) -> Iterator[tuple[str, str, Callable[[], object]]]:
    text, name = f"text of {number} " + "and more " * 40, f"run-{number}"
    picture = place / "data" / "2_thing" / f"{number % 3}.png"
    yield "run", name, lambda: jobs.start(job(place, number, name))
    yield "preset", f"Mine {number}", lambda: shelf.save(Job(), f"Mine {number}", text)
    yield "replace", text, lambda: shelf.save(Job(), "Replaced", text, replace=f"{shelf.OWN}/Replaced")
    given = {"path": str(picture), "key": thumbs.key_of(str(picture)), "text": text, "all_lines": True}
    yield f"caption {picture.name}", " ".join(text.split()), lambda: _saved(given)


def _saved(given: dict[str, Any]) -> None:
    assert captions.save_caption(given)["ok"]


def job(place: pathlib.Path, number: int, name: str) -> Job:
    """A job whose output folder is one of a few, none of them the usual one."""
    output = {"folder": str(place / f"outputs-{number % 3}"), "name": name}
    return parse({"output": output, "dataset": {"folder": str(place / "data")}})


def begin(asked: dict[str, Any], note: Note) -> None:
    """Starts a real training and a real tool, which are to go on without this program."""
    run = jobs.start(parse(asked["job"]))
    told = tooling.Bench().begin("convert", asked["tool"])
    note("begun", json.dumps([str(run.path), told["problem"]]))


def look(place: pathlib.Path, note: Note) -> None:
    """All that a program shows when it is opened."""
    with TestClient(APP, base_url=ADDRESS) as client:
        shown = client.get("/runs").json()["runs"]
    for run in shown:
        note("run", json.dumps([run["name"], run["folder"], run["state"]]))
    for entry in shelf.entries():
        if entry.key.startswith(f"{shelf.OWN}/"):
            document = shelf.read(entry.key)
            note("preset", json.dumps([document.title, document.purpose]))
    found = scan(job(place, 0, "any").dataset)
    for picture in found.subsets[0].pictures:
        note(f"caption {picture.path.name}", picture.caption)
    for problem in found.problems:
        note("problem", problem.sentence)


if __name__ == "__main__":
    serve(be_program)
