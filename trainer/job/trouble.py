"""Errors that a person can do something about."""

import errno
from collections.abc import Mapping
from typing import Literal, NamedTuple

from trainer.job.words import say

Action = Literal["", "resume_slower", "show_settings", "show_dataset", "open_doctor"]


class Remedy(NamedTuple):
    """What a program that shows an error can offer; `target` is the path of a setting or of a file, "" for none.

    Of the doctor it is "network" where the hub is to be asked too.
    """

    action: Action = ""
    target: str = ""


NO_REMEDY = Remedy()
REMEDIES: Mapping[str, Remedy] = {
    "clip_skip_deep": Remedy("show_settings", "model.clip_skip"),
    "data_problems": Remedy("show_dataset"),
    "device_bf16_cuda": Remedy("show_settings", "training.precision"),
    "device_fp16_cpu": Remedy("show_settings", "training.precision"),
    "device_mps": Remedy("show_settings", "training.precision"),
    "disk": Remedy("show_settings", "output.folder"),
    "hub_gated": Remedy("show_settings", "model.base"),
    "hub_incomplete": Remedy("show_settings", "model.base"),
    "hub_no_file": Remedy("show_settings", "model.base"),
    "hub_no_model": Remedy("show_settings", "model.base"),
    "hub_no_vae": Remedy("show_settings", "model.vae"),
    "hub_not_found": Remedy("show_settings", "model.base"),
    "hub_offline": Remedy("show_settings", "model.base"),
    "hub_other_kind": Remedy("show_settings", "model.base"),
    "hub_refused": Remedy("show_settings", "model.base"),
    "hub_several": Remedy("show_settings", "model.base"),
    "hub_unreachable": Remedy("open_doctor", "network"),
    "lora_unusable": Remedy("show_settings", "adapter.start_from"),
    "loss_needs_epsilon": Remedy("show_settings", "training.v_prediction_like_loss"),
    "loss_needs_v": Remedy("show_settings", "training.scale_v_prediction_loss"),
    "loss_not_finite": Remedy("resume_slower", "training.learning_rate"),
    "model_load": Remedy("show_settings", "model.base"),
    "model_gone": Remedy("show_settings", "model.base"),
    "no_layers": Remedy("show_settings", "adapter.block_ranks"),
    "no_locks": Remedy("show_settings", "output.folder"),
    "out_of_memory": Remedy("show_settings", "training.batch_size"),
    "base_not_finite": Remedy("show_settings", "training.precision"),
    "caption_not_finite": Remedy("show_settings", "training.precision"),
    "out_of_memory_caching": Remedy("show_settings", "dataset.resolution"),
    "out_of_memory_after_all": Remedy("show_settings", "dataset.resolution"),
    "picture_broken": Remedy("show_dataset"),
    "picture_overflows": Remedy("show_dataset"),
    "picture_not_finite": Remedy("show_settings", "model.vae_precision"),
    "rate_too_high": Remedy("resume_slower", "training.learning_rate"),
    "schedule_unknown": Remedy("show_settings", "model.base"),
    "state_other_optimizer": Remedy("show_settings", "training.optimizer"),
    "tokenizer_missing": Remedy("show_settings", "model.tokenizer"),
    "trainer_silent": Remedy("open_doctor"),
    "unexpected": Remedy("open_doctor"),
    "vae_not_finite": Remedy("show_settings", "model.vae_precision"),
    "vae_load": Remedy("show_settings", "model.vae"),
    "zero_snr_needs_v": Remedy("show_settings", "model.zero_terminal_snr"),
}
"""What helps against which trouble, where more than resuming does."""

# Of a card, of its libraries, of Apple's graphics ("MPS backend out of memory") and of a processor, from torch.
_OUT_OF_MEMORY = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "can't allocate memory",
    "not enough memory",
)


class Trouble(Exception):
    """What happened and what to do about it, from the sentences `key` and `key_advice`.

    `target` is the file or setting at fault where the remedy for `key` leaves that open.
    """

    def __init__(self, key: str, *, target: object = "", **values: object) -> None:
        self.key = key
        self.reason = say(key, **values)
        self.advice = say(f"{key}_advice", **values)
        usual = REMEDIES.get(key, NO_REMEDY)
        self.remedy = Remedy(usual.action, str(target) or usual.target)
        super().__init__(f"{self.reason} {self.advice}")


class Refused(Exception):
    """What cannot be done with a file, why, and what to do instead: the one sentence `key`."""

    def __init__(self, key: str, **values: object) -> None:
        self.key = key
        super().__init__(say(key, **values))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory of the device, or of the machine, did not suffice."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if isinstance(error, Trouble | OSError):
        return False
    # torch is not imported here: its OutOfMemoryError is known by its name.
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return named or any(sign in first_line(error) for sign in _OUT_OF_MEMORY)


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
