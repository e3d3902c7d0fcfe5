"""A trainer, one of several, that meets a latent that is not finite in a batch of the last process alone."""

import math
import pathlib
import sys
from typing import Any

from trainer import carry_out
from trainer.dataset.plan import epoch_batches
from trainer.engine import loop
from trainer.engine.cache import picture_key
from trainer.run.folder import RunFolder


def main() -> int:
    """Carries out the run given as the argument; the exit status is a trainer's."""
    begin = loop.begin

    def poisoned(*given: Any) -> Any:
        session, progress = begin(*given)
        last = epoch_batches(session.found, session.job, 1)[session.place.processes - 1]
        session.supplies.pictures[picture_key(last[0])]["latent"].fill_(math.nan)
        return session, progress

    loop.begin = poisoned
    return carry_out.carry_out(RunFolder(pathlib.Path(sys.argv[1])), lambda event: None)


if __name__ == "__main__":
    sys.exit(main())
