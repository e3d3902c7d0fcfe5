"""Whether bitsandbytes can be loaded, and takes a step with states in 8 bits on the device."""

import bitsandbytes
import torch

from trainer.doctor.probes.tell import tell
from trainer.job.trouble import first_line

_SIZE = 128
"""Smaller weights keep states of 32 bits (bitsandbytes: min_8bit_size is 4096)."""


def main() -> None:
    """Tells the version, the device and whether the step gave numbers."""
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    tell(version=bitsandbytes.__version__, kind=kind)
    try:
        tell(finite=_step(kind))
    except (RuntimeError, NotImplementedError, AttributeError, ValueError) as error:
        tell(problem=first_line(error))


def _step(kind: str) -> bool:
    weight = torch.nn.Parameter(torch.ones(_SIZE, _SIZE, device=kind))
    weight.square().sum().backward()
    bitsandbytes.optim.AdamW8bit([weight], lr=0.1).step()
    return bool(torch.isfinite(weight).all()) and bool((weight < 1).all())


if __name__ == "__main__":
    main()
