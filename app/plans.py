"""What the page shows of a data set and of the plan made from it."""

import functools
import html
import itertools
import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from app import places, readings, thumbs
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
WAIT_S = 0.15
"""Small data sets are read meanwhile, and the first pictures of others."""

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
    under_way = readings.reading(job.dataset)
    if not under_way.is_whole(WAIT_S):
        return f'<p class="muted being-read" role="status">{html.escape(_so_far(under_way))}</p>'
    plan = make_plan(job, _last_scan(job.dataset))
    if not plan.steps:
        return _paragraph(say("plan.nothing"))
    room = room_remark(job, plan, places.resolve_outputs(job.output.folder))
    steps = "".join(("<p>", *(_part(*part) for part in parts(plan, job)), "</p>"))
    return steps + (_paragraph(room) if room else "")


_SCANNED = (
    "folder",
    "regularisation_folder",
    "caption_extension",
    "wildcards",
    "trigger",
    "default_repeats",
    "broken_pictures",
    "masked_loss",
    "mask_folder",
)
"""The settings that decide what is found in a data set."""
_SCANNING = threading.Lock()
"""Who asks while another one scans, as the page does after each change, waits for that instead of scanning too."""


def _new_scan(settings: Dataset) -> Scan:
    """The data set as it is now."""
    with _SCANNING:
        _scan_as_of.cache_clear()
        return _scan_as_of(*_as_it_looks(settings))


def _last_scan(settings: Dataset) -> Scan:
    """The data set as it was when a file was last added, renamed or removed: thousands of pictures are read once."""
    with _SCANNING:
        return _scan_as_of(*_as_it_looks(settings))


def _as_it_looks(settings: Dataset) -> tuple[Dataset, tuple[tuple[str, int], ...]]:
    given = filter(None, (settings.folder, settings.regularisation_folder, settings.mask_folder))
    only = Dataset(**{name: getattr(settings, name) for name in _SCANNED})
    return only, tuple(time for folder in given for time in _changed(folder))


@functools.lru_cache(maxsize=4)
def _scan_as_of(settings: Dataset, changed: tuple[tuple[str, int], ...]) -> Scan:
    return scan(settings)


def _changed(folder: str) -> tuple[tuple[str, int], ...]:
    """When a folder and those in it were last changed; the time of asking where that cannot be read."""
    try:
        with os.scandir(folders.resolve(folder)) as entries:
            inner = [(entry.path, entry.stat().st_mtime_ns) for entry in entries if folders.is_folder(entry)]
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


def length(number: int, key: str) -> str:
    """So many epochs or steps, in words."""
    _, count, words = _counted("", number, key)
    return f"{count:,} {words}"


def _one_by_one(job: Job) -> bool:
    return job.training.batch_size == 1 or job.training.gradient_accumulation > 1


def _so_far(under_way: readings.Reading) -> str:
    if not under_way.count:
        return say("plan.looking")
    return say("plan.reading", read=f"{under_way.read:,}", count=f"{under_way.count:,}")


def view(values: Values) -> tuple[str, str]:
    """What the data set's overview shows (problems, subsets, buckets) and what the grid of its pictures does, as JSON.

    Until a data set has been read, how far that has come, and its first pictures. As text, since Gradio copies what its
    components hold, value by value, at every change of any field.
    """
    job, _ = possible_job(values)
    under_way = readings.reading(job.dataset)
    if not under_way.is_whole(WAIT_S):
        told = {"reading": {"text": _so_far(under_way), "read": under_way.read, "count": under_way.count}}
        return _text(told), _text({**_gallery(tuple(under_way.first), job.dataset), "reading": True})
    found = _new_scan(job.dataset)
    plan = make_plan(job, found)
    overview = {
        "subsets": [_subset(subset) for subset in found.subsets],
        "buckets": [{"w": row.width_px, "h": row.height_px, "count": row.pictures} for row in plan.rows],
        "problems": [_problem(problem) for problem in plan.problems],
    }
    return _text(overview), _text(_gallery(_shown(found), job.dataset))


def further_pictures(given: Mapping[str, Any]) -> str:
    """The pictures of the grid that `view` has left for later, as JSON; `given` is what it has said to `ask` for."""
    asked = {f"dataset.{name}": given.get(name) for name in _SCANNED}
    job, wrong = possible_job({path: value for path, value in asked.items() if value is not None})
    further = () if wrong else _shown(_last_scan(job.dataset))[readings.FIRST_PICTURES :]
    return _text(_tiles(further, job.dataset.caption_extension))


def _shown(found: Scan) -> tuple[Picture, ...]:
    pictures = itertools.chain.from_iterable(subset.pictures for subset in found.subsets)
    return tuple(itertools.islice(pictures, MOST_PICTURES))


def _gallery(pictures: Sequence[Picture], settings: Dataset) -> Mapping[str, Any]:
    """The first tiles of the grid, and what tells whether any of all has changed."""
    return {
        **_tiles(pictures[: readings.FIRST_PICTURES], settings.caption_extension),
        "count": len(pictures),
        "version": f"{hash(tuple((p, p.changed_ns) for p in pictures)):x}",
        "ask": {name: getattr(settings, name) for name in _SCANNED},
        "all_lines": settings.wildcards,
        "ending": settings.caption_extension,
    }


def _tiles(pictures: Sequence[Picture], ending: str) -> dict[str, Any]:
    """Of each picture what its tile shows, and the proof that it was shown with captions that end in `ending`."""
    folders = {picture.path.parent: None for picture in pictures}
    number = {folder: at for at, folder in enumerate(folders)}
    tiles = [_picture(picture, number[picture.path.parent], ending) for picture in pictures]
    return {"folders": [str(folder) for folder in folders], "pictures": tiles}


def _text(value: Any) -> str:
    """`value` as JSON with a ? for what is no Unicode: on Linux a file name may be any bytes."""
    # What is shown is set as text all the same, but Gradio warns of every "<script>" that it is given.
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").encode("utf-8", "replace").decode()


def _problem(found: Problem) -> Mapping[str, str]:
    """What is wrong, the setting that it is about, and the value of that which a button may give it."""
    mend = {"mend": found.mend} if found.mend else {}
    return {"level": found.level, "text": found.text, "advice": found.advice, "setting": found.setting, **mend}


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


def _picture(picture: Picture, folder: int, ending: str) -> Mapping[str, Any]:
    # A large data set has thousands of these: nothing is said twice.
    return {
        "folder": folder,
        "name": picture.path.name,
        "w": picture.width_px,
        "h": picture.height_px,
        **_shortened(picture),
        "own": picture.caption_path is not None,
        **thumbs.ticket(picture.path, picture.changed_ns, ending),
    }


def _shortened(picture: Picture) -> Mapping[str, Any]:
    """As much of a caption as a tile shows; the page asks for the rest of its file (see captions.whole_caption)."""
    if len(picture.caption) <= TILE_CHARACTERS or picture.caption_path is None:
        return {"caption": picture.caption}
    return {"caption": picture.caption[:TILE_CHARACTERS], "cut": True}


def data_errors(found: Scan, job: Job) -> list[Message]:
    """What forbids training on this data set, each at its setting."""
    return [Message(p.setting, p.sentence) for p in make_plan(job, found).problems if p.level == "error"]
