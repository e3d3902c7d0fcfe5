"""A small copy of a sample, for programs that show a LoRA file's own picture."""

import base64
import io
import pathlib
from collections.abc import Callable

from PIL import Image

from trainer.engine.sampling import requests
from trainer.job.settings import Job
from trainer.job.words import say
from trainer.run.events import Warned
from trainer.run.folder import RunFolder

_SIDE_PX = 256
_MOST_BYTES = 30_000
_QUALITIES = (90, 80, 70, 60, 50, 40, 30)


def thumbnail(job: Job, run: RunFolder, tell: Callable[[Warned], None]) -> str:
    """What goes into a file that is saved now, as a data URL; "" where none is wanted or nothing was drawn yet.

    A sample that cannot be read is no reason not to save: it is told of.
    """
    if not job.output.thumbnail:
        return ""
    try:
        path = _newest_sample(job, run)
        return data_url(path) if path else ""
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for a damaged file
        tell(Warned(text=say("thumbnail_unreadable", reason=error)))
        return ""


def _newest_sample(job: Job, run: RunFolder) -> pathlib.Path | None:
    """The first prompt's last sample, of an epoch or of a step; never the baseline."""
    wanted = requests(job)[:1]
    if not wanted:
        return None
    baseline = run.sample_file(job.output.name, 0, 1, wanted[0].seed)
    begins, _, ends = baseline.name.rpartition("e0000")
    found = [path for path in run.samples.iterdir() if path.name.startswith(begins) and path.name.endswith(ends)]
    return max((path for path in found if path != baseline), key=_drawn_at, default=None)


def _drawn_at(path: pathlib.Path) -> tuple[int, str]:
    return path.stat().st_mtime_ns, path.name


def data_url(path: pathlib.Path) -> str:
    """The picture as a JPEG of at most 256 px and 30 kB, in the form that modelspec wants. Raises OSError."""
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((_SIDE_PX, _SIDE_PX))
    for quality in _QUALITIES:
        stream = io.BytesIO()
        small.save(stream, "JPEG", quality=quality, optimize=True)
        if stream.tell() <= _MOST_BYTES:
            break
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
