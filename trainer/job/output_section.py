"""The settings of the section `output`: where files go, how they are stored, and what they say of themselves."""

import re
from typing import Annotated

import pydantic

from trainer.job.knobs import OneOf, Section, fault, knob
from trainer.job.words import say


class Output(Section):
    """Where it goes, and what the files say of themselves."""

    folder: str = knob("outputs", "Output folder", "Each run gets a folder of its own in here.", min_length=1)
    name: str = knob("my-lora", "Name", "Name of the run and of its files.", min_length=1, max_length=100)
    save_every_epochs: int = knob(
        1,
        "Save every n epochs",
        "How often a LoRA file is written. 0: not after epochs, but at the end.",
        unit="epochs",
        ge=0,
        le=100_000,
    )
    save_every_steps: int = knob(
        0,
        "Save every n steps",
        "Also write a LoRA file after every so many steps, for long epochs. 0: only after epochs.",
        unit="steps",
        level="advanced",
        ge=0,
        le=10_000_000,
    )
    save_state_every_minutes: float = knob(
        5.0,
        "Save state every n minutes",
        "How much time a power cut or a crash can cost: from the state a run is resumed as if nothing had happened. It "
        "is also saved after every epoch and when it is stopped, but never so often that it takes over 2 % of the "
        "time. 0: only then.",
        unit="minutes",
        level="advanced",
        ge=0,
        le=10_000,
    )
    save_precision: Annotated[str, OneOf("fp16", "bf16", "fp32")] = knob(
        "fp16", "File precision", "fp16 is read everywhere and half as large as fp32.", level="advanced"
    )
    title: str = knob("", "Title", "What programs call the LoRA. Empty: its name.", level="advanced", max_length=200)
    author: str = knob(
        "", "Author", "Who made it. Stands in the file for all to read.", level="advanced", max_length=200
    )
    license: str = knob(
        "", "Licence", "What others may do with it, for example CC-BY-4.0.", level="advanced", max_length=200
    )
    description: str = knob(
        "", "Description", "What it is; also shown as the file's comment.", level="advanced", max_length=2000
    )
    tags: str = knob("", "Tags", "Words to find it by, separated by commas.", level="advanced", max_length=500)
    usage_hint: str = knob(
        "", "Usage hint", "How it is used best, for example at which strength.", level="advanced", max_length=500
    )
    thumbnail: bool = knob(
        False,
        "Thumbnail",
        "Put a small copy of the newest sample of the first prompt into the file. Where both are due, samples are then "
        "drawn before the file is written.",
        level="advanced",
    )

    @pydantic.field_validator("name")
    @classmethod
    def _plain_file_name(cls, value: str) -> str:
        if re.search(r'[/\\:*?"<>|\x00-\x1f]', value) or value.strip(". ") != value:
            raise fault("", "invalid", title="Name", reason=say("bad_name"))
        # Of the 255 bytes of a file name, 55 are left for epoch, prompt and seed; a Japanese sign takes three.
        if len(value.encode()) > 200:
            raise fault("", "invalid", title="Name", reason=say("long_name"))
        return value
