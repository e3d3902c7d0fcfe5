"""The queue on disk: jobs that wait for a device, a file each, in the program's home folder.

A page, a command line and the worker may change it at once: every change is made under one lock that the system frees
when its holder ends, and is the writing or removing of one file, so that a kill leaves the old queue or the new one.
"""

import contextlib
import errno
import json
import math
import os
import pathlib
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pydantic

from trainer.job.files import open_file
from trainer.job.presets import MAX_BYTES
from trainer.job.settings import Job
from trainer.job.trouble import Refused
from trainer.run.folder import Busy, RunFolder, is_alive, is_locked, locked, make_lasting, sync_folder, write_text
from trainer.run.home import home, is_path, resolve_outputs
from trainer.run.paths import with_whole_paths

State = Literal["waiting", "running", "finished", "failed", "stopped"]
LISTED: tuple[State, ...] = ("finished", "running", "waiting")
"""In which order they are shown; all that has ended in another way comes last, where it is in nobody's way."""

PATIENCE_S = 10.0
"""A change takes milliseconds; who waits so long for the lock waits for something that is stuck."""
_UNREAD = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ETIMEDOUT)
"""What a disk or a drive across a network says that cannot give a file now, though it is there."""
_ID = re.compile(r"[0-9a-f]{6}")


class Entry(pydantic.BaseModel):
    """One job in the queue; times are seconds since 1970, 0 for not yet.

    `run` is the path of its run folder, "" before its first turn; `step`, `spoke_bytes` and `from_byte` are what the
    worker has seen of that run: its furthest step, the length of its events when a trainer was last begun, and where
    the events of its present try begin; `interruptions` counts those without a new step.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    id: str = pydantic.Field(exclude=True)
    job: Job
    position: float = pydantic.Field(default=0.0, allow_inf_nan=False)
    state: State = "waiting"
    reason: str = ""
    advice: str = ""
    run: str = ""
    device: str = ""
    added_at: float = 0.0
    begun_at: float = 0.0
    ended_at: float = 0.0
    step: int = 0
    spoke_bytes: int = 0
    from_byte: int = 0
    interruptions: int = 0

    @pydantic.model_validator(mode="after")
    def _is_somewhere(self) -> "Entry":
        if (self.run or self.state == "running") and not is_path(self.run):
            raise ValueError("it runs nowhere")
        return self

    @property
    def name(self) -> str:
        """What a person calls it: the name of its run, or the one that the run is to have."""
        return pathlib.Path(self.run).name or self.job.output.name

    def but(self, **changes: Any) -> "Entry":
        """The same entry with other values."""
        return self.model_copy(update=changes)


# ---- what is there ----


def place() -> pathlib.Path:
    """The folder of the queue; it need not exist."""
    return home() / "queue"


def everything() -> tuple[list[Entry], list[str]]:
    """Every entry: the finished ones in the order of their end, then what runs, what waits, and what has ended badly.

    And the names of the files that are none: damaged, of a newer version, or foreign.
    """
    read = [(path, _read(path)) for path in _files()]
    found = sorted((entry for _, entry in read if entry), key=_listed)
    return found, [path.name for path, entry in read if entry is None and path.exists()]


def entries() -> list[Entry]:
    """Every entry, in the same order."""
    return everything()[0]


def living() -> list[Entry]:
    """All that is not finished by its position, which is that of its turn once it waits again.

    Raises OSError where one cannot be read now: it may be the one that runs, and the others must not be put in an order
    without it.
    """
    found = (entry for path in _files() if (entry := _whole(path)) and entry.state != "finished")
    return sorted(found, key=lambda entry: (entry.position, entry.id))


def _listed(entry: Entry) -> tuple[int, float, str]:
    group = LISTED.index(entry.state) if entry.state in LISTED else len(LISTED)
    return group, entry.ended_at if entry.state == "finished" else entry.position, entry.id


def _files() -> list[pathlib.Path]:
    return sorted(place().glob("*.json"))


def _read(path: pathlib.Path) -> Entry | None:
    """The entry in a file; None where there is none, or none that can be read now."""
    with contextlib.suppress(OSError):
        return _whole(path)
    return None


def _whole(path: pathlib.Path) -> Entry | None:
    """The same, but raises OSError where the disk or a right is what keeps it from being read."""
    try:
        if not _ID.fullmatch(path.stem):
            return None
        with open_file(path) as stream:
            data = json.loads(stream.read(MAX_BYTES).decode("utf-8"))
        return Entry.model_validate({**data, "id": path.stem})
    except OSError as error:
        if error.errno in _UNREAD:
            raise
        return None
    except (ValueError, TypeError, RecursionError):
        return None


def is_held() -> bool:
    """Whether no further job is to begin for now."""
    return (place() / "held").exists()


def is_worked() -> bool:
    """Whether a worker takes care of the queue."""
    return is_locked(worker_lock())


def worker_lock() -> pathlib.Path:
    """Held for as long as a worker lives."""
    return place() / "worker"


def has_work(among: Sequence[Entry] | None = None) -> bool:
    """Whether there is something for a worker to do, `among` these or all entries that can be read now."""
    states = {entry.state for entry in (entries() if among is None else among)}
    return "running" in states or ("waiting" in states and not is_held())


def find(entry_id: str) -> Entry:
    """The entry whose id begins with `entry_id`, or whose name it is, if there is exactly one. Raises Refused."""
    found = [
        entry for entry in entries() if entry_id and (entry.id.startswith(entry_id.lower()) or entry.name == entry_id)
    ]
    if len(found) != 1:
        raise Refused("queue_several" if found else "queue_missing", id=entry_id)
    return found[0]


# ---- what can be changed ----


@contextlib.contextmanager
def changing() -> Iterator[None]:
    """Keeps all others from changing the queue. Raises Refused and OSError."""
    make_lasting(place())
    try:
        with locked(place() / "lock", PATIENCE_S):
            for torn in place().glob(".*.new"):
                torn.unlink(missing_ok=True)
            yield
    except Busy:
        raise Refused("queue_busy") from None


def write(entry: Entry) -> Entry:
    """Writes the entry down; only for whoever is `changing` the queue. Raises OSError."""
    write_text(place() / f"{entry.id}.json", entry.model_dump_json(indent=1) + "\n")
    return entry


def add(job: Job) -> Entry:
    """Puts `job` at the end. Raises Refused and OSError."""
    whole = with_whole_paths(job, resolve_outputs(job.output.folder))
    with changing():
        return write(Entry(id=_new_id(), job=whole, position=_position(len(living())), added_at=time.time()))


def duplicate(entry_id: str) -> Entry:
    """Puts the same job once more, right behind; of what has ended, at the end. Raises Refused and OSError."""
    with changing():
        entry, order = find(entry_id), living()
        lives = entry.state in ("waiting", "running")
        behind = next((at + 1 for at, one in enumerate(order) if lives and one.id == entry.id), len(order))
        return write(Entry(id=_new_id(), job=entry.job, position=_position(behind), added_at=time.time()))


def move(entry_id: str, number: int) -> Entry:
    """Makes it the `number`-th, counted from 1, of those that wait. Raises Refused and OSError."""
    with changing():
        entry = find(entry_id)
        if entry.state != "waiting":
            raise Refused("queue_waits_not", name=entry.name)
        order = [one for one in living() if one.id != entry.id]
        waiting = [at for at, one in enumerate(order) if one.state == "waiting"]
        behind = [*waiting, len(order)][min(max(number - 1, 0), len(waiting))]
        position = _position(behind, entry.id)
        return write(find(entry.id).but(position=position))


def edit(entry_id: str, job: Job) -> Entry:
    """Gives it this job, with which it waits for a turn, in another run if the job is another one.

    Raises Refused and OSError.
    """
    whole = with_whole_paths(job, resolve_outputs(job.output.folder))
    with changing():
        entry = find(entry_id)
        if entry.state in ("running", "finished"):
            raise Refused(f"queue_edit_{entry.state}", name=entry.name)
        anew = Entry(id=entry.id, job=whole, position=entry.position, added_at=entry.added_at)
        return write(anew if entry.job != whole else _waiting(entry))


def again(entry_id: str) -> Entry:
    """Lets one that has failed or was stopped wait for another turn, in the same run. Raises Refused and OSError."""
    with changing():
        entry = find(entry_id)
        if entry.state not in ("failed", "stopped"):
            raise Refused("queue_again", name=entry.name)
        return write(_waiting(entry))


def _waiting(entry: Entry) -> Entry:
    """`entry` with another try before it."""
    anew = {"from_byte": written(entry), "interruptions": 0} if entry.state != "waiting" else {}
    return entry.but(state="waiting", reason="", advice="", ended_at=0.0, **anew)


def resumed(run: RunFolder) -> Entry | None:
    """Takes note that somebody has let `run` go on; its entry as it was before, None where the queue has none of it.

    Raises Refused and OSError.
    """
    if not _ended_in(run):
        return None
    with changing():
        entry = next(iter(_ended_in(run)), None)
        if entry is None:
            return None
        again = _waiting(entry)
        # Who lets it go on chooses no device, and the one of its last turn may be another one.
        write(again.but(state="running", device="", spoke_bytes=again.from_byte))
        return entry


def put_back(entry: Entry) -> None:
    """Undoes what `resumed` has noted, since nothing was begun. Raises Refused and OSError."""
    with changing():
        write(entry)


def _ended_in(run: RunFolder) -> list[Entry]:
    path = os.path.realpath(run.path)
    ended = (entry for entry in entries() if entry.run and entry.state in ("failed", "stopped"))
    return [entry for entry in ended if os.path.realpath(entry.run) == path]


def remove(entry_id: str) -> Entry:
    """Takes it out; its run, if it has one, stays. Raises Refused and OSError."""
    with changing():
        entry = find(entry_id)
        if entry.state == "running" and (is_worked() or is_alive(RunFolder(pathlib.Path(entry.run)))):
            raise Refused("queue_remove_running", name=entry.name, run=entry.run)
        forget(entry)
        return entry


def forget(entry: Entry) -> None:
    """Removes its file; only for whoever is `changing` the queue. Raises OSError."""
    (place() / f"{entry.id}.json").unlink(missing_ok=True)
    sync_folder(place())


def hold(held: bool) -> None:
    """Lets no further job begin, or lets the queue go on. Raises Refused and OSError."""
    with changing():
        if held:
            (place() / "held").touch()
        else:
            (place() / "held").unlink(missing_ok=True)
        sync_folder(place())


def age_s(entry: Entry) -> float:
    """How many seconds ago `entry` was written down; what a clock that was set back makes of it is below 0."""
    try:
        return time.time() - (place() / f"{entry.id}.json").stat().st_mtime
    except OSError:
        return math.inf


def written(entry: Entry) -> int:
    """How long the events of its run are, in bytes; 0 where there is none."""
    try:
        return RunFolder(pathlib.Path(entry.run)).events.stat().st_size if entry.run else 0
    except OSError:
        return 0


def _new_id() -> str:
    taken = {path.stem for path in _files()}
    return next(key for key in iter(lambda: secrets.token_hex(3), "") if key not in taken)


def _position(behind: int, moved: str = "") -> float:
    """One behind the first `behind` of those that are not finished, without the entry `moved`, and before the others.

    Raises OSError.
    """
    order = [entry.position for entry in living() if entry.id != moved]
    before = order[behind - 1] if behind else -math.inf
    after = order[behind] if behind < len(order) else math.inf
    if math.isinf(before) or math.isinf(after):
        return 0.0 if not order else after - 1 if math.isinf(before) else before + 1
    middle = (before + after) / 2
    if before < middle < after:
        return middle
    # From the last to the first, each goes behind all that are still to go, so the order is the same at every moment.
    everyone = living()
    top = math.ceil(everyone[-1].position) + 1
    for number, entry in reversed(list(enumerate(everyone))):
        write(entry.but(position=float(top + number)))
    return _position(behind, moved)
