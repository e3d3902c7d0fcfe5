"""Sample pictures of a run: prompts × seeds → PNG files and events."""

import dataclasses
import io
import json
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image, PngImagePlugin

from trainer.engine.memory import attempted
from trainer.families.base import Family, Onward, Parts, SampleRequest
from trainer.job.prompts import read_prompt
from trainer.job.settings import Job
from trainer.job.words import say
from trainer.run.events import Event, Sample, Stage, Warned
from trainer.run.folder import RunFolder, pending, write_whole


@dataclasses.dataclass(frozen=True)
class Moment:
    """When samples are drawn; epoch 0 is the baseline, before the first step.

    `within` is the share of the epoch that is done after a step within it; 0 at its end.
    """

    epoch: int
    step: int
    within: float = 0.0

    @property
    def epochs(self) -> float:
        """The epochs that are done: 2 at the end of the second, 2.25 after a quarter of the third."""
        return round(self.epoch - 1 + self.within, 4) if self.within else self.epoch


_A1111_SAMPLERS: Mapping[str, str] = types.MappingProxyType(
    {"ddim": "DDIM", "euler": "Euler", "euler_a": "Euler a", "dpmpp_2m": "DPM++ 2M"}
)


def requests(job: Job) -> list[SampleRequest]:
    """What the job's prompts ask for, the same at every epoch; a prompt without a seed gets one of its own."""
    return [_request(job, number, line) for number, line in enumerate(job.samples.prompts)]


def _request(job: Job, number: int, line: str) -> SampleRequest:
    prompt, settings = read_prompt(line), job.samples

    def either(own: Any, default: Any) -> Any:
        return default if own is None else own

    return SampleRequest(
        text=prompt.text,
        negative=either(prompt.negative, settings.negative),
        width_px=either(prompt.width_px, settings.width_px or job.dataset.resolution) // 8 * 8,
        height_px=either(prompt.height_px, settings.height_px or job.dataset.resolution) // 8 * 8,
        seed=either(prompt.seed, (settings.seed + number) % 2**32),
        guidance=either(prompt.guidance, settings.guidance),
        steps=either(prompt.steps, settings.steps),
        sampler=settings.sampler,
    )


class BrokenOff(Exception):
    """A stop was asked for while samples were drawn."""


def draw_samples(
    family: Family, parts: Parts, job: Job, run: RunFolder, moment: Moment, tell: Callable[[Event], None]
) -> None:
    """Draws, writes and tells of the samples of one moment. Raises BrokenOff as soon as a stop is asked for."""
    wanted = requests(job)
    if not wanted:
        return
    for component in parts.components:
        component.module.eval()

    def onward(done: int, total: int) -> None:
        if "stop" in pending(run):
            raise BrokenOff
        tell(Stage(text=say("stage_samples"), done=done, total=total))

    for number, (request, picture) in enumerate(zip(wanted, _pictures(family, parts, wanted, onward), strict=True), 1):
        if picture is None:
            size = {"width": request.width_px, "height": request.height_px}
            tell(Warned(text=say("sample_out_of_memory", prompt=number, step=moment.step, **size)))
            continue
        when = f"step{moment.step:08d}" if moment.within else moment.epoch
        path = run.sample_file(job.output.name, when, number, request.seed)
        data = png(picture, request, job, dataclasses.asdict(moment))
        write_whole(path, lambda stream, data=data: stream.write(data))
        tell(
            Sample(
                epoch=moment.epochs,
                step=moment.step,
                prompt=number,
                text=request.text,
                seed=request.seed,
                file=path.relative_to(run.path).as_posix(),
                width_px=request.width_px,
                height_px=request.height_px,
            )
        )


def _pictures(
    family: Family, parts: Parts, wanted: Sequence[SampleRequest], onward: Onward
) -> Sequence[Image.Image | None]:
    """The pictures asked for; one by one where memory does not suffice for more, and None where not even for one."""
    together, lack = attempted(lambda: family.sample(parts, wanted, onward))
    return [_alone(family, parts, request, onward) for request in wanted] if lack else together


def _alone(family: Family, parts: Parts, request: SampleRequest, onward: Onward) -> Image.Image | None:
    picture, lack = attempted(lambda: family.sample(parts, [request], onward)[0])
    decoder = parts.picture_encoder
    if not lack or not hasattr(decoder, "enable_tiling"):
        return picture
    decoder.enable_tiling()  # it decodes large pictures in parts, whose seams may show
    try:
        return attempted(lambda: family.sample(parts, [request], onward)[0])[0]
    finally:
        decoder.disable_tiling()


def png(picture: Image.Image, request: SampleRequest, job: Job, about: Mapping[str, object], call: str = "") -> bytes:
    """A PNG that says how it was made: `parameters` as A1111 writes and reads it, `lora_atelier` with everything.

    `call` is what A1111 needs in the prompt to use the LoRA.
    """
    info = PngImagePlugin.PngInfo()
    size = f"{request.width_px}x{request.height_px}"
    info.add_text(
        "parameters",
        f"{request.text}{call}\nNegative prompt: {request.negative}\n"
        f"Steps: {request.steps}, Sampler: {_A1111_SAMPLERS[request.sampler]}, "
        f"CFG scale: {request.guidance:g}, Seed: {request.seed}, Size: {size}, Model: {job.model.base}",
    )
    everything = {**about, "request": dataclasses.asdict(request), "job": job.model_dump(mode="json")}
    info.add_itxt("lora_atelier", json.dumps(everything, ensure_ascii=False))
    stream = io.BytesIO()
    picture.save(stream, "PNG", pnginfo=info)
    return stream.getvalue()
