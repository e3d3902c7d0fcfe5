"""What the copy costs that lets a step be undone: `python -m tests.trainer.cost_of_safety [STEPS] [SETTING=VALUE …]`.

The starter's own training; its steps are taken in turn with and without the copy, and what they take of the processor
is compared, which other programs disturb less. Nothing here is a test: a machine is as fast as it is.
"""

import contextlib
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from trainer.engine import loop
from trainer.job import presets
from trainer.job.fields import parse, with_sets
from trainer.run import folder

WARM = 6


def main() -> None:
    """Prints medians and their ratio."""
    steps, sets = int(sys.argv[1]) if sys.argv[1:] else 200, sys.argv[2:]
    took: dict[bool, list[float]] = {True: [], False: []}
    undone, one_step = loop.undone_on_error, loop.one_step

    @contextlib.contextmanager
    def without(*given: Any) -> Iterator[None]:
        yield

    def timed(session: Any, step: int, together: Any) -> float:
        # In pairs whose order changes, so that neither always comes first.
        is_safe = (step + step // 2) % 2 == 0
        loop.undone_on_error = undone if is_safe else without
        began = time.process_time()
        loss = one_step(session, step, together)
        took[is_safe] += [time.process_time() - began] if step >= WARM else []
        return loss

    loop.one_step = timed
    changes = [
        "training.epochs=0",
        f"training.steps={steps}",
        "samples.prompts=[]",
        "output.save_every_epochs=0",
        *sets,
    ]
    with tempfile.TemporaryDirectory() as place:
        data = presets.read(presets.PRESETS / "sd15" / "starter.json").data
        job = parse(with_sets(data, [*changes, f"output.folder={place}"]))
        loop.train(job, folder.create(pathlib.Path(place), "starter"), lambda event: None)
    safe, bare = statistics.median(took[True]), statistics.median(took[False])
    print(f"with the copy {1000 * safe:.2f} ms a step, without {1000 * bare:.2f}: {100 * (safe / bare - 1):+.2f} %")


if __name__ == "__main__":
    main()
