"""From one plan to the next: what is done, and what a person is told."""

from trainer.engine import eight_bit
from trainer.engine.checkpoint import Learner
from trainer.engine.device import Device
from trainer.engine.memory import Plan, divided, free
from trainer.families.base import Parts, checkpoint_gradients
from trainer.job.optimizers import OPTIMIZERS
from trainer.job.settings import Job, Training
from trainer.job.trouble import Trouble
from trainer.job.words import say
from trainer.run.events import Replanned


def adopt(plan: Plan, learner: Learner, parts: Parts, training: Training, place: Device) -> None:
    """Has all later steps computed by `plan`; no gradients are there meanwhile.

    Raises what torch does when memory does not suffice, and then `learner` can still be saved, but goes no further.
    """
    if plan.checkpointing and not learner.plan.checkpointing:
        for part in parts.components:
            checkpoint_gradients(part.module)
    # A person who goes on may have chosen another optimizer meanwhile, which has no use for this one's state.
    if plan.optimizer == OPTIMIZERS[learner.plan.optimizer].eight_bit:
        eight_bit.exchange(learner, plan.optimizer, training, place)
    learner.plan = plan
    free()


def told(job: Job, before: Plan, plan: Plan, step: int) -> Replanned:
    """The event that says what is done otherwise from step `step` (from 0) on."""
    labels = {"before": OPTIMIZERS[before.optimizer].label, "optimizer": OPTIMIZERS[plan.optimizer].label}
    batch = job.training.batch_size
    changed = "pieces" if plan.micro_batch != before.micro_batch else "checkpointing"
    changed = "optimizer" if plan.optimizer != before.optimizer else changed
    text = say(
        f"replanned_{changed}",
        step=step + 1,
        batch=batch,
        pieces=divided(batch, min(batch, plan.micro_batch)),
        **labels,
    )
    return Replanned(
        step=step + 1,
        text=text,
        micro_batch=plan.micro_batch,
        checkpointing=plan.checkpointing,
        optimizer=plan.optimizer,
    )


def at_the_end(job: Job, plan: Plan, step: int, lack: str) -> Trouble:
    """The error that says what was tried in vain."""
    tried = [say("tried_one") if plan.micro_batch == 1 else say("tried_pieces", count=plan.micro_batch)]
    tried += [say("tried_checkpointing")] if plan.checkpointing else []
    tried += [OPTIMIZERS[plan.optimizer].label] if plan.optimizer != job.training.optimizer else []
    numbers = {"resolution": job.dataset.resolution, "rank": job.adapter.rank}
    return Trouble("out_of_memory_after_all", step=step + 1, tried=" · ".join(tried), reason=lack, **numbers)
