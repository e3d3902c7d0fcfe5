"""Which programs of one home folder are open, so that a second one is no riddle."""

import contextlib
import pathlib
from collections.abc import Iterator

from trainer.run import folder


@contextlib.contextmanager
def present(home: pathlib.Path, port: int) -> Iterator[None]:
    """Lets others see for as long as it lasts that a page of this home is served at `port`; where it can be told."""
    with contextlib.ExitStack() as life:
        with contextlib.suppress(OSError, folder.Busy):
            (home / "open").mkdir(parents=True, exist_ok=True)
            life.enter_context(folder.locked(home / "open" / str(port), 0))
        yield


def ports(home: pathlib.Path) -> list[int]:
    """At which ports programs of this home are open."""
    found = []
    for path in sorted((home / "open").glob("*")):
        if folder.is_locked(path):
            found.append(int(path.name) if path.name.isdecimal() else 0)
    return found
