"""Errors that a person can do something about."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from trainer.job.words import say

ActionWord = Literal["", "resume_slower", "show_settings", "show_dataset", "open_doctor"]


class Action(NamedTuple):
    """What a program that shows an error can offer; `target` is the path of a setting or of a file, "" for none."""

    word: ActionWord = ""
    target: str = ""


NO_ACTION = Action()
ACTIONS: Mapping[str, Action] = {
    "clip_skip_deep": Action("show_settings", "model.clip_skip"),
    "data_problems": Action("show_dataset"),
    "device_bf16_cuda": Action("show_settings", "training.precision"),
    "device_fp16_cpu": Action("show_settings", "training.precision"),
    "device_mps": Action("show_settings", "training.precision"),
    "device_optimizer": Action("show_settings", "training.optimizer"),
    "disk": Action("show_settings", "output.folder"),
    "hub_gated": Action("show_settings", "model.base"),
    "hub_incomplete": Action("show_settings", "model.base"),
    "hub_no_file": Action("show_settings", "model.base"),
    "hub_no_model": Action("show_settings", "model.base"),
    "hub_no_vae": Action("show_settings", "model.vae"),
    "hub_not_found": Action("show_settings", "model.base"),
    "hub_offline": Action("show_settings", "model.base"),
    "hub_other_kind": Action("show_settings", "model.base"),
    "hub_refused": Action("show_settings", "model.base"),
    "hub_several": Action("show_settings", "model.base"),
    "hub_unreachable": Action("open_doctor"),
    "lora_unusable": Action("show_settings", "adapter.start_from"),
    "loss_needs_epsilon": Action("show_settings", "training.v_prediction_like_loss"),
    "loss_needs_v": Action("show_settings", "training.scale_v_prediction_loss"),
    "loss_not_finite": Action("resume_slower", "training.learning_rate"),
    "model_load": Action("show_settings", "model.base"),
    "no_layers": Action("show_settings", "adapter.block_ranks"),
    "out_of_memory": Action("show_settings", "training.batch_size"),
    "picture_broken": Action("show_dataset"),
    "schedule_unknown": Action("show_settings", "model.base"),
    "tokenizer_missing": Action("show_settings", "model.tokenizer"),
    "trainer_silent": Action("open_doctor"),
    "unexpected": Action("open_doctor"),
    "vae_load": Action("show_settings", "model.vae"),
    "zero_snr_needs_v": Action("show_settings", "model.zero_terminal_snr"),
}
"""What helps against which trouble, where more than resuming does."""


class Trouble(Exception):
    """What happened and what to do about it, from the sentences `key` and `key_advice`.

    `target` is the file or setting at fault where the action of `key` leaves that open.
    """

    def __init__(self, key: str, *, target: object = "", **values: object) -> None:
        self.key = key
        self.reason = say(key, **values)
        self.advice = say(f"{key}_advice", **values)
        action = ACTIONS.get(key, NO_ACTION)
        self.action = Action(action.word, str(target) or action.target)
        super().__init__(f"{self.reason} {self.advice}")


class Refused(Exception):
    """What cannot be done with a file, why, and what to do instead: the one sentence `key`."""

    def __init__(self, key: str, **values: object) -> None:
        self.key = key
        super().__init__(say(key, **values))
