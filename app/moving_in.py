"""A file or a pasted text that is to become a job: one of ours, or one of Kohya's with a report on every key."""

import dataclasses
import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

from app.words import say
from trainer.job import fields, presets
from trainer.job.fields import Invalid, Message
from trainer.job.kohya_import import convert, read, report
from trainer.job.kohya_import.convert import Import, Line
from trainer.job.kohya_import.read import Source
from trainer.job.kohya_import.values import shown
from trainer.job.settings import Job

OPEN = ("unsupported", "taken")
"""The groups of a report that are unfolded at first, unless they are long."""
LONG = 24


@dataclasses.dataclass(frozen=True)
class Found:
    """What was in it. `panel` is the report on Kohya's keys as HTML, "" for a job of ours."""

    job: Job
    about: str
    panel: str = ""
    unknown: tuple[Message, ...] = ()


def found(files: Sequence[tuple[str, bytes]]) -> Found:
    """The job in the files (name, content), of which all but one are dataset_configs. Raises Invalid."""
    name, content = files[0]
    ours = _json(content) if len(files) == 1 else None
    if isinstance(ours, dict) and not _is_kohyas(ours):
        document = presets.document(ours, name)
        about = ": ".join(filter(None, (document.title, document.purpose)))
        return Found(document.job, about, unknown=document.unknown)
    made = convert.convert(_together([read.read(content, name) for name, content in files]))
    return Found(made.job, ": ".join(filter(None, (report.title_of(made), made.purpose))), panel(made))


def _json(content: bytes) -> Any:
    try:
        return json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def _is_kohyas(data: dict[str, Any]) -> bool:
    """Whether any key is Kohya's and none is a section of ours."""
    ours = any(isinstance(data.get(section), dict) for section in Job.model_fields)
    return not ours and ("datasets" in data or any(str(key).lower() in convert.rows() for key in data))


def _together(sources: list[Source]) -> Source:
    """The one source with settings, and the data sets' keys after it. Raises Invalid when there are several."""
    sources = sorted(sources, key=lambda source: source.kind == "dataset")
    if any(source.kind != "dataset" for source in sources[1:]):
        raise Invalid([Message("", say("moving_in.several"))])
    given = tuple(one for source in sources for one in source.given)
    return dataclasses.replace(sources[0], given=given)


# ---- the report ----


def panel(made: Import) -> str:
    """The report as HTML: what has to be known, then a group for each heading that can be folded."""
    counts = report.counts(made)
    head = say("moving_in.imported", name=made.source.title, count=len(made.source), taken=counts["taken"])
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in made.notes)
    groups = [
        _group(name, counts[name], map(_row, made.under(name)), len(made.under(name))) for name in report.HEADINGS
    ]
    assumed = [f"<li>{_setting(path, value)}</li>" for path, value in made.assumed.items()]
    groups.insert(2, _group("assumed", len(assumed), assumed, len(assumed)))
    kind = "warning" if made.notes or counts["unsupported"] else "good"
    close = (
        f'<button type="button" class="close" data-close-notice aria-label="{html.escape(say("bar.close"))}">×</button>'
    )
    return (
        f'<div class="notice report {kind}" role="status"><strong>{html.escape(head)}</strong>'
        f"{notes}{''.join(groups)}{close}</div>"
    )


def _group(name: str, count: int, rows: Iterable[str], lines: int) -> str:
    if not lines:
        return ""
    unfolded = " open" if name in OPEN and lines <= LONG else ""
    return (
        f'<details class="{name}"{unfolded}><summary>{html.escape(report.heading(name, count))}</summary>'
        f"<ul>{''.join(rows)}</ul></details>"
    )


def _row(line: Line) -> str:
    held = ' class="held"' if line.within else ""
    value = f" <span>{html.escape(line.value)}</span>" if line.value else ""
    to = "<br>".join(_setting(path, value) for path, value in line.verdict.to.items())
    why = f"<small>{html.escape(line.verdict.why)}</small>" if line.verdict.why else ""
    return f"<li{held}><div><code>{html.escape(line.key)}</code>{value}</div><div>{to}{why}</div></li>"


def _setting(path: str, value: Any) -> str:
    """A setting with its value, which leads to its field."""
    spec = fields.specs().get(path)
    if spec is None:
        return f"<i>→</i> {html.escape(say('presets.purpose'))}"
    text = fields.write_pairs(value) if isinstance(value, dict) else shown(value)
    return (
        f'<i>→</i> <button type="button" data-go="{html.escape(path)}">{html.escape(spec.title)}</button> '
        f"<b>{html.escape(text)}</b>"
    )
