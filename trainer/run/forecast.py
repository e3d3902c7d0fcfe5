"""How much a training is going to write, by estimate, so that a disk that will not suffice is told of before."""

import pathlib
import types
from collections.abc import Mapping

from trainer.dataset.plan import Plan
from trainer.job.settings import Job
from trainer.job.words import say
from trainer.run.room import free_bytes, shown

# Numbers that a LoRA has for each rank, without and with text encoders (counted by tests/trainer/cost.py).
_PER_RANK: Mapping[str, tuple[int, int]] = types.MappingProxyType(
    {"sd15": (430_000, 600_000), "sd2": (440_000, 870_000), "sdxl": (2_700_000, 3_600_000)}
)
_STARTER = (43_000, 60_000)
_KEPT_BYTES = 12
"""In the state: a number and what AdamW remembers of it, in fp32."""
_PICTURE_BYTES_PER_PX = 2


def needed_bytes(job: Job, plan: Plan) -> int:
    """What a run folder comes to at the most: files, samples, and the state twice, as the new one comes first."""
    known = _STARTER if job.model.base == "starter" else _PER_RANK.get(job.model.family, (0, 0))
    numbers = known[job.training.text_encoder] * job.adapter.rank * (1 if job.adapter.type == "lora" else 2)
    file = numbers * (4 if job.output.save_precision == "fp32" else 2)
    samples, output = job.samples, job.output
    files = 1 + _times(plan, output.save_every_epochs, output.save_every_steps)
    rows = samples.baseline + _times(plan, samples.every_epochs, samples.every_steps)
    sides = (side or job.dataset.resolution for side in (samples.width_px, samples.height_px))
    picture = next(sides) * next(sides) * _PICTURE_BYTES_PER_PX
    return files * file + 2 * numbers * _KEPT_BYTES + rows * len(samples.prompts) * picture


def _times(plan: Plan, every_epochs: int, every_steps: int) -> int:
    return (plan.epochs // every_epochs if every_epochs else 0) + (plan.steps // every_steps if every_steps else 0)


def room_remark(job: Job, plan: Plan, outputs: pathlib.Path) -> str:
    """A sentence where the disk of `outputs` will not suffice by estimate, else ""; it is no reason to refuse."""
    try:
        free = free_bytes(outputs)
    except OSError:
        return ""
    needed = needed_bytes(job, plan)
    return say("room_short", folder=outputs, needed=shown(needed), free=shown(free)) if needed > free else ""
