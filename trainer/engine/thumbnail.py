"""A small copy of a sample, for programs that show a LoRA file's own picture."""

import base64
import io
import pathlib

from PIL import Image

from trainer.engine.sampling import requests
from trainer.job.settings import Job
from trainer.run.folder import RunFolder

_SIDE_PX = 256
_MOST_BYTES = 30_000
_QUALITIES = (90, 80, 70, 60, 50, 40, 30)


def thumbnail(job: Job, run: RunFolder, epoch: int) -> str:
    """What goes into a file saved at `epoch`, as a data URL; "" where none is wanted or nothing was drawn yet."""
    path = _newest_sample(job, run, epoch) if job.output.thumbnail else None
    if path is None:
        return ""
    try:
        return data_url(path)
    except (OSError, ValueError, SyntaxError):  # what Pillow raises for a damaged file: no reason not to save
        return ""


def _newest_sample(job: Job, run: RunFolder, epoch: int) -> pathlib.Path | None:
    """The first prompt's sample of `epoch` or of the last epoch before it that has one; never the baseline."""
    wanted = requests(job)[:1]
    if not wanted or job.samples.every_epochs == 0:
        return None
    paths = (run.sample_file(job.output.name, number, 1, wanted[0].seed) for number in range(epoch, 0, -1))
    return next((path for path in paths if path.is_file()), None)


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
