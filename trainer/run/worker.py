"""The worker of the queue: gives each device one job after the other, and writes down how each one ended.

It only looks after trainers, which live on their own: killed, it leaves them at work, and the next worker finds them.
"""

import contextlib
import os
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from trainer.job.trouble import Refused, Trouble
from trainer.job.words import say
from trainer.run import ending, events, folder, home, queue
from trainer.run.devices import Device
from trainer.run.folder import Busy, RunFolder
from trainer.run.process import begin_trainer
from trainer.run.queue import Entry

TURN_S = 2.0
"""Between two looks at everything; the end of a trainer that this worker has begun is seen at once."""
AFTER_TROUBLE_S = 5.0
LOCK_GRACE_S = 5
"""So long may a trainer that somebody else has begun take until it holds its lock."""
START_GRACE_S = 30
"""So long a run that no trainer has touched yet may be one that was just begun."""
MOST_INTERRUPTIONS = 2
KEPT_FINISHED = 20

Tell = Callable[[str], None]


class Begun(NamedTuple):
    """A trainer that this worker has begun, and what there was of its run before."""

    process: "subprocess.Popen[bytes]"
    before: ending.Before


Processes = dict[str, Begun]


def work(devices: Sequence[Device], tell: Tell) -> None:
    """Works until nothing waits; `tell` gets a line for a person whenever something happens.

    Raises Refused where another worker is at work, and OSError where the queue's folder cannot be used at all.
    """
    processes: Processes = {}
    queue.place().mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as life:
        try:
            life.enter_context(folder.locked(queue.worker_lock(), 0.5))
        except Busy:
            raise Refused("queue_worked") from None
        while True:
            pause_s = TURN_S
            try:
                with queue.changing():
                    if not turn(devices, processes, tell):
                        # Before others may change the queue: whoever adds to it next finds that there is no worker.
                        life.close()
                        return
            except (OSError, Refused) as error:
                tell(say("queue_trouble", reason=error))
                pause_s = AFTER_TROUBLE_S
            _wait(processes, pause_s)


def _wait(processes: Processes, most_s: float) -> None:
    until = time.monotonic() + most_s
    # One that has ended before, but of which nothing could be written down yet, must not keep this from waiting.
    alive = [begun.process for begun in processes.values() if begun.process.poll() is None]
    while time.monotonic() < until and all(process.poll() is None for process in alive):
        time.sleep(0.1)


def turn(devices: Sequence[Device], processes: Processes, tell: Tell) -> bool:
    """Looks after what runs and begins what can begin; whether there is anything to wait for. Raises OSError."""
    for entry in queue.living():
        if entry.state == "running":
            _look_after(entry, processes, tell)
    found = queue.living()
    if not queue.is_held() and any(entry.state == "waiting" for entry in found):
        for device in _free(devices, found):
            _begin_next(device, processes, tell)
    return queue.has_work(queue.living())


# ---- what runs ----


def _look_after(entry: Entry, processes: Processes, tell: Tell) -> None:
    run = RunFolder(pathlib.Path(entry.run))
    begun = processes.get(entry.id)
    if (begun is not None and begun.process.poll() is None) or folder.is_alive(run):
        return
    # Somebody may have let it go on just now: a trainer takes its lock only when its program is loaded.
    if begun is None and queue.written(entry) <= entry.spoke_bytes and 0 <= queue.age_s(entry) < LOCK_GRACE_S:
        return
    if begun is not None:
        ending.note(run, begun.process.returncode, begun.before)
    # Read after looking at the lock: what a trainer writes last is there when its lock is free.
    if not _settle(entry, run, tell):
        _interrupted(entry, run, begun is not None, tell)
    processes.pop(entry.id, None)


def _settle(entry: Entry, run: RunFolder, tell: Tell) -> bool:
    """Writes down how the present try of `entry` has ended, if its trainer has said so."""
    said = _said(run, entry.from_byte)
    end = next((event for event in reversed(said) if event["kind"] in ending.ENDS), None)
    # A trainer that was let go on after that has begun another try.
    if end is None or any(event["kind"] == "started" for event in said[said.index(end) :]):
        return False
    about = {name: str(end.get(name, "")) for name in ("reason", "advice") if end["kind"] == "failed"}
    _end(entry, tell, state=end["kind"], **about)
    return True


def _end(entry: Entry, tell: Tell, **how: Any) -> None:
    ended = queue.write(entry.but(ended_at=time.time(), **how))
    tell(say(f"queue_told_{ended.state}", name=ended.name, reason=ended.reason))
    finished = [one for one in queue.entries() if one.state == "finished"]
    for one in finished[:-KEPT_FINISHED]:
        queue.forget(one)


def _interrupted(entry: Entry, run: RunFolder, seen: bool, tell: Tell) -> None:
    """Lets `entry` wait for its turn again, unless it never gets any further; `seen`: this worker saw it end."""
    if not run.path.is_dir():
        _end(entry, tell, state="failed", **_words(Trouble("queue_gone", path=run.path)))
        return
    steps = (event.get("step") for event in _said(run) if event["kind"] == "step")
    step = max((step for step in steps if isinstance(step, int)), default=0)
    # One that was begun, but had not come to its first word when its worker was killed, was not interrupted.
    more = int(seen or queue.written(entry) > entry.spoke_bytes)
    count = 0 if step > entry.step else entry.interruptions + more
    if count >= MOST_INTERRUPTIONS:
        _end(entry, tell, state="failed", **_words(Trouble("queue_interrupted", step=step, path=run.log)))
        return
    queue.write(entry.but(state="waiting", step=step, interruptions=count))
    tell(say("queue_told_interrupted", name=entry.name))


def _said(run: RunFolder, offset: int = 0) -> list[dict[str, Any]]:
    """The events of `run`; none where they cannot be read, for one damaged run must not hold up the queue.

    Then it counts as interrupted, and its trainer, or the second interruption, says what is wrong.
    """
    with contextlib.suppress(OSError):
        return events.read(run.events, offset)[0]
    return []


def _words(trouble: Trouble) -> dict[str, str]:
    return {"reason": trouble.reason, "advice": trouble.advice}


# ---- what begins ----


def _begin_next(device: Device, processes: Processes, tell: Tell) -> None:
    """Begins the first one that waits; one that cannot even begin has failed, and the next one is tried."""
    for entry in queue.entries():
        if entry.state != "waiting":
            continue
        run = RunFolder(pathlib.Path(entry.run))
        if entry.run and not folder.is_alive(run) and _settle(entry, run, tell):
            continue
        try:
            run, made = (run, False) if entry.run and run.path.is_dir() else (_new_run(entry), True)
        except OSError as error:
            _end(entry, tell, state="failed", **_words(Trouble("disk", reason=error)))
            continue
        claimed = _claim(entry.but(run=str(run.path), device=device.key), made)
        try:
            begun = _begin(claimed, run, device)
        except OSError as error:
            _end(claimed, tell, state="failed", **_words(Trouble("disk", reason=error)))
            continue
        processes.update({entry.id: begun} if begun else {})
        tell(say("queue_told_begun", name=run.name, path=run.path))
        return


def _new_run(entry: Entry) -> RunFolder:
    return folder.create(home.resolve_outputs(entry.job.output.folder), entry.job.output.name)


def _claim(entry: Entry, made: bool) -> Entry:
    """Writes down that `entry` runs: before there is a trainer, so that no job can be begun twice, and before there is
    a job in its folder, so that no run is seen that the queue does not know of. Raises OSError, and then it waits on.
    """
    anew = {"from_byte": 0, "step": 0, "interruptions": 0} if made else {}
    seen = {"begun_at": entry.begun_at or time.time(), "spoke_bytes": queue.written(entry)}
    try:
        return queue.write(entry.but(state="running", **seen, **anew))
    except OSError:
        # A disk may complain after it has taken the words, and then the folder is the one that they name.
        if made and any(one.id == entry.id and one.run != entry.run for one in queue.entries()):
            folder.unmake(RunFolder(pathlib.Path(entry.run)))
        raise


def _begin(entry: Entry, run: RunFolder, device: Device) -> Begun | None:
    """A trainer for `run`; None where there is one: somebody's who let it go on, or an earlier worker's."""
    if folder.is_alive(run):
        return None
    with contextlib.suppress(OSError):  # the list of output folders is a convenience
        home.remember_output_folder(run.path.parent)
    if not run.job.exists():
        folder.write_job(run, entry.job, {})
    before = ending.before(run)
    return Begun(begin_trainer(run, device.environment), before)


# ---- which devices are free ----


def _free(devices: Sequence[Device], found: Sequence[Entry]) -> list[Device]:
    """The devices that no job of the queue and no other training holds."""
    keys = [device.key for device in devices]
    # A device that is there no more: its training is on some other one.
    taken = {entry.device if entry.device in keys else keys[0] for entry in found if entry.state == "running"}
    if taken >= set(keys):
        return []
    for run in others(found):
        taken |= set(_held_by(run, devices))
    return [device for device in devices if device.key not in taken]


def others(found: Sequence[Entry]) -> Iterator[RunFolder]:
    """The runs in the known output folders that are under way without the queue."""
    running = {os.path.realpath(entry.run) for entry in found if entry.state == "running"}
    ours = {os.path.realpath(entry.run) for entry in found if entry.run}
    for outputs in home.output_folders():
        with contextlib.suppress(OSError):
            for run in folder.list_runs(outputs):
                path = os.path.realpath(run.path)
                if path not in running and (folder.is_alive(run) or (path not in ours and _is_fresh(run))):
                    yield run


def _is_fresh(run: RunFolder) -> bool:
    try:
        return not run.lock.exists() and abs(time.time() - run.job.stat().st_mtime) < START_GRACE_S
    except OSError:
        return False


def _held_by(run: RunFolder, devices: Sequence[Device]) -> list[str]:
    """The keys of the devices that `run` may be on: the first one of its name, all while it has not said which."""
    if len(devices) > 1:
        label = None
        with contextlib.suppress(OSError):
            label = (events.first(run.events, "started") or {}).get("device")
        devices = devices if label is None else [*(one for one in devices if one.name == label), *devices][:1]
    return [device.key for device in devices]
