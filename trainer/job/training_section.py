"""The settings of the section `training`: how long, by which optimizer, from what noise and towards which loss."""

from typing import Annotated, Any, Self

import pydantic

from trainer.job.knobs import Numbers, OneOf, Section, fault, knob
from trainer.job.optimizers import OPTIMIZERS
from trainer.job.sentences import sentence

SCHEDULES = (
    "constant",
    "linear",
    "cosine",
    "cosine_with_restarts",
    "cosine_with_min_lr",
    "cosine_annealing",
    "polynomial",
    "inverse_sqrt",
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
    schedule: Annotated[str, OneOf(*SCHEDULES)] = knob(
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
    text_encoder_2_learning_rate: float = knob(
        0.0,
        "Second text encoder learning rate",
        "0: the same as that of the first.",
        level="advanced",
        needs="text_encoder_2",
        ge=0,
        le=10,
    )
    block_learning_rates: Annotated[list[Annotated[float, pydantic.Field(ge=0, le=1000)]], Numbers] = knob(
        [],
        "Learning rate per block",
        "What the learning rate is multiplied by in the UNet's blocks: 3 numbers for down, mid and up, or as many as "
        "Kohya's scripts count blocks (25; SDXL: 23). A block at 0 is not trained. Empty: off.",
        level="advanced",
    )
    loraplus_ratio: float = knob(
        0.0,
        "LoRA+ ratio",
        "The half of the adapter that begins at zero learns this many times faster; 16 is common. 0: off.",
        level="advanced",
        ge=0,
        le=1000,
    )
    loraplus_text_encoder_ratio: float = knob(
        0.0,
        "LoRA+ ratio of the text encoder",
        "The same for the text encoder. 0: as LoRA+ ratio; 1: no LoRA+ in the text encoder.",
        level="advanced",
        needs="text_encoder",
        ge=0,
        le=1000,
    )
    precision: Annotated[str, OneOf("no", "fp16", "bf16")] = knob(
        "no", "Mixed precision", "bf16 on an RTX 30 or newer, fp16 on older cards, no on a Mac or a CPU."
    )
    seed: int = knob(42, "Seed", "The same seed, settings and pictures give the same LoRA.", ge=0, le=2**32 - 1)
    warmup_steps: int = knob(
        0,
        "Warm-up steps",
        "Length of the warm-up in steps instead of as a share. 0: Warm-up says how long.",
        unit="steps",
        level="advanced",
        ge=0,
        le=10_000_000,
    )
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
    schedule_min_ratio: float = knob(
        0.1,
        "Least learning rate",
        "Where cosine_with_min_lr ends and cosine_annealing turns, as a share of the learning rate.",
        level="advanced",
        ge=0,
        le=1,
    )
    schedule_period_steps: int = knob(
        0,
        "Falling steps",
        "Steps in which cosine_annealing falls before it rises for as many, and so on. 0: until the end.",
        unit="steps",
        level="advanced",
        ge=0,
        le=10_000_000,
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
    caption_tokens: int = knob(
        75,
        "Caption length",
        "How much of a caption is read: 75, 150 or 225 tokens (a token is a short word or a part of one), every 75 "
        "apart, as programs do with long prompts.",
        unit="tokens",
        level="advanced",
        needs="text_encoder",
        ge=75,
        le=225,
        multiple_of=75,
    )
    prior_loss_weight: float = knob(
        1.0,
        "Regularisation weight",
        "How much the pictures of the regularisation folder count beside yours.",
        level="advanced",
        ge=0,
        le=100,
    )
    loss: Annotated[str, OneOf("l2", "l1", "huber", "smooth_l1")] = knob(
        "l2",
        "Loss",
        "How errors are measured. huber and smooth_l1 let single large errors, as from flawed pictures, count less.",
        level="advanced",
    )
    huber_c: float = knob(
        0.1,
        "Huber c",
        "From about which error on huber and smooth_l1 count it less; smaller is closer to l1. With a schedule, "
        "the value at the strongest noise.",
        level="advanced",
        gt=0,
        le=1,
    )
    huber_schedule: Annotated[str, OneOf("constant", "exponential", "snr")] = knob(
        "snr",
        "Huber schedule",
        "How Huber c changes with the noise: exponential and snr begin near 1 where there is little noise.",
        level="advanced",
        needs="min_snr",
    )
    huber_scale: float = knob(
        1.0,
        "Huber scale",
        "Huber c is multiplied by this under the constant and the exponential schedule.",
        level="advanced",
        gt=0,
        le=10,
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
    debiased_estimation: bool = knob(
        False,
        "Debiased estimation",
        "Weighs strong noise, where the composition is decided, more than light noise.",
        level="advanced",
        needs="min_snr",
    )
    scale_v_prediction_loss: bool = knob(
        False,
        "Scale v-prediction loss",
        "Weighs noise levels of a v-prediction model as those of an epsilon model are.",
        level="advanced",
        needs="prediction",
    )
    v_prediction_like_loss: float = knob(
        0.0,
        "V-prediction-like loss",
        "Adds this much of the weights of a v-prediction model to the loss of an epsilon model; 0 is off.",
        level="advanced",
        needs="prediction",
        ge=0,
        le=1,
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
    noise_offset_random: bool = knob(
        False,
        "Random noise offset",
        "Draw the strength of the noise offset anew for each batch, between 0 and Noise offset.",
        level="advanced",
        needs="noise_offset",
    )
    adaptive_noise_scale: float = knob(
        0.0,
        "Adaptive noise scale",
        "Adds to the noise offset in proportion to how far a picture's mean is from grey. Negative: takes away.",
        level="advanced",
        needs="noise_offset",
        ge=-1,
        le=1,
    )
    multires_noise_levels: int = knob(
        0,
        "Multires noise levels",
        "Adds noise of this many coarser sizes, so that dark and bright areas are learned; 6 is common, 0 is off.",
        level="advanced",
        needs="noise_offset",
        ge=0,
        le=64,
    )
    multires_noise_discount: float = knob(
        0.3,
        "Multires noise discount",
        "How much each coarser size counts beside the one before. 0.1 to 0.3 suits LoRAs.",
        level="advanced",
        needs="noise_offset",
        ge=0,
        le=1,
    )
    input_perturbation: float = knob(
        0.0,
        "Input perturbation",
        "Shows pictures a little noisier than said, as they are while sampling; 0.1 is common, 0 is off.",
        level="advanced",
        needs="noise_offset",
        ge=0,
        le=1,
    )
    input_perturbation_random: bool = knob(
        False,
        "Random input perturbation",
        "Draw its strength anew for each batch, between 0 and Input perturbation.",
        level="advanced",
        needs="noise_offset",
    )
    min_timestep: int = knob(
        0,
        "Least time step",
        "Train only from this time step on: 0 is no noise, 1000 all noise.",
        level="advanced",
        needs="min_snr",
        ge=0,
        le=1000,
    )
    max_timestep: int = knob(
        1000,
        "Greatest time step",
        "Train only below this time step. Low ones are details, high ones composition and colour.",
        level="advanced",
        needs="min_snr",
        ge=0,
        le=1000,
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
        one = self.text_encoder and OPTIMIZERS[self.optimizer].one_learning_rate
        for name in ("text_encoder_learning_rate", "text_encoder_2_learning_rate") if one else ():
            if getattr(self, name) not in (self.learning_rate, 0):
                raise fault(name, "one_learning_rate", optimizer=self.optimizer, value=self.learning_rate)
        return self

    @pydantic.model_validator(mode="after")
    def _one_rate_for_all_parts(self) -> Self:
        if not OPTIMIZERS[self.optimizer].one_learning_rate:
            return self
        if any(rate not in (0, 1) for rate in self.block_learning_rates):
            raise fault("block_learning_rates", "one_block_rate", optimizer=self.optimizer)
        for name in ("loraplus_ratio", "loraplus_text_encoder_ratio"):
            if getattr(self, name) not in (0, 1):
                raise fault(name, "no_loraplus", optimizer=self.optimizer)
        return self

    @pydantic.model_validator(mode="after")
    def _one_warmup(self) -> Self:
        if self.warmup_percent and self.warmup_steps:
            raise fault("warmup_steps", "both_warmups")
        return self

    @pydantic.model_validator(mode="after")
    def _some_timesteps(self) -> Self:
        if self.max_timestep <= self.min_timestep:
            raise fault("max_timestep", "no_timesteps", least=self.min_timestep)
        return self

    @pydantic.model_validator(mode="after")
    def _no_schedule(self) -> Self:
        if OPTIMIZERS[self.optimizer].averages and self.schedule != "constant":
            raise fault("schedule", "schedule_free", optimizer=self.optimizer)
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
