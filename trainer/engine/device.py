"""The device, the number formats on it, and what it cannot do."""

import dataclasses
import datetime
from collections.abc import Sequence

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list
from torch import nn

from trainer.job.settings import Training
from trainer.job.trouble import Trouble


@dataclasses.dataclass(frozen=True)
class Device:
    """Where and in what format the frozen base is kept; autocast and loss scaling are the accelerator's."""

    torch: torch.device
    dtype: torch.dtype
    accelerator: Accelerator

    @property
    def processes(self) -> int:
        """How many processes train together."""
        return self.accelerator.num_processes

    @property
    def process(self) -> int:
        """This process's number among them."""
        return self.accelerator.process_index

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and draws samples."""
        return self.accelerator.is_main_process

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Makes gradients the mean over all processes; adapters are small, so the model need not be wrapped."""
        if self.processes > 1:
            # A layer that CLIP skip leaves out has no gradient in any process.
            for parameter in (parameter for parameter in parameters if parameter.grad is not None):
                parameter.grad = self.accelerator.reduce(parameter.grad, reduction="mean")

    def clipped(self, parameters: Sequence[nn.Parameter], longest: float) -> float | None:
        """The length of the gradient, which afterwards is at most `longest` (0: no limit).

        None in fp16, where a gradient that is not finite is how the loss scaler finds its scale.
        """
        if longest:
            norm = self.accelerator.clip_grad_norm_(parameters, longest)
        elif not self.accelerator.scaler:
            norm = nn.utils.get_total_norm(parameter.grad for parameter in parameters if parameter.grad is not None)
        return None if self.accelerator.scaler else float(norm)

    def mean(self, here: float) -> float:
        """The mean of what the processes have, the same in all of them; each of them has to call this."""
        if self.processes == 1:
            return here
        return float(self.accelerator.reduce(torch.tensor(here, device=self.torch), reduction="mean"))

    def said_by_main(self, number: int) -> int:
        """The main process's `number`, a small whole one, in all of them; each of them has to call this."""
        if self.processes == 1:
            return number
        mine = torch.tensor(float(number if self.is_main else 0), device=self.torch)
        return int(self.accelerator.reduce(mine, reduction="sum"))

    @property
    def label(self) -> str:
        """What a person calls this device."""
        return torch.cuda.get_device_name(self.torch) if self.torch.type == "cuda" else self.torch.type


def pick(training: Training) -> Device:
    """The device to train on. Raises Trouble for a setting that it cannot do."""
    refuse(training, _processes().device.type)
    accelerator = Accelerator(cpu=_only_processors(), mixed_precision=training.precision)
    dtype = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[training.precision]
    return Device(accelerator.device, dtype, accelerator)


def said_by_first(text: str) -> str:
    """What the first of the processes that train together says; each of them has to call this."""
    _processes()
    return str(broadcast_object_list([text])[0])


def _processes() -> PartialState:
    # While the first one draws samples or is paused, the others wait for it; one that dies is seen by who began them.
    return PartialState(cpu=_only_processors(), timeout=datetime.timedelta(days=7))


def _only_processors() -> bool:
    # Unless told so, accelerate does not let several processes train together on processors.
    return not torch.cuda.is_available() and not torch.backends.mps.is_available()


def refuse(training: Training, kind: str) -> None:
    """Raises Trouble when a device of this kind (cpu, cuda, mps) cannot do what the settings ask for."""
    if kind == "cpu" and training.precision == "fp16":
        raise Trouble("device_fp16_cpu")
    if kind == "mps" and training.precision != "no":
        raise Trouble("device_mps", precision=training.precision)
    if kind == "cuda" and training.precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise Trouble("device_bf16_cuda")
