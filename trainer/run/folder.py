"""Every file name of a run, and what can be asked of a run folder without reading its events."""

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Literal

from trainer.job.settings import Job

if os.name == "nt":
    import msvcrt
else:
    import fcntl

MAX_JOB_BYTES = 4 * 2**20
"""What lies behind is not read, so that a file that is no job cannot fill the memory."""

Request = Literal["stop", "pause", "save", "sample"]


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The paths inside one run folder; none of them need exist."""

    path: pathlib.Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def job(self) -> pathlib.Path:
        return self.path / "job.json"

    @property
    def events(self) -> pathlib.Path:
        return self.path / "events.jsonl"

    @property
    def log(self) -> pathlib.Path:
        return self.path / "log.txt"

    @property
    def samples(self) -> pathlib.Path:
        return self.path / "samples"

    @property
    def grid(self) -> pathlib.Path:
        return self.samples / "grid.png"

    @property
    def weights(self) -> pathlib.Path:
        return self.path / "weights"

    @property
    def state(self) -> pathlib.Path:
        return self.path / "state"

    @property
    def lock(self) -> pathlib.Path:
        return self.path / "lock"

    @property
    def requests(self) -> pathlib.Path:
        return self.path / "requests"

    def sample_file(self, name: str, when: int | str, prompt: int, seed: int) -> pathlib.Path:
        """`prompt` counts from 1; `when` is an epoch, of which 0 is the baseline, or the name of a step within one."""
        moment = f"e{when:04d}" if isinstance(when, int) else when
        return self.samples / f"{name}_{moment}_p{prompt:02d}_s{seed}.png"

    def weights_file(self, name: str, ending: str | None = None) -> pathlib.Path:
        """`<name>-<ending>.safetensors`, ending in "000003" for epoch 3; the final file when it is None."""
        return self.weights / (f"{name}.safetensors" if ending is None else f"{name}-{ending}.safetensors")


def create(output_folder: pathlib.Path, name: str) -> RunFolder:
    """A new, empty run folder `<output folder>/<name>`, or `<name>-2`, `<name>-3`, … where that exists already."""
    output_folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        run = RunFolder(output_folder / (name if number == 1 else f"{name}-{number}"))
        with contextlib.suppress(FileExistsError):
            run.path.mkdir()
            for folder in (run.samples, run.weights, run.state, run.requests):
                folder.mkdir()
            return run
        number += 1


def write_job(run: RunFolder, job: Job, versions: Mapping[str, str]) -> None:
    """Writes job.json: the resolved job, the versions of everything that matters and the time."""
    about = {"created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "versions": dict(versions)}
    text = json.dumps({**job.model_dump(mode="json"), "about": about}, indent=2, ensure_ascii=False) + "\n"
    write_text(run.job, text)


def read_job(run: RunFolder) -> Job:
    """The job of `run`. Raises OSError, ValueError (also pydantic's ValidationError) when it cannot be read."""
    try:
        with run.job.open("rb") as stream:
            data = json.loads(stream.read(MAX_JOB_BYTES).decode("utf-8"))
    except RecursionError as error:
        raise ValueError(str(error)) from error
    if isinstance(data, dict):
        data.pop("about", None)
    return Job.model_validate(data)


def list_runs(output_folder: pathlib.Path) -> list[RunFolder]:
    """The runs in `output_folder`, newest first; a run is a folder with a job.json."""
    if not output_folder.is_dir():
        return []
    # A run that vanishes or may not be looked into meanwhile is left out.
    found = [(_written_at(run), run.name, run) for run in map(RunFolder, output_folder.iterdir())]
    return [run for written, _, run in sorted(found, key=lambda each: each[:2], reverse=True) if written]


def _written_at(run: RunFolder) -> float:
    """When job.json was written, in seconds since 1970; 0 where there is none to be seen."""
    try:
        status = run.job.stat()
    except OSError:
        return 0.0
    return status.st_mtime if stat.S_ISREG(status.st_mode) else 0.0


def write_whole(path: pathlib.Path, write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file so that at every instant `path` is absent, the old file or the new one, whole."""
    # Several trainers may write one file of the cache at once, hence a name of its own; a short one, because the
    # name of the file may already be as long as a name can be.
    beside = path.with_name(f".{uuid.uuid4().hex}.new")
    try:
        with beside.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a UTF-8 file, whole or not at all, into a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda stream: stream.write(text.encode()))


class Busy(RuntimeError):
    """Another trainer holds the lock of this run."""


@contextlib.contextmanager
def held(run: RunFolder) -> Iterator[None]:
    """Holds the run's lock, which the system frees when the process ends in whatever way. Raises Busy."""
    with run.lock.open("a+b") as stream:
        # `is_alive` holds the lock for an instant while it looks, hence a few tries.
        for attempt in range(10):
            if _try_lock(stream):
                break
            if attempt == 9:
                raise Busy(run.name)
            time.sleep(0.05)
        yield


def is_alive(run: RunFolder) -> bool:
    """Whether a trainer is at work on this run."""
    try:
        with run.lock.open("rb") as stream:
            return not _try_lock(stream)
    except OSError:  # no lock, or one on a drive or of a user where this program may not look
        return False


def _try_lock(stream: IO[Any]) -> bool:
    try:
        if os.name == "nt":
            stream.seek(0)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def request(run: RunFolder, what: Request) -> None:
    """Asks the trainer of `run` for something; it answers within a step."""
    run.requests.mkdir(exist_ok=True)
    (run.requests / what).touch()


def take_request(run: RunFolder, what: Request) -> bool:
    """Whether `what` was asked for; the request is gone afterwards."""
    try:
        (run.requests / what).unlink()
    except FileNotFoundError:
        return False
    return True
