"""What a person should know of a job before it is carried out, although nothing forbids it."""

from trainer.job.facts import ADAPTERS
from trainer.job.settings import Job
from trainer.job.words import say


def remarks(job: Job) -> list[str]:
    """Which programs do not read the file that is asked for, a sentence each."""
    facts, found = ADAPTERS[job.adapter.type], []
    if "lycoris" in facts.capabilities:
        found.append(say("remark_lycoris", adapter=facts.label))
    if job.adapter.decompose:
        found.append(say("remark_dora"))
    return found
