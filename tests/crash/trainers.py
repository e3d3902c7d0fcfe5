"""Runs of one small job, carried out by trainers that are killed or meet faults; and what has to be the same after."""

import dataclasses
import json
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file

from app import watch
from tests.crash.faults import Fault
from trainer.job.settings import Job
from trainer.run import folder
from trainer.run.folder import RunFolder

ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a trainer ended: status -9 for SIGKILL, seconds, all that it said, and how often a fault struck it."""

    status: int
    took_s: float
    said: str
    struck: int


@dataclasses.dataclass(frozen=True)
class Trainers:
    """A server of trainers and the job that they carry out."""

    server: "subprocess.Popen[str]"
    job: Job

    def new(self) -> RunFolder:
        """A run that no trainer has touched yet."""
        run = folder.create(pathlib.Path(self.job.output.folder), "tiny")
        folder.write_job(run, self.job, {})
        return run

    def resume(self, run: RunFolder, fault: Fault | None = None, kill_after_s: float | None = None) -> Ended:
        """Has a trainer carry on with `run`."""
        return self.call(["resume", str(run.path)], run.path, fault, kill_after_s)

    def call(
        self,
        words: list[str],
        place: pathlib.Path,
        fault: Fault | None = None,
        kill_after_s: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """`python -m trainer` with these words; the fault strikes inside of the folder `place`."""
        said, seen = place.with_suffix(".said"), place.with_suffix(".seen")
        said.write_text("", encoding="utf-8")  # it may be killed before it has said anything
        seen.write_text("[[], 0]", encoding="utf-8")
        asked = {
            "words": words,
            "environment": dict(environment or {}),
            "folder": str(place),
            "said": str(said),
            "fault": dataclasses.asdict(fault) if fault else None,
            "kill_after_s": kill_after_s,
            "seen": str(seen),
        }
        answer = ask(self.server, asked)
        struck = json.loads(seen.read_text(encoding="utf-8"))[1]
        return Ended(answer["status"], answer["took_s"], said.read_text(encoding="utf-8", errors="replace"), struck)

    def seen(self, run: RunFolder) -> list[tuple[str, str]]:
        """The file operations of the last trainer of `run` that was not killed: what and at which place."""
        found = json.loads(run.path.with_suffix(".seen").read_text(encoding="utf-8"))[0]
        return [(kind, place) for kind, place in found]


def served(module: str) -> "subprocess.Popen[str]":
    """A server (see children.py) in a module beside this one."""
    command = [sys.executable, "-m", f"tests.crash.{module}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def ask(server: "subprocess.Popen[str]", asked: dict[str, Any]) -> dict[str, Any]:
    """What a server answers when the child that was asked for has ended."""
    assert server.stdin
    assert server.stdout
    server.stdin.write(json.dumps(asked) + "\n")
    server.stdin.flush()
    return dict(json.loads(server.stdout.readline()))


def kept(run: RunFolder) -> int:
    """The step from which a run would go on; that its state is whole is seen by reading it."""
    path = run.state / "resume.pt"
    return int(torch.load(path, weights_only=True)["step"]) if path.is_file() else 0


def outcome(run: RunFolder) -> dict[str, Any]:
    """All of a run that has to be the same however often its trainer was killed; tensors and pictures bit for bit."""
    news = watch.updates(run, 0)
    weights = {path.name: load_file(path) for path in sorted(run.weights.iterdir())}
    return {
        "state": watch.overview(run)["state"],
        "weights": {(file, name): _bits(tensor) for file, found in weights.items() for name, tensor in found.items()},
        "samples": {path.name: _pixels(path) for path in sorted(run.samples.iterdir()) if path != run.grid},
        "shown": sorted({(sample["step"], sample["file"]) for sample in news["samples"]}),
        "curve": news["rows"],
        "epochs": news["epochs"],
        "left_over": sorted(str(path) for path in run.path.rglob(".*")),
    }


def _bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _pixels(path: pathlib.Path) -> bytes:
    with Image.open(path) as picture:
        return picture.tobytes()
