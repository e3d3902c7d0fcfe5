"""`python -m trainer import`: reads what is to be imported, writes the job, gives the report's lines."""

import json
import pathlib
import sys
from collections.abc import Iterator

from trainer.job.fields import Invalid, Message
from trainer.job.files import open_file
from trainer.job.kohya_import import convert, read, report
from trainer.job.kohya_import.read import MAX_BYTES, Source
from trainer.job.words import say
from trainer.run.folder import write_text

STDIN = "-"


def import_file(
    file: str, dataset_config: pathlib.Path | None, out: pathlib.Path | None, *, as_json: bool
) -> Iterator[str]:
    """The lines of the report; the job is written to `out` before the first. Raises Invalid with one sentence."""
    source = _source(file)
    if dataset_config is not None:
        source = read.with_dataset(source, _content(str(dataset_config)), str(dataset_config))
    made = convert.convert(source)
    if out is not None:
        _write(out, file, report.job_file(made))
    if as_json:
        yield json.dumps(report.as_values(made), indent=2, ensure_ascii=False)
        return
    yield from report.text(made)
    yield ""
    yield say("kohya_unwritten") if out is None else say("kohya_written", path=out)


def _source(file: str) -> Source:
    folders = [pathlib.Path.cwd()] if file == STDIN else [pathlib.Path(file).absolute().parent, pathlib.Path.cwd()]
    title = say("kohya_pasted") if file == STDIN else pathlib.Path(file).name
    return read.read(_content(file), title, folders)


def _content(file: str) -> bytes:
    if file == STDIN:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        with open_file(pathlib.Path(file)) as stream:
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _refusal("no_file", path=file) from None
    except (OSError, ValueError) as error:
        raise _refusal("unreadable", path=file, reason=error) from error


def _write(out: pathlib.Path, file: str, text: str) -> None:
    if file != STDIN and out.exists() and out.samefile(file):
        raise _refusal("kohya_same_file", path=out)
    try:
        write_text(out, text)
    except OSError as error:
        raise _refusal("kohya_not_written", path=out, reason=error.strerror or error) from error


def _refusal(key: str, **about: object) -> Invalid:
    return Invalid([Message("", say(key, **about))])
