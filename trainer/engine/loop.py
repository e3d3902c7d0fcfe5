"""The one training loop, from a job to a LoRA, to be read from top to bottom."""

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence

import torch

from trainer.adapters.base import Injected, adapter
from trainer.dataset.fingerprint import fingerprint
from trainer.dataset.plan import Item, Plan, epoch_batches, make_plan
from trainer.dataset.problems import printable
from trainer.dataset.scan import Scan, scan, without
from trainer.engine import (
    base_loras,
    cache,
    checkpoint,
    culprit,
    device,
    eight_bit,
    max_norm,
    memory,
    optimizing,
    replanning,
    schedules,
    start,
)
from trainer.engine.base_hashes import hashing
from trainer.engine.base_loras import Warn
from trainer.engine.batches import CACHE_FOLDER, Supply, grouped, supply
from trainer.engine.checkpoint import Learner, Progress
from trainer.engine.draw import Draw, mixed
from trainer.engine.groups import groups
from trainer.engine.metadata import About, metadata, optimizer_name
from trainer.engine.pieces import WHOLE, SameChance, pieces, shares
from trainer.engine.receipt import changes_nothing, largest_error
from trainer.engine.sampling import BrokenOff, Moment, draw_samples
from trainer.engine.soundness import LossWatch
from trainer.engine.thumbnail import thumbnail
from trainer.engine.undo import undone_on_error
from trainer.engine.wishes import waited, wishes
from trainer.families.base import Family, Parts, family
from trainer.formats import kohya, layouts
from trainer.job.remarks import remarks
from trainer.job.settings import Job
from trainer.job.trouble import Trouble
from trainer.job.words import say
from trainer.run import events
from trainer.run.folder import Request, RunFolder
from trainer.run.forecast import room_remark
from trainer.run.grid import draw_grid

Tell = Callable[[events.Event], None]


def train(job: Job, run: RunFolder, tell: Tell) -> None:
    """Carries out `job` in `run` from its saved state, or from the start; everything that happens is told.

    Ends with a `stopped` or a `finished` event. Raises Trouble for what a person can mend.
    """
    session, progress = begin(job, run, tell)
    place, steps, per_epoch = session.place, session.steps, session.per_epoch
    step, losses = progress.step, list(progress.losses)
    moment = session.moment(step)
    asked, owed = frozenset[Request](), False
    if step == 0 and job.samples.baseline and not session.made(lambda: session.sample(Moment(0, 0))):
        session.listen()
        tell(events.Stopped(step=0, epoch=0, file=""))
        return
    if progress.owed:
        losses, asked, owed = session.settle(moment, losses, asked)

    while step < steps and "stop" not in asked:
        epoch = step // per_epoch + 1
        batches = grouped(
            epoch_batches(session.found, job, epoch), job.training.gradient_accumulation * place.processes
        )
        for together in batches[step % per_epoch :]:
            with session.kept_on_trouble(moment, losses):
                loss = one_step(session, step, together)
            step += 1
            losses.append(loss)
            moment = session.moment(step)
            tell(session.step_event(step, epoch, loss))

            asked = (asked & {"stop_after_epoch"}) | session.listen()
            if "pause" in asked and "stop" not in asked:
                asked = session.pause(moment, losses, asked)
            # Drawing samples takes long: a stop does not wait for it, and a kill must not cost what was learned before.
            drawing = session.draws(moment, asked)
            owed = "stop" in asked and step < steps and (drawing or moment.within > 0)
            if drawing and not owed and session.keeps(moment, asked):
                session.keep_state(moment, losses, owed=True)
            if not owed:
                losses, asked, owed = session.settle(moment, losses, asked)
            if "stop_after_epoch" in asked and not moment.within:
                asked |= {"stop"}
            if session.keeps(moment, asked):
                session.keep_state(moment, losses, owed)
            if "stop" in asked or step == steps:
                break

    if step < steps or owed:
        file = session.save(moment, step_ending(step)) if place.is_main else ""
        tell(events.Stopped(step=step, epoch=moment.epoch, file=file))
        return
    path = run.weights_file(job.output.name)
    if place.is_main and not path.is_file():  # resumed on fewer pictures, so that no step was left
        session.save(Moment(moment.epoch, step), None)
    file = path.relative_to(run.path).as_posix()
    grid = draw_grid(run) if place.is_main else ""
    tell(events.Finished(step=step, file=file, grid=grid, training_s=session.worked.seconds))


def one_step(session: "Session", step: int, together: Sequence[Sequence[Item]]) -> float:
    """Takes optimizer step `step` (from 0) on the batches `together` and returns its mean loss. Raises Trouble.

    Where memory does not suffice the step is begun again by a plan that needs less; nothing has changed by then.
    """
    most = max(map(len, together))
    while True:
        own, lack = memory.attempted(lambda: gradients(session, step, together))
        if lack:
            session.replan(step, lack, lambda plan, eight_bit: memory.safer(plan, most, eight_bit))
            continue
        # From here on all processes see the same numbers, and so do the same.
        loss = session.place.mean(own)
        _, lack = memory.attempted(lambda found=loss: move(session, step, together, found))
        if not lack:
            session.watch.take(loss)
            return loss
        if session.learner.scaler:  # it has taken the scale off gradients that will be computed again
            session.learner.scaler.update(session.learner.scaler.get_scale())
        session.replan(step, lack, memory.smaller_state)


def gradients(session: "Session", step: int, together: Sequence[Sequence[Item]]) -> float:
    """Leaves the gradients of step `step` of this process's batches in the parameters; their mean loss.

    Each batch is computed in pieces where the plan says so.
    """
    training, place, parts, optimizer = session.job.training, session.place, session.parts, session.learner.optimizer
    optimizer.zero_grad(set_to_none=True)  # of an attempt that failed
    factor = schedules.factor(training, step, session.steps)
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    for part in parts.components:
        part.module.train()

    loss, own = 0.0, mine(together, place)
    for number in own:
        batch = session.supplies.batch(together[number])
        count = len(together[number])
        for rows, share in shares(pieces(count, session.learner.plan.micro_batch), count):
            torch.manual_seed(mixed(training.seed, step, number, 1))  # dropout has no generator of its own
            draw = Draw(training.seed, step, number, place.torch)
            with contextlib.nullcontext() if rows is WHOLE else SameChance(rows, count):
                with place.accelerator.autocast():
                    part = session.kind.loss(parts, batch, draw, rows) * share / len(own)
                place.accelerator.backward(part)
            loss += part.item()
    return loss


def move(session: "Session", step: int, together: Sequence[Sequence[Item]], loss: float) -> None:
    """Lets the optimizer take step `step` by the gradients that are there, or changes nothing. Raises Trouble."""
    training, place, optimizer = session.job.training, session.place, session.learner.optimizer
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    place.average_gradients(parameters)
    norm = place.clipped(parameters, training.max_grad_norm)
    session.check(step, together, loss, norm)
    with undone_on_error(optimizer, parameters):
        optimizer.step()
        if session.job.adapter.max_norm:
            max_norm.limit(session.learner.injected.layers.values(), session.job.adapter.max_norm)
    optimizer.zero_grad(set_to_none=True)
    if session.learner.scaler and session.watch.overflows(optimizer.step_was_skipped):
        raise culprit.culprit(session, step, together, culprit.not_finite("gradient", math.inf))


def mine(together: Sequence[Sequence[Item]], place: device.Device) -> range:
    """The numbers of the batches of a step that are this process's: every n-th, the first where there are too few."""
    return range(len(together))[place.process :: place.processes] or range(1)


def due(number: int, every: int) -> bool:
    """Whether something that happens every n epochs or steps happens after this one; never for n = 0."""
    return every > 0 and number % every == 0


def step_ending(step: int) -> str:
    """What the name of a file ends in that is written after `step`, not after an epoch."""
    return f"step{step:08d}"


@dataclasses.dataclass(frozen=True)
class Session:
    """Everything that stays the same from the first step to the last, the base model and what learns included."""

    job: Job
    run: RunFolder
    tell: Tell
    place: device.Device
    kind: Family
    parts: Parts
    learner: Learner
    found: Scan
    supplies: Supply
    about: About
    steps: int
    per_epoch: int
    pace: checkpoint.Pace
    worked: checkpoint.Worked
    watch: LossWatch

    def moment(self, step: int) -> Moment:
        """When it is after `step`; the last step ends its epoch wherever it is."""
        within = 0.0 if step == self.steps else step / self.per_epoch % 1
        return Moment(math.ceil(step / self.per_epoch), step, within)

    def replan(self, step: int, lack: str, next_plan: Callable[[memory.Plan, str], memory.Plan | None]) -> None:
        """Adopts the next plan for step `step` (from 0) and says so. Raises Trouble when there is none left."""
        before = self.learner.plan
        # They will be computed again, and trying an optimizer out, or making another one, takes memory too.
        self.learner.optimizer.zero_grad(set_to_none=True)
        memory.free()
        plan = next_plan(before, eight_bit.sister(before.optimizer, self.place))
        if plan is None:
            raise replanning.at_the_end(self.job, before, step, lack)
        adopt = functools.partial(replanning.adopt, plan, self.learner, self.parts, self.job.training, self.place)
        _, still = memory.attempted(adopt)
        if still:
            raise replanning.at_the_end(self.job, before, step, still)
        self.tell(replanning.told(self.job, before, plan, step))

    def check(self, step: int, together: Sequence[Sequence[Item]], loss: float, norm: float | None) -> None:
        """Raises Trouble when step `step` (from 0) must not be taken; nothing has moved by then.

        Loss and norm are those of all processes together, so that each of them comes to the same verdict.
        """
        if not math.isfinite(loss):
            raise culprit.culprit(self, step, together, culprit.not_finite("loss", loss), blame=True)
        if norm is not None and not math.isfinite(norm):
            raise culprit.culprit(self, step, together, culprit.not_finite("gradient", norm))
        if self.watch.explodes(loss):
            what = say("loss_explodes", loss=f"{loss:.3g}", usual=f"{self.watch.usual:.3g}")
            raise culprit.too_fast(self, step, what)

    @contextlib.contextmanager
    def kept_on_trouble(self, moment: Moment, losses: Sequence[float]) -> Iterator[None]:
        """Saves what was learned until `moment` when the next step cannot be taken for a reason that lies elsewhere."""
        try:
            yield
        except Trouble as trouble:
            if trouble.key in culprit.INNOCENT and self.place.is_main and moment.step:
                with contextlib.suppress(OSError):  # the trouble is what has to be told
                    self.keep_state(moment, losses)
            raise

    def keeps(self, moment: Moment, asked: frozenset[Request]) -> bool:
        """Whether this process is to save the state now, after a step."""
        due_now = self.pace.is_due(not moment.within) or asked & {"stop", "save"} or moment.step == self.steps
        # What an exploding loss leaves is not to take the place of the last good state.
        return self.place.is_main and bool(due_now) and ("stop" in asked or not self.watch.suspects)

    def keep_state(self, moment: Moment, losses: Sequence[float], owed: bool = False) -> None:
        """Saves what resume needs; all that was told before is on the disk by then."""
        with self.pace.saving():
            self.tell(events.Keeping(step=moment.step, epoch=moment.epoch))
            progress = Progress(moment.step, tuple(losses), owed, self.worked.seconds)
            checkpoint.save(self.run, self.learner, progress, self.job)

    def listen(self) -> frozenset[Request]:
        """What was asked for since the last call, but for what cannot be done; each process has to call this."""
        asked = wishes(self.run, self.place)
        for what in sorted(asked - {"pause"}):
            self.tell(events.Asked(what=what))
        if "sample" in asked and not self.job.samples.prompts:
            self.tell(events.Warned(text=say("no_prompts")))
            asked -= {"sample"}
        return asked

    def pause(self, moment: Moment, losses: Sequence[float], asked: frozenset[Request]) -> frozenset[Request]:
        """Waits, with a sound state saved, and answers meanwhile; what is still to be done."""
        if self.place.is_main and not self.watch.suspects:
            self.keep_state(moment, losses, owed=True)
        self.tell(events.Paused(step=moment.step, epoch=moment.epoch))

        def grant(now: frozenset[Request]) -> None:
            self.made(lambda: self.keep(moment, step_ending(moment.step), "save" in now, "sample" in now))

        # At the end of an epoch its own file and samples are still to come: what is asked for comes with them.
        left, waited_s = waited(asked, self.listen, grant if moment.within else None)
        self.worked.leave_out(waited_s)
        if "stop" not in left:
            self.tell(events.Resumed(step=moment.step, epoch=moment.epoch))
        return left

    def settle(
        self, moment: Moment, losses: list[float], asked: frozenset[Request]
    ) -> tuple[list[float], frozenset[Request], bool]:
        """Makes what is due or asked for after a step, and ends its epoch.

        What comes back: the losses of the epoch under way, what is asked for now, and whether something is owed still,
        because a stop was asked for while samples were drawn.
        """
        if not moment.within and losses:
            self.tell(events.Epoch(epoch=moment.epoch, step=moment.step, loss=sum(losses) / len(losses)))
        keep = self.keep_within if moment.within else self.keep_epoch
        if not self.made(lambda: keep(moment, asked)):
            return losses, asked | self.listen(), True
        return losses if moment.within else [], asked, False

    def made(self, make: Callable[[], object]) -> bool:
        """Lets the main process make something; False, in all of them, where a stop broke it off."""
        broken_off = False
        if self.place.is_main:
            try:
                make()
            except BrokenOff:
                broken_off = True
        return not self.place.said_by_main(broken_off)

    def saves_at(self, step: int) -> bool:
        """Whether a file is written after this step because of its number."""
        return due(step, self.job.output.save_every_steps)

    def draws(self, moment: Moment, asked: frozenset[Request]) -> bool:
        """Whether samples are due at this moment or asked for; at the end always, if ever."""
        samples = self.job.samples
        by_epoch = not moment.within and due(moment.epoch, samples.every_epochs)
        by_step = due(moment.step, samples.every_steps)
        at_the_end = moment.step == self.steps and samples.every_epochs + samples.every_steps > 0
        return bool(samples.prompts) and (by_epoch or by_step or at_the_end or "sample" in asked)

    def keep_within(self, moment: Moment, asked: frozenset[Request]) -> None:
        """Saves and samples within an epoch where it is time to or asked for. Raises Trouble like `save`."""
        saving = self.saves_at(moment.step) or "save" in asked
        self.keep(moment, step_ending(moment.step), saving, self.draws(moment, asked))

    def keep_epoch(self, moment: Moment, asked: frozenset[Request]) -> None:
        """Saves and samples after an epoch likewise; after the last one, the file without a number."""
        last = moment.step == self.steps
        numbered = due(moment.epoch, self.job.output.save_every_epochs) or last
        ending = None if last else f"{moment.epoch:06d}" if numbered else step_ending(moment.step)
        saving = numbered or self.saves_at(moment.step) or "save" in asked
        self.keep(moment, ending, saving, self.draws(moment, asked))

    def keep(self, moment: Moment, ending: str | None, saving: bool, sampling: bool) -> None:
        """Saves and samples where it is time to; a file that is to show its sample is written after it, come what may.

        Raises Trouble like `save`.
        """
        shown_first = sampling and saving and self.job.output.thumbnail
        try:
            if shown_first:
                self.sample(moment)
        finally:
            if saving:
                self.save(moment, ending)
        if sampling and not shown_first:
            self.sample(moment)

    def save(self, moment: Moment, ending: str | None) -> str:
        """Writes `<name>-<ending>.safetensors`, or the final file when it is None; its path in the run folder.

        Raises Trouble when what can be read from the file is not what was learned.
        """
        path = self.run.weights_file(self.job.output.name, ending)
        injected = self.learner.injected
        about = metadata(self.about, injected, moment, thumbnail(self.job, self.run, self.tell))
        with self.learner.learned():
            layout = layouts.layout(self.job.model.family)
            size = kohya.write(path, injected.layers, self.job.output.save_precision, about, layout)
            proof = {"verified": True, "largest_relative_error": largest_error(path, injected)}
        if ending is None and changes_nothing(path):
            self.tell(events.Warned(text=say("learned_nothing")))
        file = path.relative_to(self.run.path).as_posix()
        self.tell(events.Saved(file=file, epoch=moment.epoch, step=moment.step, size_bytes=size, **proof))
        return file

    def step_event(self, step: int, epoch: int, loss: float) -> events.Step:
        """The event of step `step` (from 1): the rates of whole components, with what the optimizer finds by itself.

        What blocks and LoRA+ make of them is not in it.
        """
        factor = schedules.factor(self.job.training, step - 1, self.steps)
        found = self.learner.optimizer.param_groups[0].get("d", 1.0)
        rates = [part.learning_rate * factor * found for part in self.parts.components]
        text_rate = rates[1] if len(rates) > 1 else None
        return events.Step(
            step=step,
            epoch=epoch,
            loss=loss,
            learning_rate=rates[0],
            text_encoder_learning_rate=text_rate,
            training_s=self.worked.seconds,
        )

    def sample(self, moment: Moment) -> None:
        """Draws the samples of one moment."""
        with self.learner.learned():
            draw_samples(self.kind, self.parts, self.job, self.run, moment, self.tell)


def begin(job: Job, run: RunFolder, tell: Tell) -> tuple[Session, Progress]:
    """Loads, adapts and encodes everything, and puts back what was learned before. Raises Trouble."""

    def warn(text: str) -> None:
        tell(events.Warned(text=text))

    found = scan(job.dataset)
    room = room_remark(job, checked_plan(job, found), run.path) if not checkpoint.is_saved(run) else ""
    for text in filter(None, [*remarks(job), room]):
        tell(events.Warned(text=text))
    base_loras.check(job, begins=not checkpoint.is_saved(run))

    # The base model, the adapter in it, and what learns.
    tell(events.Stage(text=say("stage_model")))
    place = device.pick(job.training)
    kind = family(job.model.family)
    parts = kind.load(job, place)
    base_loras.merge(parts.models, job, warn)
    injected = adapter(job.adapter.type).inject(parts.components, job.adapter, job.training.seed)
    learner = make_learner(job, parts, injected, place, warn)
    if not checkpoint.is_saved(run):
        start.begin(injected, job, warn)

    # Everything that can be computed once; pictures that cannot be decoded turn up here at the latest.
    found, supplies = encode(job, found, cache.Encoder(kind, parts), run, tell)
    plan = checked_plan(job, found)
    kind.settle(parts, supplies.texts is not None)

    if place.is_main:
        checkpoint.note_data(run, fingerprint(found), warn)
    progress = checkpoint.load(
        run, learner, job, warn, lambda plan: replanning.adopt(plan, learner, parts, job.training, place)
    )
    steps, per_epoch = lengths(job, plan, place.processes)
    about = About(
        job,
        found,
        plan,
        parts.prediction,
        time.time(),
        steps,
        per_epoch,
        place.processes,
        optimizer_name(learner.optimizer, job.training.optimizer_args),
        hashing(job) if place.is_main else dict,
        parts.zero_terminal_snr,
    )
    tell(
        events.Started(
            name=job.output.name,
            first_step=progress.step,
            steps=steps,
            steps_per_epoch=per_epoch,
            epochs=math.ceil(steps / per_epoch),
            pictures=plan.pictures,
            prompts=job.samples.prompts,
            device=place.label,
            training_s=progress.training_s,
        )
    )
    pace, worked = checkpoint.Pace(job.output.save_state_every_minutes), checkpoint.Worked(progress.training_s)
    watch = LossWatch(job.training.prior_loss_weight)
    return Session(
        job, run, tell, place, kind, parts, learner, found, supplies, about, steps, per_epoch, pace, worked, watch
    ), progress


def checked_plan(job: Job, found: Scan) -> Plan:
    """The plan of `job`. Raises Trouble when the data set forbids training."""
    plan = make_plan(job, found)
    errors = [problem for problem in plan.problems if problem.level == "error"]
    if errors:
        raise Trouble("data_problems", reason=" ".join(error.sentence for error in errors), target=errors[0].path)
    return plan


def lengths(job: Job, plan: Plan, processes: int) -> tuple[int, int]:
    """Optimizer steps in all and per epoch, when `processes` share the batches."""
    per_epoch = math.ceil(plan.batches_per_epoch / (job.training.gradient_accumulation * processes))
    return job.training.steps or job.training.epochs * per_epoch, per_epoch


def make_learner(job: Job, parts: Parts, injected: Injected, place: device.Device, warn: Warn) -> Learner:
    """The optimizer over all that learns. Raises Trouble when nothing does."""
    learning = groups(parts.components, injected, job.training)
    if not learning:
        raise Trouble("no_layers")
    optimizer, averages = optimizing.build(job.training, learning, place.torch, warn)
    optimizer = place.accelerator.prepare_optimizer(optimizer)
    return Learner(injected, optimizer, place.accelerator.scaler, memory.asked_for(job.training), averages)


def encode(job: Job, found: Scan, encoder: cache.Encoder, run: RunFolder, tell: Tell) -> tuple[Scan, Supply]:
    """Everything encoded, and the data set without the pictures that could not be decoded. Raises Trouble."""

    def pictures(done: int, total: int) -> None:
        tell(events.Stage(text=say("stage_latents"), done=done, total=total))

    def captions(done: int, total: int) -> None:
        tell(events.Stage(text=say("stage_captions"), done=done, total=total))

    supplies, broken = supply(job, found, encoder, run.path.parent / CACHE_FOLDER, pictures, captions)
    if broken:
        checked_plan(job, scan(job.dataset))  # which says it better where the folder has gone meanwhile
    if broken and not supplies.pictures and all(error.reason == say("latent_not_finite") for error in broken):
        raise Trouble("vae_not_finite", precision=job.model.vae_precision)
    for error in broken:
        if job.dataset.broken_pictures == "refuse":
            key = "picture_overflows" if error.reason == say("latent_not_finite") else "picture_broken"
            raise Trouble(key, reason=error, target=printable(str(error.path)))
        tell(events.Warned(text=str(error)))
    if not broken:
        return found, supplies
    left = without(found, broken, job.dataset)
    # In place of a broken regularisation picture one may be shown that nobody wanted before.
    return encode(job, left, encoder, run, tell) if left.regularisation else (left, supplies)
