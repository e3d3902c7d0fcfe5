"""What the page shows of a data set and of the plan made from it."""

import functools
import html
import json
import os
import time
from collections.abc import Mapping
from typing import Any

from app import places, thumbs
from app.forms import Values
from app.words import say
from trainer.dataset import folders
from trainer.dataset.plan import Plan, make_plan
from trainer.dataset.problems import Problem
from trainer.dataset.scan import Picture, Scan, Subset, scan
from trainer.job import fields
from trainer.job.fields import Invalid, Message
from trainer.job.settings import Dataset, Job
from trainer.run.forecast import room_remark

MOST_PICTURES = 5000
TILE_CHARACTERS = 160

ROOM = ("adapter.rank", "output.folder", "output.save_every_epochs", "output.save_every_steps")
LENGTH = ("training.epochs", "training.steps", "training.batch_size", "training.gradient_accumulation")


def data_paths() -> list[str]:
    """The settings that decide what a data set is read as."""
    return [path for path, spec in fields.specs().items() if spec.section == "dataset"]


def possible_job(values: Values) -> tuple[Job, tuple[Message, ...]]:
    """A job with those of `values` that are right, and what is wrong with the others."""
    left, first = dict(values), None
    while True:
        try:
            return fields.parse(fields.nest(left)), first or ()
        except Invalid as error:
            # Checks across settings are made only once each setting is right, and may find more.
            first = first or error.messages
            wrong = {message.path for message in error.messages}
        if not wrong & left.keys():
            return Job(), first
        left = {path: value for path, value in left.items() if path not in wrong}


def line(values: Values) -> str:
    """The way from the pictures to the number of steps, as HTML in one line."""
    (job, wrong), specs = possible_job(values), fields.specs()
    if wrong:
        titles = [specs[message.path].title for message in wrong if message.path in specs]
        return _paragraph(say("plan.unknown", titles=", ".join(dict.fromkeys(titles))))
    given = filter(None, (job.dataset.folder, job.dataset.regularisation_folder))
    plan = make_plan(job, _scan_as_of(job.dataset, tuple(time for folder in given for time in _changed(folder))))
    if not plan.steps:
        return _paragraph(say("plan.nothing"))
    room = room_remark(job, plan, places.resolve_outputs(job.output.folder))
    steps = "".join(("<p>", *(_part(*part) for part in parts(plan, job)), "</p>"))
    return steps + (_paragraph(room) if room else "")


@functools.lru_cache(maxsize=2)
def _scan_as_of(settings: Dataset, changed: tuple[tuple[str, int], ...]) -> Scan:
    """The scan of a data set that looks as `changed` says: for counts, thousands of pictures are read only once."""
    return scan(settings)


def _changed(folder: str) -> tuple[tuple[str, int], ...]:
    """When each folder of a data set was last changed; the time of asking where that cannot be read."""
    try:
        with os.scandir(folders.resolve(folder)) as entries:
            inner = [(entry.path, entry.stat().st_mtime_ns) for entry in entries]
        return (("", folders.resolve(folder).stat().st_mtime_ns), *sorted(inner))
    except (OSError, ValueError):
        return (("", time.time_ns()),)


def _paragraph(text: str) -> str:
    return f'<p class="muted">{html.escape(text)}</p>'


def _part(sign: str, number: int, words: str) -> str:
    return f"<span><i>{sign}</i><b>{number:,}</b> {html.escape(words)}</span> "


def parts(plan: Plan, job: Job) -> list[tuple[str, int, str]]:
    """(sign, number, words) for each part of the sum that leads to the number of steps."""
    found = [_counted("", plan.pictures, "plan.pictures")]
    if plan.repeated - plan.regularisation != plan.pictures:
        found.append(_counted("→", plan.repeated - plan.regularisation, "plan.repeated"))
    if plan.regularisation:
        found.append(_counted("+", plan.regularisation, "plan.regularisation"))
    if job.training.gradient_accumulation > 1:
        found.append(_counted("→", plan.batches_per_epoch, "plan.batches", size=job.training.batch_size))
    key = "plan.steps_per_epoch" if _one_by_one(job) else "plan.steps_of"
    found.append(_counted("→", plan.steps_per_epoch, key, size=job.training.batch_size))
    if not job.training.steps:
        return [*found, _counted("×", plan.epochs, "plan.epochs"), _counted("=", plan.steps, "plan.steps")]
    return [*found, _counted("→", plan.steps, "plan.until", epochs=plan.epochs)]


def _counted(sign: str, number: int, key: str, **values: object) -> tuple[str, int, str]:
    return sign, number, say(f"{key}_one" if number == 1 else key, **values)


def _one_by_one(job: Job) -> bool:
    return job.training.batch_size == 1 or job.training.gradient_accumulation > 1


def view(values: Values) -> tuple[str, str]:
    """What the data set's overview shows (problems, subsets, buckets) and what the grid of its pictures does, as JSON.

    As text, since Gradio copies what its components hold, value by value, at every change of any field.
    """
    job, _ = possible_job(values)
    found = scan(job.dataset)
    plan = make_plan(job, found)
    pictures = [_picture(picture, at) for at, subset in enumerate(found.subsets) for picture in subset.pictures]
    directories = [str(subset.folder) for subset in found.subsets]
    overview = {
        "subsets": [_subset(subset) for subset in found.subsets],
        "buckets": [{"w": row.width_px, "h": row.height_px, "count": row.pictures} for row in plan.rows],
        "problems": [_problem(problem) for problem in plan.problems],
    }
    grid = {"folders": directories, "pictures": pictures[:MOST_PICTURES], "all_lines": job.dataset.wildcards}
    grid["ending"] = job.dataset.caption_extension
    return _text(overview), _text(grid)


def _text(value: Any) -> str:
    """`value` as JSON with a ? for what is no Unicode: on Linux a file name may be any bytes."""
    # What is shown is set as text all the same, but Gradio warns of every "<script>" that it is given.
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").encode("utf-8", "replace").decode()


def _problem(found: Problem) -> Mapping[str, str]:
    """What is wrong, and the setting and value of a button that mends it."""
    mend = {"setting": found.setting, "mend": found.mend} if found.mend else {}
    return {"level": found.level, "text": found.text, "advice": found.advice, **mend}


def _subset(subset: Subset) -> Mapping[str, Any]:
    captioned = sum(picture.caption_path is not None for picture in subset.pictures)
    return {
        "name": subset.name,
        "path": str(subset.folder),
        "words": subset.words,
        "repeats": subset.repeats,
        "count": len(subset.pictures),
        "captioned": captioned,
    }


def _picture(picture: Picture, folder: int) -> Mapping[str, Any]:
    # A large data set has thousands of these: nothing is said twice.
    return {
        "folder": folder,
        "name": picture.path.name,
        "w": picture.width_px,
        "h": picture.height_px,
        **_shortened(picture),
        "own": picture.caption_path is not None,
        **thumbs.ticket(picture.path),
    }


def _shortened(picture: Picture) -> Mapping[str, Any]:
    """As much of a caption as a tile shows; the page asks for the rest of its file (see captions.whole_caption)."""
    if len(picture.caption) <= TILE_CHARACTERS or picture.caption_path is None:
        return {"caption": picture.caption}
    return {"caption": picture.caption[:TILE_CHARACTERS], "cut": True}


def data_errors(found: Scan, job: Job) -> list[Message]:
    """What forbids training on this data set, each at its setting."""
    return [Message(p.setting, p.sentence) for p in make_plan(job, found).problems if p.level == "error"]
