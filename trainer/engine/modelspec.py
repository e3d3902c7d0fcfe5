"""The metadata that modelspec 1.0.1 defines (https://github.com/Stability-AI/ModelSpec), as far as they fit a LoRA."""

import datetime
from collections.abc import Mapping

from trainer.formats import layouts
from trainer.job.facts import FAMILIES
from trainer.job.settings import Job, Training

_ALL_TIMESTEPS = (0, 1000)


def modelspec(job: Job, prediction: str, thumbnail: str) -> dict[str, str]:
    """Every key that has something to say; `thumbnail` is a data URL or "". Keys of empty settings are left out."""
    family, output = FAMILIES[job.model.family], job.output
    values: Mapping[str, str] = {
        "sai_model_spec": "1.0.1",
        "architecture": f"{family.architectures[prediction]}/lora",
        "implementation": layouts.layout(family.name).implementation,
        "title": output.title or output.name,
        "author": output.author,
        "license": output.license,
        "description": output.description,
        "tags": ", ".join(filter(None, map(str.strip, output.tags.split(",")))),
        "usage_hint": output.usage_hint,
        "trigger_phrase": job.dataset.trigger,
        "thumbnail": thumbnail,
        "date": datetime.datetime.now().isoformat(timespec="seconds"),
        "resolution": f"{job.dataset.resolution}x{job.dataset.resolution}",
        "prediction_type": prediction,
        "timestep_range": _timesteps(job.training),
        "encoder_layer": str(job.model.clip_skip) if "clip_skip" in family.capabilities else "",
    }
    return {f"modelspec.{name}": value for name, value in values.items() if value}


def _timesteps(training: Training) -> str:
    found = (training.min_timestep, training.max_timestep)
    return "" if found == _ALL_TIMESTEPS else f"{found[0]},{found[1]}"
