"""The one training loop, from a job to a LoRA, to be read from top to bottom."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import torch

from trainer.adapters.base import Injected, adapter
from trainer.dataset.plan import Plan, epoch_batches, make_plan
from trainer.dataset.scan import Scan, scan, without
from trainer.engine import cache, checkpoint, device, schedules
from trainer.engine.batches import Supply, grouped, supply
from trainer.engine.checkpoint import Learner, Progress
from trainer.engine.draw import Draw, mixed
from trainer.engine.metadata import About, metadata
from trainer.engine.sampling import Moment, draw_samples
from trainer.families.base import Parts, family
from trainer.formats import kohya
from trainer.job.optimizers import OPTIMIZERS
from trainer.job.settings import Job
from trainer.job.trouble import Trouble
from trainer.job.words import say
from trainer.run import events
from trainer.run.folder import RunFolder, take_request
from trainer.run.grid import draw_grid

Tell = Callable[[events.Event], None]


def train(job: Job, run: RunFolder, tell: Tell) -> None:
    """Carries out `job` in `run` from its saved state, or from the start; everything that happens is told.

    Ends with a `stopped` or a `finished` event. Raises Trouble for what a person can mend.
    """
    training = job.training
    found = scan(job.dataset)
    checked_plan(job, found)

    # The base model, the adapter in it, and what learns.
    tell(events.Stage(text=say("stage_model")))
    place = device.pick(training)
    kind = family(job.model.family)
    parts = kind.load(job, place)
    injected = adapter(job.adapter.type).inject(parts.components, job.adapter, training.seed)
    learner = make_learner(job, parts, injected, place)
    parameters = [parameter for group in learner.optimizer.param_groups for parameter in group["params"]]

    # Everything that can be computed once; pictures that cannot be decoded turn up here at the latest.
    found, supplies = encode(job, found, cache.Encoder(kind, parts, parts.picture_encoder), tell)
    plan = checked_plan(job, found)
    kind.settle(parts)

    progress = checkpoint.load(run, learner)
    step, losses = progress.step, list(progress.losses)
    steps, per_epoch = lengths(job, plan, place.processes)
    writer = Writer(run, About(job, found, plan, parts.prediction, time.time()), injected, tell)
    began = time.monotonic()
    tell(
        events.Started(
            name=job.output.name,
            first_step=step,
            steps=steps,
            steps_per_epoch=per_epoch,
            epochs=math.ceil(steps / per_epoch),
            pictures=plan.pictures,
            prompts=job.samples.prompts,
            device=place.label,
        )
    )
    if step == 0 and job.samples.baseline and place.is_main:
        draw_samples(kind, parts, job, run, Moment(0, 0), tell)

    stopping = False
    while step < steps and not stopping:
        epoch = step // per_epoch + 1
        batches = grouped(epoch_batches(found, job, epoch), training.gradient_accumulation * place.processes)
        for together in batches[step % per_epoch :]:
            factor = schedules.factor(training, step, steps)
            for group in learner.optimizer.param_groups:
                group["lr"] = group["base_lr"] * factor
            for part in parts.components:
                part.module.train()

            # One optimizer step: each process takes every n-th batch of those that are added up.
            mine = range(len(together))[place.process :: place.processes] or range(1)
            loss = 0.0
            for number in mine:
                torch.manual_seed(mixed(training.seed, step, number, 1))  # dropout has no generator of its own
                draw = Draw(training.seed, step, number, place.torch)
                with place.accelerator.autocast():
                    part_loss = kind.loss(parts, supplies.batch(together[number]), draw) / len(mine)
                place.accelerator.backward(part_loss)
                loss += part_loss.item()
            if not math.isfinite(loss):
                raise Trouble("loss_not_finite", value=loss, step=step + 1)
            place.average_gradients(parameters)
            if training.max_grad_norm:
                place.accelerator.clip_grad_norm_(parameters, training.max_grad_norm)
            learner.optimizer.step()
            learner.optimizer.zero_grad(set_to_none=True)

            step += 1
            losses.append(loss)
            tell(step_event(step, epoch, loss, learner.optimizer))
            stopping = place.agreed(place.is_main and take_request(run, "stop"))
            if stopping or step == steps:
                break

        moment = Moment(epoch, step)
        if step == epoch * per_epoch or step == steps:
            tell(events.Epoch(epoch=epoch, step=step, loss=sum(losses) / len(losses)))
            losses = []
            if place.is_main:
                if step == steps:
                    writer.save(moment, None)
                elif job.output.save_every_epochs and epoch % job.output.save_every_epochs == 0:
                    writer.save(moment, f"{epoch:06d}")
                if job.samples.every_epochs and (step == steps or epoch % job.samples.every_epochs == 0):
                    draw_samples(kind, parts, job, run, moment, tell)
        if place.is_main:
            checkpoint.save(run, learner, Progress(step, tuple(losses)))

    if step < steps:
        tell(
            events.Stopped(step=step, epoch=epoch, file=writer.save(moment, f"step{step:08d}") if place.is_main else "")
        )
        return
    file = run.weights_file(job.output.name).relative_to(run.path).as_posix()
    grid = draw_grid(run) if place.is_main else ""
    tell(events.Finished(step=step, file=file, grid=grid, training_s=time.monotonic() - began))


@dataclasses.dataclass(frozen=True)
class Writer:
    """Writes LoRA files of a run and tells of them."""

    run: RunFolder
    about: About
    injected: Injected
    tell: Tell

    def save(self, moment: Moment, ending: str | None) -> str:
        """Writes `<name>-<ending>.safetensors`, or the final file when it is None; its path in the run folder."""
        job = self.about.job
        path = self.run.weights_file(job.output.name, ending)
        size = kohya.write(
            path, self.injected.layers, job.output.save_precision, metadata(self.about, self.injected, moment)
        )
        file = path.relative_to(self.run.path).as_posix()
        self.tell(events.Saved(file=file, epoch=moment.epoch, step=moment.step, size_bytes=size))
        return file


def checked_plan(job: Job, found: Scan) -> Plan:
    """The plan of `job`. Raises Trouble when the data set forbids training."""
    plan = make_plan(job, found)
    errors = [problem.sentence for problem in plan.problems if problem.level == "error"]
    if errors:
        raise Trouble("data_problems", reason=" ".join(errors))
    return plan


def lengths(job: Job, plan: Plan, processes: int) -> tuple[int, int]:
    """Optimizer steps in all and per epoch, when `processes` share the batches."""
    per_epoch = math.ceil(plan.batches_per_epoch / (job.training.gradient_accumulation * processes))
    return job.training.steps or job.training.epochs * per_epoch, per_epoch


def make_learner(job: Job, parts: Parts, injected: Injected, place: device.Device) -> Learner:
    """The optimizer over one parameter group a component; `base_lr` is the rate that the schedule multiplies."""
    groups: list[dict[str, Any]] = [
        {"params": list(injected.parameters[part.name]), "lr": part.learning_rate, "base_lr": part.learning_rate}
        for part in parts.components
    ]
    optimizer = OPTIMIZERS[job.training.optimizer](**job.training.optimizer_args).build(groups)
    return Learner(injected, place.accelerator.prepare_optimizer(optimizer), place.accelerator.scaler)


def encode(job: Job, found: Scan, encoder: cache.Encoder, tell: Tell) -> tuple[Scan, Supply]:
    """Everything encoded, and the data set without the pictures that could not be decoded. Raises Trouble."""

    def pictures(done: int, total: int) -> None:
        tell(events.Stage(text=say("stage_latents"), done=done, total=total))

    def captions(done: int, total: int) -> None:
        tell(events.Stage(text=say("stage_captions"), done=done, total=total))

    supplies, broken = supply(job, found, encoder, pictures, captions)
    for error in broken:
        if job.dataset.broken_pictures == "refuse":
            raise Trouble("picture_broken", reason=error)
        tell(events.Warned(text=str(error)))
    return (without(found, broken, job.dataset) if broken else found), supplies


def step_event(step: int, epoch: int, loss: float, optimizer: Any) -> events.Step:
    """The event of a step; the rates are those in force, with what a self-tuning optimizer multiplies them by."""
    rates = [group["lr"] * group.get("d", 1.0) for group in optimizer.param_groups]
    text_rate = rates[1] if len(rates) > 1 else None
    return events.Step(step=step, epoch=epoch, loss=loss, learning_rate=rates[0], text_encoder_learning_rate=text_rate)
