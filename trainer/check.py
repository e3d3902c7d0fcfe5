"""What can be said of a job before anything heavy is loaded: its plan, and everything that is wrong with it."""

import pathlib
from collections.abc import Iterator

from trainer.dataset.plan import make_plan
from trainer.dataset.scan import scan
from trainer.job import lora_files, presets, vae_files
from trainer.job.base_model import describe
from trainer.job.facts import FAMILIES
from trainer.job.fields import Invalid, parse, with_sets
from trainer.job.remarks import remarks
from trainer.job.settings import Job
from trainer.job.words import say
from trainer.run.forecast import room_remark
from trainer.run.home import outputs_problem, resolve_outputs


def read_job_file(path: pathlib.Path, sets: list[str]) -> Job:
    """The job in a job or preset file, with `path=value` texts put in. Raises Invalid, also for unknown settings."""
    document = presets.read(path)
    if document.unknown:
        raise Invalid(document.unknown)
    return parse(with_sets(document.data, sets))


def wrong_with(job: Job) -> list[str]:
    """Everything that forbids the training, in a sentence each."""
    base = describe(job.model.base, job.model.family)
    errors = [problem.sentence for problem in make_plan(job).problems if problem.level == "error"]
    faults = lora_files.faults(job.adapter.start_from, job.model.base_loras, job.model.family)
    loras = [sentence for _, sentence in faults]
    outputs = outputs_problem(resolve_outputs(job.output.folder))
    return [*filter(None, (base.problem, vae_files.problem(job.model.vae))), *loras, *errors, *filter(None, [outputs])]


def plan_lines(job: Job) -> Iterator[str]:
    """What the training would do, and the warnings about it, a line each."""
    found = scan(job.dataset)
    plan = make_plan(job, found)
    base = describe(job.model.base, job.model.family)
    yield say("plan_title", name=job.output.name, family=FAMILIES[job.model.family].label, base=job.model.base)
    if base.text:
        yield "  " + base.text
    yield "  " + say("plan_data", pictures=plan.pictures, repeated=found.repeated, folders=len(found.subsets))
    if plan.regularisation:
        given = sum(len(subset.pictures) for subset in found.regularisation)
        yield "  " + say("plan_regularisation", pictures=given, repeated=plan.regularisation)
    for row in plan.rows:
        yield "  " + say("plan_bucket", width=row.width_px, height=row.height_px, count=row.repeated)
    yield "  " + say(
        "plan_steps_fixed" if job.training.steps else "plan_steps",
        repeated=plan.repeated,
        batch=job.training.batch_size,
        batches=plan.batches_per_epoch,
        accumulation=job.training.gradient_accumulation,
        per_epoch=plan.steps_per_epoch,
        epochs=plan.epochs,
        steps=plan.steps,
    )
    yield from (say("warning_line", text=problem.sentence) for problem in plan.problems if problem.level == "warning")
    room = room_remark(job, plan, resolve_outputs(job.output.folder))
    yield from (say("warning_line", text=text) for text in [*remarks(job), room] if text)
