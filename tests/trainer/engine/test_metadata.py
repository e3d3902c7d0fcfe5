"""What a file says of itself, in the words that Kohya's scripts use and other programs look for."""

import pytest

from trainer.adapters.base import Injected
from trainer.dataset.plan import make_plan
from trainer.dataset.scan import scan
from trainer.engine.metadata import About, metadata
from trainer.engine.sampling import Moment
from trainer.job.fields import parse


def said(prediction: str, **model: object) -> dict[str, str]:
    job = parse({"model": model})
    about = About(job, scan(job.dataset), make_plan(job), prediction, 0.0)
    return metadata(about, Injected({}, {}), Moment(1, 2))


@pytest.mark.parametrize(
    ("family", "prediction", "version", "architecture"),
    [
        ("sd15", "epsilon", "sd_v1", "stable-diffusion-v1/lora"),
        ("sd15", "v", "sd_v1_v", "stable-diffusion-v1/lora"),
        ("sd2", "epsilon", "sd_v2", "stable-diffusion-v2-512/lora"),
        ("sd2", "v", "sd_v2_v", "stable-diffusion-v2-768-v/lora"),
    ],
)
def test_the_kind_of_base_model_is_named_as_kohyas_scripts_do(
    family: str, prediction: str, version: str, architecture: str
) -> None:
    values = said(prediction, family=family)
    found = [values[key] for key in ("ss_base_model_version", "modelspec.architecture", "modelspec.prediction_type")]
    assert found == [version, architecture, prediction]
    assert values["ss_v2"] == str(family == "sd2")


@pytest.mark.parametrize(("family", "skip"), [("sd15", "2"), ("sd2", "None")])
def test_clip_skip_is_named_only_where_it_was_used(family: str, skip: str) -> None:
    assert said("epsilon", family=family, clip_skip=2)["ss_clip_skip"] == skip
