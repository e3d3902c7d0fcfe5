"""What a person should know of a job before it is carried out, although nothing forbids it."""

from trainer.job.facts import ADAPTERS, FAMILIES
from trainer.job.optimizers import OPTIMIZERS
from trainer.job.settings import Job
from trainer.job.words import say

# What the families alone can do whose text encoders, or one of them, OpenCLIP has trained.
_OPEN_CLIP = frozenset({"zero_padding", "text_encoder_2"})


def remarks(job: Job) -> list[str]:
    """Which programs do not read the file that is asked for, and which rates ruin it, a sentence each."""
    facts, found = ADAPTERS[job.adapter.type], _of_rate(job)
    if "lycoris" in facts.capabilities:
        found.append(say("remark_lycoris", adapter=facts.label))
    if job.adapter.decompose:
        found.append(say("remark_dora"))
        if job.training.text_encoder and FAMILIES[job.model.family].capabilities & _OPEN_CLIP:
            found.append(say("remark_dora_open_clip"))
    return found


def _of_rate(job: Job) -> list[str]:
    learning, optimizer = job.training, OPTIMIZERS[job.training.optimizer]
    rates = (
        [learning.text_encoder_learning_rate, learning.text_encoder_2_learning_rate] if learning.text_encoder else []
    )
    rate = max(learning.learning_rate, *rates, 0.0)
    if rate <= optimizer.most_rate:
        return []
    return [say("remark_rate", rate=f"{rate:g}", most=f"{optimizer.most_rate:g}", optimizer=optimizer.label)]
