"""Every file name of a run, and what can be asked of a run folder without reading its events."""

import contextlib
import dataclasses
import datetime
import errno
import json
import math
import os
import pathlib
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Literal, get_args

from trainer.job import presets
from trainer.job.fields import Invalid
from trainer.job.files import open_file
from trainer.job.settings import Job

if os.name == "nt":
    import msvcrt
else:
    import fcntl

Request = Literal["stop", "stop_after_epoch", "pause", "save", "sample"]
"""`pause` stays in the folder for as long as the pause lasts: to take it away is to let the training go on."""
REQUESTS: tuple[Request, ...] = get_args(Request)
# What a drive says, of another system or across a network, that cannot make a folder last; a failing one says EIO.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF)
_LOCK_TAKEN = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_UNFINISHED = ".new"
_ABANDONED_S = 600
"""Nothing is written for so long beside its place but a state, and that one only by the trainer that holds the lock."""


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
    def data(self) -> pathlib.Path:
        """What it was trained on (see dataset/fingerprint.py)."""
        return self.path / "data.json"

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
    def tries(self) -> pathlib.Path:
        """Pictures drawn with a finished file (see engine/trying.py)."""
        return self.path / "tries"

    def tries_grid(self, file: pathlib.Path) -> pathlib.Path:
        """The picture of all that was drawn with the LoRA `file`."""
        return self.tries / f"{file.stem}_grid.png"

    @property
    def weights(self) -> pathlib.Path:
        return self.path / "weights"

    @property
    def state(self) -> pathlib.Path:
        return self.path / "state"

    @property
    def ending(self) -> pathlib.Path:
        """How its last trainer has ended, where that could not say so itself (see ending.py)."""
        return self.path / "ending.json"

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
    make_lasting(output_folder)
    number = 1
    while True:
        run = RunFolder(output_folder / (name if number == 1 else f"{name}-{number}"))
        with contextlib.suppress(FileExistsError):
            run.path.mkdir()
            for folder in (run.samples, run.weights, run.state, run.requests):
                folder.mkdir()
            sync_folder(run.path)
            sync_folder(output_folder)
            return run
        number += 1


def unmake(run: RunFolder) -> None:
    """Takes away a run folder in which nothing lies yet; with anything in it, it stays."""
    with contextlib.suppress(OSError):
        for path in (run.samples, run.weights, run.state, run.requests, run.path):
            path.rmdir()


def write_job(run: RunFolder, job: Job, versions: Mapping[str, str]) -> None:
    """Writes job.json: the resolved job, the versions of everything that matters and when the run was begun.

    That is also the time of the file, by which lists are ordered, and stays when a resumed run writes it again.
    """
    created = _created(run)
    about = {"created": created.isoformat(timespec="milliseconds"), "versions": dict(versions)}
    text = json.dumps({**job.model_dump(mode="json"), "about": about}, indent=2, ensure_ascii=False) + "\n"

    def write(stream: IO[bytes]) -> None:
        stream.write(text.encode())
        stream.flush()
        os.utime(stream.name, (created.timestamp(),) * 2)

    write_whole(run.job, write, anew=False)


def _created(run: RunFolder) -> datetime.datetime:
    """When `run` was begun, as its job.json says; now where there is none that says it."""
    try:
        created = datetime.datetime.fromisoformat(_job_file(run)["about"]["created"])
        return created.astimezone(datetime.UTC)
    except (OSError, ValueError, TypeError, LookupError, OverflowError):
        return datetime.datetime.now(datetime.UTC)


def read_job(run: RunFolder) -> Job:
    """The job of `run`, also of one that an older version wrote. Raises FileNotFoundError, and else Invalid.

    A setting that is not known is refused: it would be passed over.
    """
    run.job.stat()
    document = presets.read(run.job)
    if document.unknown:
        raise Invalid(document.unknown)
    return document.job


def _job_file(run: RunFolder) -> Any:
    """What job.json holds. Raises OSError and ValueError."""
    try:
        with open_file(run.job) as stream:
            return json.loads(stream.read(presets.MAX_BYTES).decode("utf-8"))
    except RecursionError as error:
        raise ValueError(str(error)) from error


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


def write_whole(path: pathlib.Path, write: Callable[[IO[bytes]], object], *, anew: bool = True) -> None:
    """Writes a file so that at every instant, a power cut included, `path` is absent, the old or the new one, whole.

    When it returns, the new one is there to stay. Its folder is made anew where somebody has taken that away, but not
    the one around it; with `anew` False not even that, for a file of a run itself must not bring back a run that was
    renamed. Raises OSError that names the file, and then the old one is there, or the new one where the disk took it
    and would not say that it stays.
    """
    # Several trainers may write one file of the cache at once, hence a name of its own; a short one, because the
    # name of the file may already be as long as a name can be.
    beside = path.with_name(f".{uuid.uuid4().hex}{_UNFINISHED}")
    try:
        if anew:
            path.parent.mkdir(exist_ok=True)
        with beside.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, os.fspath(beside), beside):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise
    sync_folder(path.parent)


def make_lasting(folder: pathlib.Path) -> None:
    """Makes a folder and those around it, where they are not there yet, so that they last through a power cut."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def sync_folder(folder: pathlib.Path) -> None:
    """Makes the names in `folder` last through a power cut, where the system can do that. Raises OSError."""
    if os.name == "nt":  # which has no such thing, and keeps names by a journal
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a UTF-8 file, whole or not at all, into a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda stream: stream.write(text.encode()))


def forget_unfinished(run: RunFolder) -> None:
    """Takes away what a kill in the middle of a write has left beside the files of `run`; only its trainer may.

    Raises OSError.
    """
    for place in (run.path, run.samples, run.weights, run.state):
        for path in place.glob(f".*{_UNFINISHED}"):
            path.unlink(missing_ok=True)


def forget_abandoned(place: pathlib.Path) -> None:
    """Takes away what kills have left in `place`, where several programs may write: what nobody can be writing still.

    What cannot be taken away stays.
    """
    for path in place.glob(f".{'[0-9a-f]' * 32}{_UNFINISHED}"):
        with contextlib.suppress(OSError):
            if abs(time.time() - path.stat().st_mtime) > _ABANDONED_S:
                path.unlink()


class Busy(RuntimeError):
    """Another process holds this lock, such as the trainer of a run."""


@contextlib.contextmanager
def held(run: RunFolder) -> Iterator[None]:
    """Holds the run's lock, which the system frees when the process ends in whatever way. Raises Busy and OSError."""
    # `is_alive` holds the lock for an instant while it looks, hence a little patience.
    with locked(run.lock, 0.5):
        yield


@contextlib.contextmanager
def locked(path: pathlib.Path, patience_s: float) -> Iterator[None]:
    """Holds the lock file `path`, likewise. Raises OSError, and Busy when another one does for longer than
    `patience_s`."""
    until = time.monotonic() + patience_s
    with path.open("a+b") as stream:
        while not _try_lock(stream.fileno()):
            if time.monotonic() >= until:
                raise Busy(path.parent.name)
            time.sleep(0.02)
        yield


def is_alive(run: RunFolder) -> bool:
    """Whether a trainer is at work on this run."""
    return is_locked(run.lock)


def is_locked(path: str | os.PathLike[str]) -> bool:
    """Whether a process holds the lock file `path`."""
    try:
        descriptor = _open_to_ask(path)
        try:
            return not _try_lock(descriptor)
        finally:
            os.close(descriptor)
    except OSError:  # no lock, or one on a drive or of a user where this program may not look
        return False


def _open_to_ask(path: str | os.PathLike[str]) -> int:
    """A descriptor of a lock file that is only to be looked at. Raises OSError."""
    # Asked of hundreds of runs every other second: without a stream, which takes three times as long.
    without_waiting = getattr(os, "O_NONBLOCK", 0)
    try:
        # NFS grants a lock only to who may write, and says of others nothing that tells it from a free one.
        return os.open(path, os.O_RDWR | without_waiting)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return os.open(path, os.O_RDONLY | without_waiting)


def _try_lock(descriptor: int) -> bool:
    """Whether nobody else has it. Raises OSError on a drive that knows no locks."""
    try:
        if os.name == "nt":
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _LOCK_TAKEN:
            raise
        return False
    return True


def request(run: RunFolder, what: Request) -> None:
    """Asks the trainer of `run` for something; it answers within a step."""
    run.requests.mkdir(exist_ok=True)
    (run.requests / what).touch()


@contextlib.contextmanager
def first_to(run: RunFolder, what: str) -> Iterator[bool]:
    """Whether nobody else has come to do `what` since the last event of `run`; who fails has not.

    Whoever comes while another one does it waits for that. Raises OSError, and Busy where it takes too long.
    """
    run.requests.mkdir(exist_ok=True)
    mark = run.requests / f"{what}-{os.stat(run.events).st_size}"
    with locked(run.requests / f"{what}-lock", 5.0):
        if mark.exists():
            yield False
            return
        mark.touch()
        try:
            yield True
        except BaseException:
            mark.unlink(missing_ok=True)
            raise


def take_request(run: RunFolder, what: Request) -> bool:
    """Whether `what` was asked for; the request is gone afterwards. Raises OSError when it cannot be taken away."""
    try:
        (run.requests / what).unlink()
    except FileNotFoundError:
        return False
    return True


def asked(run: RunFolder) -> frozenset[Request]:
    """What was asked for since the last call. A pause is not taken away: it is asked for until somebody ends it.

    What cannot be read or taken away now is so at the next call: for a request nobody would lose a training.
    """
    found: set[Request] = set()
    with contextlib.suppress(OSError):
        names = set(os.listdir(run.requests))
        for what in REQUESTS:
            if what in names and (what == "pause" or take_request(run, what)):
                found.add(what)
    return frozenset(found)


def pending(run: RunFolder) -> list[Request]:
    """What was asked for and has not been heard yet, or is asked for on and on, as a pause is."""
    with contextlib.suppress(OSError):
        names = set(os.listdir(run.requests))
        return [what for what in REQUESTS if what in names]
    return []


def forget_requests(run: RunFolder, before: float = math.inf) -> None:
    """Takes away all requests of before a time, which the last trainer of this run did not live to see. Raises OSError.

    The time is in seconds since 1970; what was asked for later is for the next trainer, even while it is being begun.
    """
    for what in REQUESTS:
        if _modified(run.requests / what) < before:
            take_request(run, what)


def _modified(path: pathlib.Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
