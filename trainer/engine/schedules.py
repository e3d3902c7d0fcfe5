"""Learning rate schedules as one pure function of the step, so that resume needs nothing but the step's number."""

import math

from trainer.job.settings import Training


def factor(training: Training, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at `step` (from 0) of `steps`: in (0, 1] in the warm-up, then [0, 1]."""
    warmup = round(steps * training.warmup_percent / 100)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    match training.schedule:
        case "linear":
            return 1 - progress
        case "cosine":
            return (1 + math.cos(math.pi * progress)) / 2
        case "cosine_with_restarts":
            return (1 + math.cos(math.pi * (progress * training.schedule_cycles % 1))) / 2
        case "polynomial":
            return (1 - progress) ** training.schedule_power
        case _:
            return 1.0
