"""What resume needs: the adapter's tensors, the optimizer's state, the loss scale, the plan and the steps done.

Everything else, noise and order included, follows from the job and the step's number.
"""

import contextlib
import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import torch

from trainer.adapters.base import Injected
from trainer.dataset.fingerprint import changes
from trainer.engine.memory import Plan, asked_for
from trainer.job.difference import differences
from trainer.job.fields import flatten
from trainer.job.files import open_file
from trainer.job.optimizers import OPTIMIZERS
from trainer.job.settings import Job
from trainer.job.trouble import Trouble, is_out_of_memory
from trainer.job.words import say
from trainer.run.folder import RunFolder, write_whole

_FILE = "resume.pt"
_LARGEST_DATA_BYTES = 256 * 2**20
_LARGEST_SHARE = 0.02


@dataclasses.dataclass
class Learner:
    """Everything that changes while it learns; `scaler` is the loss scaler of fp16, else None.

    With `averages` the optimizer keeps an average of what it has tried, and that is what has been learned. `plan` is
    how steps are computed; it and the optimizer are others after memory did not suffice.
    """

    injected: Injected
    optimizer: Any
    scaler: Any
    plan: Plan
    averages: bool = False

    @contextlib.contextmanager
    def learned(self) -> Iterator[None]:
        """What has been learned is in the adapter's tensors for as long as it lasts: to be saved or sampled from.

        The optimizer calculates its way from one to the other, which rounds; so copies are put back, bit by bit.
        """
        if not self.averages:
            yield
            return
        tensors = self.injected.tensors()
        copies = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        self.optimizer.eval()
        try:
            yield
        finally:
            self.optimizer.train()
            with torch.no_grad():
                for name, tensor in tensors.items():
                    tensor.copy_(copies[name])


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a training is: steps done, and the losses of the steps of an unfinished epoch.

    With `owed`, what is due after this step (a file, samples) has not been made yet. It has taken `training_s`.
    """

    step: int = 0
    losses: tuple[float, ...] = ()
    owed: bool = False
    training_s: float = 0.0


class Worked:
    """How long a training has taken: its former sittings, `before_s`, and this one since it was made."""

    def __init__(self, before_s: float) -> None:
        self._began = time.monotonic() - before_s

    def leave_out(self, seconds: float) -> None:
        """These seconds just gone were a pause."""
        self._began += seconds

    @property
    def seconds(self) -> float:
        """Until now, to the millisecond."""
        return round(time.monotonic() - self._began, 3)


class Pace:
    """When the state is saved: within an epoch every so many minutes, 0 for never, and at the end of each epoch.

    Saving never takes more than a fiftieth of the time: where it is slow, or epochs are short, it is done less often.
    """

    def __init__(self, minutes: float) -> None:
        self._every_s = 60 * minutes
        self._last = time.monotonic()  # which goes on evenly, whatever is done to the clock
        self._took_s = 0.0

    def is_due(self, ends_epoch: bool) -> bool:
        """Whether it is time to save, after a step that ends its epoch or not."""
        since_s = time.monotonic() - self._last
        wanted = ends_epoch or 0 < self._every_s <= since_s
        return wanted and since_s >= self._took_s * (1 / _LARGEST_SHARE - 1)

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Times what is done in it and counts from its end."""
        began = time.monotonic()
        yield
        self._last = time.monotonic()
        self._took_s = self._last - began


def save(run: RunFolder, learner: Learner, progress: Progress, job: Job) -> None:
    """Writes the state, whole or not at all. Raises OSError."""
    state = {
        "step": progress.step,
        "losses": list(progress.losses),
        "owed": progress.owed,
        "training_s": progress.training_s,
        "tensors": {name: tensor.detach().cpu() for name, tensor in learner.injected.tensors().items()},
        "optimizer": learner.optimizer.state_dict(),
        "scaler": learner.scaler.state_dict() if learner.scaler else None,
        "settings": flatten(job),
        "optimizer_kind": _kind(learner.optimizer),
        "plan": {} if learner.plan == asked_for(job.training) else dataclasses.asdict(learner.plan),
    }
    write_whole(run.state / _FILE, functools.partial(_write, state))


def _write(state: Mapping[str, Any], stream: IO[bytes]) -> None:
    try:
        torch.save(state, stream)
    except RuntimeError as error:
        # When the disk takes no more, torch tells of its own confusion about it.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def is_saved(run: RunFolder) -> bool:
    """Whether there is a state to go on from."""
    return (run.state / _FILE).is_file()


def note_data(run: RunFolder, now: dict[str, list[str]], warn: Callable[[str], None]) -> None:
    """Notes what is trained on, and says what has changed where there is something learned from another data set.

    It is no reason to refuse: what was learned stays right, and a person may well have mended captions meanwhile.
    """
    try:
        with open_file(run.data) as stream:
            before = json.loads(stream.read(_LARGEST_DATA_BYTES))
    except (FileNotFoundError, ValueError, RecursionError):  # a new run, one of before this was noted, or damaged
        before = None
    what = changes(before, now) if is_saved(run) and _is_data(before) else ""
    if what:
        warn(say("data_changed", what=what))
    if now != before:
        write_whole(run.data, lambda stream: stream.write(json.dumps(now, ensure_ascii=False).encode()), anew=False)


def _is_data(noted: object) -> bool:
    """Whether it is as `note_data` writes it."""
    return isinstance(noted, dict) and all(isinstance(marks, list) and len(marks) == 2 for marks in noted.values())


def load(
    run: RunFolder, learner: Learner, job: Job, warn: Callable[[str], None], adopt: Callable[[Plan], None]
) -> Progress:
    """Puts the saved state into `learner`; how far it is, at the start where nothing was saved. Raises Trouble.

    Settings that were changed since count from here on, which is said; some would need another state. `adopt` has the
    learner go on by the plan that the state was reached by, where memory did not suffice for the job's own.
    """
    if not is_saved(run):
        return Progress()
    with _readable(run):
        state = torch.load(run.state / _FILE, map_location="cpu", weights_only=True)
        done = {name: state[name] for name in ("owed", "training_s") if name in state}  # older states have neither
        progress = Progress(state["step"], tuple(state["losses"]), **done)
        now = flatten(job)
        del now["output.folder"]  # where the run was begun; it may lie elsewhere by now
        changed = differences(state.get("settings", {}), now)
        plan = Plan(**state["plan"]) if state.get("plan") else None
    if plan:
        adopt(plan)
    with _readable(run, changed):
        kind = _kind(learner.optimizer)
        if state.get("optimizer_kind", kind) != kind:
            raise Trouble("state_other_optimizer", run=run.name, theirs=state["optimizer_kind"], ours=kind)
        _put_back(state, learner, job)
    if changed:
        warn(say("settings_changed", step=progress.step, changes=changed))
    return progress


@contextlib.contextmanager
def _readable(run: RunFolder, changed: str = "") -> Iterator[None]:
    """Says of what goes wrong in it that the state is damaged, or does not go with the settings that were `changed`.

    Not of the disk or of the memory: the state is well, and to be kept.
    """
    try:
        yield
    except (OSError, Trouble):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        if changed:
            raise Trouble("state_other_settings", run=run.name, changes=changed) from error
        # torch.load raises pickle, zip, runtime and key errors for a damaged file, depending on where the damage is.
        raise Trouble("state_unreadable", run=run.name, reason=error) from error


def _put_back(state: Mapping[str, Any], learner: Learner, job: Job) -> None:
    with torch.no_grad():
        for name, tensor in learner.injected.tensors().items():
            tensor.copy_(state["tensors"][name])
    # The state holds them too, as they were before somebody changed them.
    settings = {"base_lr", *OPTIMIZERS[job.training.optimizer].model_fields}
    wanted = [{key: group[key] for key in group.keys() & settings} for group in learner.optimizer.param_groups]
    learner.optimizer.load_state_dict(state["optimizer"])
    for group, values in zip(learner.optimizer.param_groups, wanted, strict=True):
        group.update(values)
    _move_group_values(learner.optimizer)
    if learner.scaler and state["scaler"]:
        learner.scaler.load_state_dict(state["scaler"])


def _kind(optimizer: Any) -> str:
    """The name of the optimizer's class, inside of what accelerate makes of it."""
    return type(getattr(optimizer, "optimizer", optimizer)).__qualname__


def _move_group_values(optimizer: Any) -> None:
    """Brings tensors that an optimizer keeps beside its parameters to their device; torch leaves them on the CPU."""
    for group in optimizer.param_groups:
        for name, value in group.items():
            if isinstance(value, torch.Tensor):
                group[name] = value.to(group["params"][0].device)
