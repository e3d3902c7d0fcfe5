"""What is said about an import: as text for a terminal, as plain values for programs, and the job as a file."""

from collections.abc import Iterator, Mapping
from typing import Any

from trainer.job import fields, presets
from trainer.job.kohya_import import values
from trainer.job.kohya_import.convert import Import, Line
from trainer.job.words import say

HEADINGS = ("unsupported", "taken", "meaningless", "default")


def title_of(made: Import) -> str:
    """The title of the preset: the file's name without its ending, that of the run where there is no file."""
    name = made.source.title.replace("\\", "/").rpartition("/")[2]
    return name.rpartition(".")[0] or made.job.output.name


def job_file(made: Import) -> str:
    """The job as a preset file: title, purpose, and the values that are not defaults."""
    return presets.dump(made.job, title_of(made), made.purpose)


def heading(name: str, count: int) -> str:
    """The words above a group, with its count."""
    return f"{say(f'kohya_heading_{name}')} ({count})"


def became(line: Line) -> str:
    """What the key became, as `path = value` with commas between; "" where it sets nothing."""
    return settings(line.verdict.to)


def settings(to: Mapping[str, Any]) -> str:
    """Settings with their values, as a person writes them."""
    return ", ".join(f"{path} = {_shown(value)}" for path, value in to.items())


def _shown(value: Any) -> str:
    return values.shown(fields.write_pairs(value) if isinstance(value, dict) else value)


def counts(made: Import) -> dict[str, int]:
    """How many keys of the input stand under each heading; what a key holds does not count again."""
    return {name: sum(not line.within for line in made.under(name)) for name in HEADINGS}


def title(made: Import) -> str:
    """The first line of a report."""
    count = len(made.source)
    return say("kohya_title_one" if count == 1 else "kohya_title", name=made.source.title, count=count)


def text(made: Import) -> Iterator[str]:
    """The report, a line each."""
    yield title(made)
    yield from (say("warning_line", text=note) for note in made.notes)
    number = counts(made)
    for name in HEADINGS:
        lines = made.under(name)
        if lines:
            yield ""
            yield heading(name, number[name]).upper()
            yield from map(_line, lines)
    if made.assumed:
        yield ""
        yield heading("assumed", len(made.assumed)).upper()
        yield from (f"  {settings({path: value})}" for path, value in made.assumed.items())


def _line(line: Line) -> str:
    indent = "    " if line.within else "  "
    found = f"{indent}{label(line)} = {line.value}" if line.value else f"{indent}{label(line)}"
    found += f" -> {became(line)}" if line.verdict.to else ""
    return f"{found}  ({line.verdict.why})" if line.verdict.why else found


def label(line: Line) -> str:
    """The key as it is shown: one inside of another after that one's name."""
    return values.shown(f"{line.within}: {line.key}" if line.within else line.key)


def as_values(made: Import) -> dict[str, Any]:
    """The report for programs: each heading with its keys, and the whole job."""
    groups = {name: [_values(line) for line in made.under(name)] for name in HEADINGS}
    return {
        "source": made.source.title,
        "kind": made.source.kind,
        "keys": len(made.source),
        "counts": counts(made),
        "notes": list(made.notes),
        **groups,
        "assumed": dict(made.assumed),
        "title": title_of(made),
        "purpose": made.purpose,
        "job": made.job.model_dump(mode="json"),
    }


def _values(line: Line) -> dict[str, Any]:
    found = {"key": line.key, "value": line.value, "to": dict(line.verdict.to), "why": line.verdict.why}
    return {**found, "within": line.within} if line.within else found
