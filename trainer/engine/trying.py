"""Pictures drawn with a LoRA file of a run, at several weights: what it does, once it is on the disk."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Sequence

from trainer.engine import base_loras, device
from trainer.engine.sampling import png, requests
from trainer.families.base import family
from trainer.job.fields import flatten, nest, parse
from trainer.job.settings import Job
from trainer.job.trouble import Refused, Trouble
from trainer.job.words import say
from trainer.run.folder import RunFolder, read_job, write_whole
from trainer.run.grid import draw_table


@dataclasses.dataclass(frozen=True)
class Wish:
    """What is to be drawn: with which file ("" for the run's last one), at which weights, what (else its prompts)."""

    file: str = ""
    weights: Sequence[float] = (0.0, 0.5, 0.75, 1.0)
    prompts: Sequence[str] = ()


def draw(run: RunFolder, wish: Wish, tell: Callable[[str], None]) -> pathlib.Path:
    """Draws every prompt at every weight with the base model of `run`; the picture of all of them.

    The file is read from the disk and merged into the model, as A1111 does; at weight 0 the base model draws. Raises
    Trouble, Refused for a file that is no LoRA for this model, Invalid for a prompt that cannot be read, OSError.
    """
    job = _job(run, wish.prompts)
    path = _file(run, wish.file, run.weights_file(job.output.name))
    file = base_loras.of_family(str(path), job.model.family)
    tell(say("stage_model"))
    place, kind = device.pick(job.training), family(job.model.family)
    parts = kind.load(job, place)
    base_loras.merge(parts.models, job, tell)
    kind.settle(parts, texts_encoded=False)
    wanted, cells = requests(job), {}
    for weight in wish.weights:
        with base_loras.worn(parts.models, file, weight) as changed:
            if weight and not changed:
                raise Refused("base_lora_foreign", file=path.name, layer=next(iter(file.layers)))
            pictures = kind.sample(parts, wanted)
        call = f" <lora:{path.stem}:{weight:g}>" if weight else ""
        about = {"lora": path.name, "weight": weight}
        for number, (request, picture) in enumerate(zip(wanted, pictures, strict=True), 1):
            place_of_it = run.tries / f"{path.stem}_w{weight:.2f}_p{number:02d}_s{request.seed}.png"
            data = png(picture, request, job, about, call)
            write_whole(place_of_it, lambda stream, data=data: stream.write(data))
            cells[weight, number] = {"text": request.text, "file": place_of_it.relative_to(run.path).as_posix()}
            tell(say("try_drawn", path=place_of_it))
    grid = run.tries_grid(path)
    draw_table(run, cells, grid)
    return grid


def _job(run: RunFolder, prompts: Sequence[str]) -> Job:
    job = read_job(run)
    if prompts:
        job = parse(nest({**flatten(job), "samples.prompts": list(prompts)}))
    if not job.samples.prompts:
        raise Trouble("try_no_prompts", run=run.name)
    return job


def _file(run: RunFolder, name: str, final: pathlib.Path) -> pathlib.Path:
    """The file called `name`, in the run or anywhere; without a name the `final` one, or else the last one written."""
    if name:
        inside = run.weights / name
        return inside if inside.is_file() else pathlib.Path(name).expanduser().absolute()
    if final.is_file():
        return final
    found: list[tuple[float, pathlib.Path]] = []
    with contextlib.suppress(OSError):
        found = [(path.stat().st_mtime, path) for path in run.weights.glob("*.safetensors")]
    if not found:
        raise Trouble("try_no_file", run=run.name, path=run.path)
    return max(found)[1]
