"""What a person should know of a job before it is carried out, although nothing forbids it."""

from trainer.job.facts import ADAPTERS, FAMILIES
from trainer.job.settings import Job
from trainer.job.words import say

# What the families alone can do whose text encoders, or one of them, OpenCLIP has trained.
_OPEN_CLIP = frozenset({"zero_padding", "text_encoder_2"})


def remarks(job: Job) -> list[str]:
    """Which programs do not read the file that is asked for, a sentence each."""
    facts, found = ADAPTERS[job.adapter.type], []
    if "lycoris" in facts.capabilities:
        found.append(say("remark_lycoris", adapter=facts.label))
    if job.adapter.decompose:
        found.append(say("remark_dora"))
        if job.training.text_encoder and FAMILIES[job.model.family].capabilities & _OPEN_CLIP:
            found.append(say("remark_dora_open_clip"))
    return found
