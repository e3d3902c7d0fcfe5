"""What is said of a training that lives but has not been heard of for long: it is busy, or it hangs."""

import time

from app.words import say

PATIENCE_S = 600.0
"""So long may the loading of a large model or the samples of an epoch take without a word."""
PATIENCE_STEPS = 30


def silence(heard_at: float, step_s: float, doing: str) -> str:
    """A sentence when the last word (s since 1970) is older than any stage and many steps take; "" before.

    `step_s` is what the slowest step has taken, and `doing` what the training was at.
    """
    quiet_s = time.time() - heard_at
    if quiet_s < max(PATIENCE_S, PATIENCE_STEPS * step_s):
        return ""
    minutes = f"{quiet_s / 60:.0f}"
    return say("run.silent_at", minutes=minutes, doing=doing) if doing else say("run.silent", minutes=minutes)
