"""The GUI killed anywhere, while it starts runs, saves presets, writes captions and remembers folders, loses nothing.

After each kill another program is opened, which has to show everything; what was under way goes on untouched.
"""

import collections
import json
import os
import pathlib
import random
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.crash.faults import Fault
from tests.crash.test_trainer import KILLS, SEED, SIGKILL, points
from tests.crash.trainers import ask, served
from tests.trainer import tiny
from trainer.run import events, folder
from trainer.run.folder import RunFolder

LOCK = "import fcntl,os,sys,time\nlock=open(sys.argv[4]+'/lock','a')\nfcntl.flock(lock,fcntl.LOCK_EX)\n"
STAY = "while os.path.exists(sys.argv[0]) and os.path.exists(sys.argv[4]): time.sleep(0.5)\n"
KEPT = 30


class Desk:
    """Where programs work one after the other, and what each of them has said that it has done."""

    def __init__(self, place: pathlib.Path, server: "subprocess.Popen[str]") -> None:
        self.place, self._server = place, server
        self._stand_in = place.with_name("trainer")
        # It holds the lock of its run, as a trainer does, and costs little.
        self._stand_in.write_text(f"#!{sys.executable} -IS\n{LOCK}{STAY}", encoding="utf-8")
        self._stand_in.chmod(self._stand_in.stat().st_mode | stat.S_IXUSR)
        self._number = 0
        self._noted: list[list[str]] = []
        self._runs, self._presets = set[str](), set[str]()
        self._texts: dict[str, set[str]] = collections.defaultdict(set)
        self.counts: collections.Counter[str] = collections.Counter()

    def ask(self, deed: str, **more: Any) -> tuple[int, list[list[str]]]:
        """One program: its exit status and what it has noted."""
        noted, said = (self.place.with_name(name) for name in ("noted", "said"))
        noted.write_text("", encoding="utf-8")
        asked = {
            "place": str(self.place),
            "noted": str(noted),
            "said": str(said),
            "trainer": str(self._stand_in),
            "number": self._number,
            "fault": None,
            "kill_after_s": None,
        }
        status = ask(self._server, {**asked, **more, "deed": deed})["status"]
        assert status in (0, SIGKILL), said.read_text(encoding="utf-8")
        return status, [json.loads(line) for line in noted.read_text(encoding="utf-8").splitlines()]

    def work(self, fault: Fault | None, kill_after_s: float | None = None) -> bool:
        """Lets a program work, and another one look whether all is there; whether the first one was killed."""
        more = {"fault": vars(fault) if fault else None, "kill_after_s": kill_after_s}
        status, self._noted = self.ask("work", **more)
        self._number += 1 + sum(what == "try run" for what, _ in self._noted)
        for what, value in self._noted:
            self._take_note(*what.partition(" ")[::2], value)
        self._look()
        self._tidy_up()
        return status == SIGKILL

    def operations(self) -> list[tuple[str, str]]:
        """What a program that nothing befalls asks of the disk."""
        assert not self.work(None)
        return [(kind, place) for kind, place in json.loads(self._noted[-1][1])]

    def _take_note(self, how: str, what: str, value: str) -> None:
        self.counts[what.partition(" ")[0]] += how == "done"
        if what == "run" and how == "done":
            self._runs.add(value)
        elif what == "preset" and how == "done":
            self._presets.add(value)
        elif what == "replace" or what.startswith("caption"):
            # Until it is done it is the old or the new one; from then on the new one alone.
            self._texts[what] = {value} if how == "done" else {*self._texts[what], value}

    def _look(self) -> None:
        _, noted = self.ask("look")
        shown = [json.loads(value) for what, value in noted if what == "run"]
        there = {str(path.parent) for path in self.place.glob("*/*/job.json")}
        assert {path for _, path, _ in shown} == there
        assert {name for name, _, _ in shown} >= self._runs
        assert {state for _, path, state in shown if folder.is_alive(RunFolder(pathlib.Path(path)))} <= {
            "waiting",
            "running",
        }
        presets = dict(json.loads(value) for what, value in noted if what == "preset")
        assert presets.keys() >= self._presets
        assert {presets.get("Replaced", "")} <= {text.strip() for text in self._texts["replace"]} | {""}
        for what, value in noted:
            if what.startswith("caption"):
                # What was there before the first change is what the first look has shown.
                self._texts[what] = self._texts[what] or {value}
                assert value in self._texts[what], what
        assert not [value for what, value in noted if what == "problem" and "caption" in value]

    def _tidy_up(self) -> None:
        """Removes what many programs have shown: with all of it each look would take longer than the one before."""
        for kind, known in (("outputs-*/*/job.json", self._runs), ("home/presets/Mine*.json", self._presets)):
            for path in sorted(self.place.glob(kind), key=lambda path: path.stat().st_mtime)[:-KEPT]:
                known.discard(path.parent.name if path.name == "job.json" else path.stem)
                shutil.rmtree(path.parent) if path.name == "job.json" else path.unlink()

    def alive(self) -> int:
        """How many runs have a trainer, or what stands in for one."""
        return sum(folder.is_alive(RunFolder(path.parent)) for path in self.place.glob("*/*/job.json"))

    def close(self) -> None:
        """Ends what stands in for trainers."""
        self._stand_in.unlink()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk with a small data set."""
    place = tmp_path_factory.mktemp("gui") / "place"
    tiny.pictures(place / "data", 3)
    server = served("gui_server")
    with server:
        found = Desk(place, server)
        yield found
        found.close()
        assert server.stdin
        server.stdin.close()


def begun(desk: Desk) -> tuple[RunFolder, pathlib.Path]:
    """A real training without an end and a real tool, begun by a program that was killed at once."""
    base, out = tiny.model(desk.place.with_name("model")), desk.place / "converted.safetensors"
    lora = {f"lora_unet_mid_block_attentions_0_proj_in.lora_{end}.weight": torch.ones(4, 4) for end in ("up", "down")}
    save_file(lora, desk.place / "lora.safetensors")
    job = tiny.job(desk.place, base, {"training": {"epochs": 0, "steps": 10**6, "text_encoder": False}})
    tool = {"file": str(desk.place / "lora.safetensors"), "out": str(out), "to": "peft"}
    status, noted = desk.ask("begin", job=job.model_dump(mode="json"), tool=tool)
    run, problem = json.loads(noted[-1][1])
    assert (status, problem) == (SIGKILL, "")
    return RunFolder(pathlib.Path(run)), out


def until(what: Any, seconds: float = 600) -> None:
    late = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < late
        time.sleep(0.1)


def happened(run: RunFolder, kind: str) -> list[dict[str, Any]]:
    return [event for event in events.read(run.events)[0] if event["kind"] == kind]


def test_a_gui_killed_anywhere_loses_nothing_and_leaves_alone_what_is_under_way(desk: Desk, thorough: bool) -> None:
    wanted, by_chance = (120, 60) if thorough else (30, 12)
    run, converted = begun(desk)
    killed: collections.Counter[str] = collections.Counter()
    for fault in points(desk.operations(), KILLS, 20):
        killed[f"{fault.what} {fault.kind}"] += desk.work(fault)
        if killed.total() == wanted:
            break
    chance = random.Random(SEED)
    for _ in range(by_chance):
        killed["at a moment of chance"] += desk.work(None, chance.uniform(0.001, 0.2))

    assert (killed.total(), desk.alive() > 1) == (wanted + by_chance, True)
    until(lambda: happened(run, "step"))
    before = len(happened(run, "step"))
    until(lambda: len(happened(run, "step")) > before)
    folder.request(run, "stop")
    until(lambda: happened(run, "stopped") and not folder.is_alive(run))
    assert len(happened(run, "started")) == 1
    until(converted.exists)
    assert len(load_file(converted)) == 2
    halves = list(desk.place.rglob(".*.new"))
    for path in halves:  # as old as nothing is that somebody may be writing still
        os.utime(path, (0, 0))
    desk.work(None)
    assert not [*(desk.place / "home").rglob(".*.new"), *(desk.place / "data").rglob(".*.new")]
    print(
        f"\nkilled {killed.total()} times: {dict(+killed)}; done all the same: {dict(+desk.counts)}; nothing lost, "
        f"{len(halves)} halves left beside their places and taken away"
    )
