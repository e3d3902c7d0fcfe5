"""Every setting of a training, declared once.

A `Job` is frozen and complete: it is all that a training needs to know. Files, messages, forms, the command line's
`--set` and the table in the README derive from the declarations here (see fields.py). `knob` carries what a person
reads: title, help, unit, level (basic or advanced) and `needs`, the capability (facts.py) without which the setting
means nothing.
"""

import re
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from trainer.job.facts import ADAPTERS, FAMILIES
from trainer.job.optimizers import OPTIMIZERS
from trainer.job.prompts import read_prompt
from trainer.job.sentences import sentence
from trainer.job.words import say

VERSION: Literal[1] = 1


def knob(default: Any, title: str, help: str, **rules: Any) -> Any:
    """A pydantic field that also carries what a person reads of it.

    `rules` are `unit`, `level` (basic or advanced), `needs`, and pydantic's own (ge, le, …).
    """
    extra = {name: rules.pop(name, empty) for name, empty in (("unit", ""), ("level", "basic"), ("needs", ""))}
    return pydantic.Field(default, title=title, description=help, json_schema_extra=extra, **rules)


class OneOf:
    """The rule that a text is one of `choices`; upper and lower case do not matter when it is read."""

    def __init__(self, *choices: str) -> None:
        self.choices = choices

    def __get_pydantic_core_schema__(self, source: Any, handler: pydantic.GetCoreSchemaHandler) -> CoreSchema:
        """What pydantic asks an annotation for."""
        return core_schema.no_info_after_validator_function(self._found, handler(source))

    def _found(self, value: str) -> str:
        for choice in self.choices:
            if choice.lower() == value.lower():
                return choice
        raise PydanticCustomError("one_of", "one of {choices}", {"choices": ", ".join(self.choices)})


def fault(field: str, key: str, **values: object) -> PydanticCustomError:
    """An error to be shown at `field` of the same section; "" in the check of a single field."""
    return PydanticCustomError("fault", "{text}", {"field": field, "text": say(key, **values)})


class Section(pydantic.BaseModel):
    """A frozen group of settings that refuses unknown names."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, str_strip_whitespace=True)


class Model(Section):
    """What is trained upon."""

    family: Annotated[str, OneOf(*FAMILIES)] = knob("sd15", "Family", "The kind of base model.")
    base: str = knob(
        "starter",
        "Base model",
        "starter (comes with the program), a .safetensors file, a diffusers folder or a Hugging Face id (user/model).",
        min_length=1,
    )
    prediction: Annotated[str, OneOf("auto", "epsilon", "v")] = knob(
        "auto",
        "Prediction type",
        "What the base model predicts. auto reads it from the model; single files of SD 2.x 768 px models need v.",
        level="advanced",
        needs="prediction",
    )
    tokenizer: str = knob(
        "",
        "Tokenizer",
        "A folder or Hugging Face id. Only for single files without a network: a checkpoint file holds no tokenizer.",
        level="advanced",
    )
    clip_skip: int = knob(
        1,
        "CLIP skip",
        "Which layer of the text encoder is used, counted from the end. Anime models of SD 1.x often want 2.",
        level="advanced",
        needs="clip_skip",
        ge=1,
        le=12,
    )


class Dataset(Section):
    """What is learned."""

    folder: str = knob(
        "starter",
        "Pictures folder",
        "A folder that holds folders named like 25_cat (repeats, then words), or one such folder. "
        "starter is the example data set that comes with the program.",
        min_length=1,
    )
    resolution: int = knob(
        512,
        "Resolution",
        "Side of a square of the size trained at. Use the family's native size.",
        unit="px",
        ge=64,
        le=4096,
    )
    trigger: str = knob("", "Trigger words", "Put before every caption, so that these words call up what was learned.")
    default_repeats: int = knob(
        1,
        "Repeats of unnumbered folders",
        "How often a picture is used in an epoch when its folder's name does not start with a number.",
        level="advanced",
        ge=1,
        le=10_000,
    )
    shuffle_captions: bool = knob(
        False, "Shuffle tags", "Mix the comma-separated parts of a caption anew each time, so that order means nothing."
    )
    keep_tokens: int = knob(
        0,
        "Keep first tags",
        "How many tags at the start of a caption stay in place when tags are shuffled.",
        unit="tags",
        ge=0,
        le=75,
    )
    caption_dropout: float = knob(
        0.0,
        "Caption dropout",
        "Share of pictures shown without their caption, which makes guidance work better. 0.05 to 0.1 is common.",
        level="advanced",
        ge=0,
        le=1,
    )
    flip: bool = knob(
        False,
        "Mirror at random",
        "Show half of the pictures mirrored. Not for faces, letters and other one-sided things.",
        level="advanced",
    )
    buckets: bool = knob(
        True,
        "Aspect buckets",
        "Keep wide and tall pictures wide and tall. Off: everything is cropped to a square.",
        level="advanced",
    )
    upscale: bool = knob(
        False,
        "Enlarge small pictures",
        "Scale pictures up that are smaller than their bucket. Off is sharper.",
        level="advanced",
    )
    bucket_min_px: int = knob(
        256, "Smallest bucket side", "Shortest side a bucket may have.", unit="px", level="advanced", ge=64, le=4096
    )
    bucket_max_px: int = knob(
        2048, "Largest bucket side", "Longest side a bucket may have.", unit="px", level="advanced", ge=64, le=8192
    )
    bucket_step_px: int = knob(
        64,
        "Bucket step",
        "Bucket sides are multiples of this.",
        unit="px",
        level="advanced",
        ge=8,
        le=256,
        multiple_of=8,
    )
    transparency: Annotated[str, OneOf("white", "grey", "black")] = knob(
        "white", "Transparent areas become", "The colour put behind transparent pictures.", level="advanced"
    )
    broken_pictures: Annotated[str, OneOf("refuse", "skip")] = knob(
        "refuse",
        "Broken pictures",
        "refuse: do not start while a picture cannot be read. skip: train without it.",
        level="advanced",
    )
    cache_to_disk: bool = knob(
        True,
        "Keep encoded pictures",
        "Keep encoded pictures in a cache folder of the output folder, so that the next run starts sooner.",
        level="advanced",
    )

    @pydantic.model_validator(mode="after")
    def _bucket_order(self) -> Self:
        if self.bucket_max_px < self.bucket_min_px:
            raise fault(
                "bucket_max_px",
                "invalid",
                title="Largest bucket side",
                reason=say("bucket_order", limit=self.bucket_min_px),
            )
        return self


class Adapter(Section):
    """What is added to the base model and trained."""

    type: Annotated[str, OneOf(*ADAPTERS)] = knob(
        "lora", "Adapter", "What is trained. LoCon also learns textures and line work."
    )
    rank: int = knob(
        16, "Rank", "How much the adapter can hold. 8 to 32 suits most subjects; the file grows with it.", ge=1, le=1024
    )
    alpha: float = knob(
        16.0,
        "Alpha",
        "Strength of learning: the adapter is scaled by alpha / rank. Equal to the rank means a scale of 1.",
        gt=0,
        le=1024,
    )
    conv_rank: int = knob(
        8, "Convolution rank", "Rank of the 3 × 3 convolution layers.", needs="conv_rank", ge=1, le=1024
    )
    conv_alpha: float = knob(
        8.0, "Convolution alpha", "Alpha of the 3 × 3 convolution layers.", needs="conv_rank", gt=0, le=1024
    )
    dropout: float = knob(
        0.0,
        "Dropout",
        "Share of the adapter's inputs left out at each step, against overfitting.",
        level="advanced",
        ge=0,
        lt=1,
    )


class Training(Section):
    """How it is learned."""

    epochs: int = knob(10, "Epochs", "How many times everything is seen. 0 when Steps says how long.", ge=0, le=100_000)
    steps: int = knob(
        0, "Steps", "Length in optimizer steps instead of epochs. 0: Epochs says how long.", ge=0, le=10_000_000
    )
    batch_size: int = knob(
        1, "Batch size", "Pictures per step. More is steadier and needs more memory.", unit="pictures", ge=1, le=512
    )
    learning_rate: float = knob(
        1e-4, "Learning rate", "How far each step goes. 1e-4 suits AdamW at a scale (alpha / rank) of 1.", gt=0, le=10
    )
    optimizer: Annotated[str, OneOf(*OPTIMIZERS)] = knob(
        "AdamW",
        "Optimizer",
        "AdamW is the safe choice; AdamW8bit saves memory; Prodigy finds the learning rate itself (set it to 1).",
    )
    schedule: Annotated[str, OneOf("constant", "linear", "cosine", "cosine_with_restarts", "polynomial")] = knob(
        "cosine", "Schedule", "How the learning rate changes until the end."
    )
    warmup_percent: float = knob(
        0.0, "Warm-up", "Share of the steps in which the learning rate rises from 0.", unit="%", ge=0, le=90
    )
    text_encoder: bool = knob(
        True,
        "Train text encoder",
        "Also train how words are understood. Helps new words; forgets sooner.",
        needs="text_encoder",
    )
    text_encoder_learning_rate: float = knob(
        5e-5,
        "Text encoder learning rate",
        "Usually half of the learning rate or less.",
        needs="text_encoder",
        gt=0,
        le=10,
    )
    precision: Annotated[str, OneOf("no", "fp16", "bf16")] = knob(
        "no", "Mixed precision", "bf16 on an RTX 30 or newer, fp16 on older cards, no on a Mac or a CPU."
    )
    seed: int = knob(42, "Seed", "The same seed, settings and pictures give the same LoRA.", ge=0, le=2**32 - 1)
    optimizer_args: dict[str, bool | int | float | list[float]] = knob(
        {},
        "Optimizer settings",
        "Further settings of the optimizer as name=value, for example weight_decay=0.1.",
        level="advanced",
    )
    schedule_cycles: int = knob(1, "Restarts", "Cycles of cosine_with_restarts.", level="advanced", ge=1, le=1000)
    schedule_power: float = knob(
        1.0, "Power", "Exponent of the polynomial schedule; 1 is linear.", level="advanced", gt=0, le=10
    )
    gradient_accumulation: int = knob(
        1,
        "Gradient accumulation",
        "Batches that are added up to one step: a larger batch without more memory.",
        unit="batches",
        level="advanced",
        ge=1,
        le=1024,
    )
    gradient_checkpointing: bool = knob(
        False, "Gradient checkpointing", "Needs about half of the memory and a third more time.", level="advanced"
    )
    max_grad_norm: float = knob(
        1.0,
        "Gradient clipping",
        "Longest gradient that a step may follow. 0: no limit.",
        level="advanced",
        ge=0,
        le=1000,
    )
    min_snr_gamma: float = knob(
        0.0,
        "Min-SNR gamma",
        "Balances easy and hard noise levels; 5 is common, 0 is off.",
        level="advanced",
        needs="min_snr",
        ge=0,
        le=100,
    )
    noise_offset: float = knob(
        0.0,
        "Noise offset",
        "Lets very dark and very bright pictures be learned; 0.05 is common, 0 is off.",
        level="advanced",
        needs="noise_offset",
        ge=0,
        le=1,
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _steps_replace_default_epochs(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("steps") and "epochs" not in data:
            return {**data, "epochs": 0}
        return data

    @pydantic.model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs and self.steps:
            raise fault("steps", "both_lengths")
        if not self.epochs and not self.steps:
            raise fault("epochs", "no_length")
        return self

    @pydantic.model_validator(mode="after")
    def _one_learning_rate(self) -> Self:
        differ = self.text_encoder and self.text_encoder_learning_rate != self.learning_rate
        if differ and OPTIMIZERS[self.optimizer].one_learning_rate:
            raise fault("text_encoder_learning_rate", "one_learning_rate", value=self.learning_rate)
        return self

    @pydantic.model_validator(mode="after")
    def _optimizer_args(self) -> Self:
        cls = OPTIMIZERS[self.optimizer]
        for name in self.optimizer_args:
            if name not in cls.model_fields:
                raise fault(
                    "optimizer_args",
                    "optimizer_arg",
                    name=name,
                    optimizer=self.optimizer,
                    known=", ".join(cls.model_fields),
                )
        try:
            cls(**self.optimizer_args)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            raise fault("optimizer_args", "text", text=sentence(first, str(first["loc"][0]))) from error
        return self


class Samples(Section):
    """Pictures made while it learns."""

    prompts: list[str] = knob(
        [],
        "Prompts",
        "One a line. Options as in Kohya's scripts: --n negative prompt, --w width, --h height, --d seed, "
        "--l guidance, --s steps.",
    )
    every_epochs: int = knob(
        1, "Every n epochs", "How often samples are made. 0: never.", unit="epochs", ge=0, le=100_000
    )
    baseline: bool = knob(True, "Baseline", "Also before the first step, to see what the base model draws by itself.")
    negative: str = knob("", "Negative prompt", "What should not be in the samples.", needs="negative_prompt")
    steps: int = knob(20, "Sampling steps", "More is finer and slower.", ge=1, le=200)
    guidance: float = knob(7.0, "Guidance (CFG)", "How closely the prompt is followed.", ge=0, le=50)
    seed: int = knob(
        42, "Sample seed", "The first prompt's seed; the next prompts count on from it.", ge=0, le=2**32 - 1
    )
    sampler: Annotated[str, OneOf("ddim", "euler", "euler_a", "dpmpp_2m")] = knob(
        "dpmpp_2m", "Sampler", "How a picture is drawn from noise.", level="advanced"
    )
    width_px: int = knob(
        0, "Width", "0: the training resolution.", unit="px", level="advanced", ge=0, le=4096, multiple_of=8
    )
    height_px: int = knob(
        0, "Height", "0: the training resolution.", unit="px", level="advanced", ge=0, le=4096, multiple_of=8
    )

    @pydantic.field_validator("prompts", mode="before")
    @classmethod
    def _lines(cls, value: Any) -> Any:
        return value.splitlines() if isinstance(value, str) else value

    @pydantic.field_validator("prompts")
    @classmethod
    def _readable(cls, value: list[str]) -> list[str]:
        lines = [line for line in value if line.strip() and not line.startswith("#")]
        for number, line in enumerate(lines, 1):
            try:
                read_prompt(line)
            except ValueError as error:
                raise fault(
                    "", "invalid", title="Prompts", reason=say("bad_prompt", line=number, reason=error)
                ) from error
        return lines


class Output(Section):
    """Where it goes."""

    folder: str = knob("outputs", "Output folder", "Each run gets a folder of its own in here.", min_length=1)
    name: str = knob("my-lora", "Name", "Name of the run and of its files.", min_length=1, max_length=100)
    save_every_epochs: int = knob(
        1,
        "Save every n epochs",
        "How often a LoRA file is written. 0: only at the end.",
        unit="epochs",
        ge=0,
        le=100_000,
    )
    save_precision: Annotated[str, OneOf("fp16", "bf16", "fp32")] = knob(
        "fp16", "File precision", "fp16 is read everywhere and half as large as fp32.", level="advanced"
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


class Job(Section):
    """All settings of one training."""

    version: Literal[1] = VERSION
    model: Model = Model()
    dataset: Dataset = Dataset()
    adapter: Adapter = Adapter()
    training: Training = Training()
    samples: Samples = Samples()
    output: Output = Output()
