"""Learning rate schedules as one pure function of the step, so that resume needs nothing but the step's number."""

import math

from trainer.job.settings import Training

_SLOWLY = 10_000


def factor(training: Training, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at `step` (from 0) of `steps`: in (0, 1] in the warm-up, then [0, 1]."""
    warmup = warmup_steps(training, steps)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    match training.schedule:
        case "linear":
            return 1 - progress
        case "cosine":
            return (1 + math.cos(math.pi * progress)) / 2
        case "cosine_with_min_lr":
            least = training.schedule_min_ratio
            return least + (1 - least) * (1 + math.cos(math.pi * progress)) / 2
        case "cosine_annealing":
            # As CosineAnnealingLR of torch, which goes up again behind its T_max steps.
            fallen = (step - warmup) / (training.schedule_period_steps or max(1, steps - warmup))
            least = training.schedule_min_ratio
            return least + (1 - least) * (1 + math.cos(math.pi * fallen)) / 2
        case "cosine_with_restarts":
            return (1 + math.cos(math.pi * (progress * training.schedule_cycles % 1))) / 2
        case "polynomial":
            return (1 - progress) ** training.schedule_power
        case "inverse_sqrt":
            # As in transformers: falls from the end of the warm-up on, or slowly where there is none.
            return math.sqrt(warmup / step) if warmup else math.sqrt(_SLOWLY / (_SLOWLY + step))
        case _:
            return 1.0


def warmup_steps(training: Training, steps: int) -> int:
    """How many of `steps` are warm-up."""
    return training.warmup_steps or round(steps * training.warmup_percent / 100)
