"""Every setting of a training, declared once.

A `Job` is frozen and complete: it is all that a training needs to know. Files, messages, forms, the command line's
`--set` and the table in the README derive from the declarations here (see fields.py). The longer sections
have files of their own.
"""

import math
from typing import Annotated, Any, Literal, Self

import pydantic

from trainer.job.blocks import check_length
from trainer.job.dataset_section import Dataset
from trainer.job.facts import ADAPTERS, FAMILIES
from trainer.job.knobs import Numbers, OneOf, Section, fault, knob
from trainer.job.lora_files import weighted
from trainer.job.optimizers import OPTIMIZERS
from trainer.job.output_section import Output
from trainer.job.prompts import read_prompt
from trainer.job.training_section import Training
from trainer.job.words import say

__all__ = ["VERSION", "Adapter", "Dataset", "Job", "Model", "OneOf", "Output", "Samples", "Section", "Training"]

VERSION: Literal[1] = 1


class Model(Section):
    """What is trained upon."""

    family: Annotated[str, OneOf(*FAMILIES)] = knob("sd15", "Family", "The kind of base model.")
    base: str = knob(
        "starter",
        "Base model",
        "starter (comes with the program), a .safetensors file, a diffusers folder or a Hugging Face id "
        "(user/model, or user/model/file.safetensors).",
        min_length=1,
    )
    prediction: Annotated[str, OneOf("auto", "epsilon", "v")] = knob(
        "auto",
        "Prediction type",
        "What the base model predicts. auto reads it from the model; of a single SD 2.x file it is a good guess.",
        level="advanced",
        needs="prediction",
    )
    zero_terminal_snr: Annotated[str, OneOf("auto", "on", "off")] = knob(
        "auto",
        "Zero terminal SNR",
        "Whether the noise at the last time step leaves nothing of the picture, as some v-prediction models were "
        "trained. auto reads it from the model.",
        level="advanced",
        needs="prediction",
    )
    vae: str = knob(
        "",
        "VAE",
        "What encodes the pictures in place of the model's own: a .safetensors file, a diffusers folder or a Hugging "
        "Face id. Empty: the model's own.",
        level="advanced",
        needs="vae",
    )
    vae_precision: Annotated[str, OneOf("fp32", "bf16")] = knob(
        "fp32",
        "VAE precision",
        "bf16 saves memory and loses a little detail. There is no fp16, in which SDXL's VAE overflows and draws black.",
        level="advanced",
        needs="vae",
    )
    tokenizer: str = knob(
        "",
        "Tokenizer",
        "For single files, which hold none. Empty: CLIP's own, which comes with the program. Else a folder or hub id.",
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
    base_loras: list[str] = knob(
        [],
        "LoRAs in the base model",
        "LoRA files that are merged into the base model before the training, one a line, with a weight where it is not "
        "1: style.safetensors=0.8. What they do does not become part of your LoRA: draw with both.",
        level="advanced",
    )

    @pydantic.field_validator("base_loras", mode="before")
    @classmethod
    def _lines(cls, value: Any) -> Any:
        return value.splitlines() if isinstance(value, str) else value

    @pydantic.field_validator("base_loras")
    @classmethod
    def _weighted(cls, value: list[str]) -> list[str]:
        lines = [line.strip() for line in value if line.strip()]
        for line in lines:
            if not math.isfinite(weighted(line)[1]):
                raise fault("", "bad_weight", text=line)
        return lines


class Adapter(Section):
    """What is added to the base model and trained."""

    type: Annotated[str, OneOf(*ADAPTERS)] = knob(
        "lora",
        "Adapter",
        "What is trained. LoCon also learns textures and line work. LoHa and LoKr say more with fewer numbers, but "
        "only ComfyUI, Forge and A1111 read their files.",
    )
    targets: Annotated[str, OneOf("auto", "attention", "attention_mlp", "linear", "convolutions")] = knob(
        "auto",
        "Adapted layers",
        "attention alone · with the layers between (MLP) · all linear layers · with convolutions too. auto: linear for "
        "LoRA, convolutions for the others.",
        level="advanced",
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
    factor: int = knob(
        -1,
        "Factor",
        "LoKr: how large the smaller of its two matrices is. A higher one makes a smaller file; -1 makes the smallest.",
        level="advanced",
        needs="factor",
        ge=-1,
        le=64,
    )
    full_matrix: bool = knob(
        False,
        "Full matrix",
        "LoKr: the larger matrix is kept whole, whatever the rank; rank and alpha then mean nothing.",
        level="advanced",
        needs="factor",
    )
    rank_stabilised: bool = knob(
        False,
        "Rank-stabilised",
        "Scale by alpha / √rank, so that a high rank learns as strongly as a low one (rsLoRA). The file works "
        "everywhere.",
        level="advanced",
    )
    decompose: bool = knob(
        False,
        "Decompose weights (DoRA)",
        "Also learn how strong each input of a layer is, apart from its direction. Only ComfyUI, Forge and A1111 from "
        "1.9 on read it; the others leave the strengths out, so that pictures differ.",
        level="advanced",
    )
    dropout: float = knob(
        0.0,
        "Dropout",
        "Share of the adapter's inputs left out at each step, against overfitting.",
        level="advanced",
        ge=0,
        lt=1,
    )
    rank_dropout: float = knob(
        0.0,
        "Rank dropout",
        "Share of the ranks left out at each step (LoHa, LoKr, DoRA: of a layer's outputs); the rest counts for more.",
        level="advanced",
        ge=0,
        lt=1,
    )
    module_dropout: float = knob(
        0.0,
        "Module dropout",
        "How likely each adapted layer is left out of a step.",
        level="advanced",
        ge=0,
        lt=1,
    )
    start_from: str = knob(
        "",
        "Start from",
        "A LoRA file whose changes are the adapter's first values, of any rank. Empty: it starts by changing nothing.",
        level="advanced",
    )
    max_norm: float = knob(
        0.0,
        "Max norm",
        "After each step every layer is scaled down to at most this strength, against overfitting; 1 is common, 0 is "
        "off.",
        level="advanced",
        ge=0,
        le=1000,
    )
    block_ranks: Annotated[list[Annotated[int, pydantic.Field(ge=0, le=1024)]], Numbers] = knob(
        [],
        "Rank per block",
        "Ranks of the UNet's blocks instead of Rank: 3 numbers for down, mid and up, or as many as Kohya's scripts "
        "count blocks (25; SDXL: 23). A block of rank 0 is not trained. Empty: off.",
        level="advanced",
    )
    block_alphas: Annotated[list[Annotated[float, pydantic.Field(ge=0, le=1024)]], Numbers] = knob(
        [],
        "Alpha per block",
        "Alphas of the UNet's blocks instead of Alpha, in the same form. Empty: off.",
        level="advanced",
    )

    @pydantic.model_validator(mode="after")
    def _alphas_of_trained_blocks(self) -> Self:
        if any(alpha == 0 for alpha in self.block_alphas):
            ranks = (
                self.block_ranks if len(self.block_ranks) == len(self.block_alphas) else [1] * len(self.block_alphas)
            )
            if any(rank and not alpha for rank, alpha in zip(ranks, self.block_alphas, strict=True)):
                raise fault("block_alphas", "block_alpha_zero")
        return self

    @pydantic.model_validator(mode="after")
    def _convolutions_have_a_rank(self) -> Self:
        if self.targets == "convolutions" and "conv_rank" not in ADAPTERS[self.type].capabilities:
            raise fault("targets", "lora_has_no_convolutions")
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
        1, "Every n epochs", "How often samples are made. 0: not after epochs.", unit="epochs", ge=0, le=100_000
    )
    every_steps: int = knob(
        0,
        "Every n steps",
        "Also make samples after every so many steps, for long epochs. 0: only after epochs.",
        unit="steps",
        level="advanced",
        ge=0,
        le=10_000_000,
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


class Job(Section):
    """All settings of one training."""

    version: Literal[1] = VERSION
    model: Model = Model()
    dataset: Dataset = Dataset()
    adapter: Adapter = Adapter()
    training: Training = Training()
    samples: Samples = Samples()
    output: Output = Output()

    @pydantic.model_validator(mode="after")
    def _as_many_as_blocks(self) -> Self:
        lists = {"adapter": ("block_ranks", "block_alphas"), "training": ("block_learning_rates",)}
        for section, name in ((section, name) for section, names in lists.items() for name in names):
            part = getattr(self, section)
            title = str(type(part).model_fields[name].title)
            check_length(f"{section}.{name}", title, getattr(part, name), self.model.family)
        return self

    @pydantic.model_validator(mode="after")
    def _limit_what_is_no_average(self) -> Self:
        if self.adapter.max_norm and OPTIMIZERS[self.training.optimizer].averages:
            raise fault("adapter.max_norm", "no_max_norm", optimizer=self.training.optimizer)
        return self

    @pydantic.model_validator(mode="after")
    def _loss_of_the_prediction(self) -> Self:
        # Where the model itself says what it predicts, its family checks the same once it is loaded.
        if self.training.v_prediction_like_loss and self.model.prediction == "v":
            raise fault("training.v_prediction_like_loss", "loss_needs_epsilon")
        if self.training.scale_v_prediction_loss and self.model.prediction == "epsilon":
            raise fault("training.scale_v_prediction_loss", "loss_needs_v")
        if self.model.zero_terminal_snr == "on" and self.model.prediction == "epsilon":
            raise fault("model.zero_terminal_snr", "zero_snr_needs_v")
        return self
