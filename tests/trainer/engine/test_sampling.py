"""What is asked for, and what a sample's PNG says of itself."""

import io
import json

from PIL import Image

from trainer.engine.sampling import png, requests
from trainer.job.fields import parse
from trainer.job.settings import Job


def job() -> Job:
    prompts = ["a cat", "猫 --n 犬 --w 96 --h 128 --d 7 --l 3.5 --s 9", "a dog"]
    return parse({"samples": {"prompts": prompts, "negative": "blurry", "guidance": 5}, "dataset": {"resolution": 100}})


def test_a_line_overrides_the_settings_and_every_prompt_has_a_seed_of_its_own() -> None:
    first, second, third = requests(job())
    assert (first.text, first.negative, first.width_px, first.height_px) == ("a cat", "blurry", 96, 96)
    assert (first.seed, second.seed, third.seed) == (42, 7, 44)
    assert (second.negative, second.width_px, second.height_px, second.guidance, second.steps) == (
        "犬",
        96,
        128,
        3.5,
        9,
    )
    assert requests(job()) == [first, second, third]


def test_a_png_says_how_it_was_made() -> None:
    request = requests(job())[1]
    data = png(Image.new("RGB", (96, 128), "red"), request, job(), {"epoch": 3, "step": 60})
    with Image.open(io.BytesIO(data)) as picture:
        texts = picture.text  # type: ignore[attr-defined]
    assert texts["parameters"].startswith(
        "猫\nNegative prompt: 犬\nSteps: 9, Sampler: DPM++ 2M, CFG scale: 3.5, Seed: 7, Size: 96x128"
    )
    about = json.loads(texts["lora_atelier"])
    assert (about["epoch"], about["step"], about["request"]["seed"]) == (3, 60, 7)
    assert Job.model_validate(about["job"]) == job()
