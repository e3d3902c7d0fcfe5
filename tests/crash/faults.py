"""Faults of the system: at the n-th file operation in a run folder the process dies, or the system says an error.

Nothing of the program is replaced: what is wrapped are the functions of the system that it calls.
"""

import builtins
import dataclasses
import errno
import io
import os
import pathlib
import signal
from collections.abc import Callable
from typing import Any

# What a system says of which operation: a full disk takes no data, a lost right is of names, a broken disk of all.
SAYS = {
    "ENOSPC": ("create", "write", "fsync", "replace", "mkdir"),
    "EACCES": ("create", "read", "replace", "unlink", "mkdir", "list", "folder"),
    "EIO": ("create", "read", "write", "fsync", "replace", "unlink", "mkdir", "list", "folder"),
    "short": ("write",),
    "kill_half": ("write",),
    "kill_before": ("create", "write", "fsync", "replace", "unlink", "mkdir"),
    "kill_after": ("create", "write", "fsync", "replace", "unlink", "mkdir"),
}


@dataclasses.dataclass(frozen=True)
class Fault:
    """What happens at the `nth` operation of a kind at a place, "" for any; with `lasts`, from then on."""

    what: str
    kind: str = ""
    place: str = ""
    nth: int = 1
    lasts: bool = False


def place_of(name: str) -> str:
    """What part of the run folder `name`, a path in it, belongs to; what is written beside a file, to the file."""
    first = pathlib.PurePath(name).parts[:1] or (".",)
    return "job.json" if first[0].endswith(".new") else first[0]


class Disk:
    """Wraps the file operations under `folder`; `seen` are those that were asked for, `struck` how often it failed."""

    def __init__(self, folder: pathlib.Path, fault: Fault | None) -> None:
        self._folder, self._fault = str(folder), fault
        self._met = self.struck = 0
        self.seen: list[tuple[str, str]] = []

    def install(self) -> None:
        """From now on, in this process."""
        opened = io.open
        self._opened = opened
        builtins.open = io.open = self._open  # type: ignore[assignment]
        for name, kind in (("unlink", "unlink"), ("mkdir", "mkdir"), ("listdir", "list")):
            setattr(os, name, self._of_path(kind, getattr(os, name)))
        # What is no folder is opened so within `open`, where it has been counted already.
        plain, folder = os.open, self._of_path("folder", os.open)
        os.open = lambda path, *rest, **more: (folder if os.path.isdir(path) else plain)(path, *rest, **more)
        os.replace = self._of_path("replace", os.replace)
        os.fsync = self._of_descriptor("fsync", os.fsync)

    def inside(self, path: Any) -> bool:
        """Whether it is in the run folder."""
        try:
            name = os.path.abspath(os.fspath(path))
        except TypeError:
            return False
        return isinstance(name, str) and (name == self._folder or name.startswith(self._folder + os.sep))

    def met(self, kind: str, path: Any, act: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        """Does the operation, or what the fault makes of it."""
        self.seen.append((kind, place_of(os.path.relpath(os.fspath(path), self._folder))))
        fault = self._fault
        if fault is None or not self._strikes(fault):
            return act()
        self.struck += 1
        if fault.what.startswith("kill"):
            if fault.what == "kill_after":
                act()
            if fault.what == "kill_half" and half:
                half()
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.what == "short":
            return half() if half else act()
        code = getattr(errno, fault.what)
        raise OSError(code, os.strerror(code), str(path))

    def _strikes(self, fault: Fault) -> bool:
        kind, place = self.seen[-1]
        if fault.kind not in ("", kind) or fault.place not in ("", place) or kind not in SAYS[fault.what]:
            return False
        self._met += 1
        return self._met >= fault.nth if fault.lasts else self._met == fault.nth

    def _of_path(self, kind: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(path: Any, *rest: Any, **more: Any) -> Any:
            if not self.inside(path):
                return act(path, *rest, **more)
            return self.met(kind, path, lambda: act(path, *rest, **more))

        return wrapped

    def _of_descriptor(self, kind: str, act: Callable[[int], Any]) -> Callable[[int], Any]:
        def wrapped(descriptor: int) -> Any:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            return self.met(kind, path, lambda: act(descriptor)) if self.inside(path) else act(descriptor)

        return wrapped

    def _open(self, file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
        if not self.inside(file):
            return self._opened(file, mode, buffering, *rest, **more)
        if not set(mode) & set("wax+"):
            return self.met("read", file, lambda: self._opened(file, mode, buffering, *rest, **more))
        raw = self.met("create", file, lambda: _Raw(self, file, mode.replace("b", "").replace("t", "")))
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *rest, **more)


class _Raw(io.FileIO):
    """A file whose every write is an operation of its own."""

    def __init__(self, disk: Disk, path: Any, mode: str) -> None:
        super().__init__(path, mode)
        self._disk = disk

    def write(self, data: Any) -> int:
        """As of io.FileIO."""
        whole = memoryview(data).cast("B")
        real = super().write
        part = whole[: max(1, len(whole) // 2)]
        return int(self._disk.met("write", self.name, lambda: real(whole), lambda: real(part)))
