"""What saving the state costs: `python -m tests.trainer.cost_of_state [FOLDER]`, the folder being on the disk meant.

First the starter's own training, of which the seconds that went into saving are added up; then a state as large as that
of a LoRA of rank 32 on Stable Diffusion XL with AdamW, full of random numbers, saved as a training does it every five
minutes. Nothing here is a test: a disk is as fast as it is.
"""

import pathlib
import statistics
import sys
import tempfile
import time
from types import SimpleNamespace
from typing import Any

import torch

from tests.trainer import cost
from trainer.engine import checkpoint, loop
from trainer.engine.checkpoint import Learner, Progress
from trainer.job import presets
from trainer.job.fields import parse
from trainer.job.settings import Job
from trainer.run import events, folder

SAVES = 5


def main() -> None:
    """Prints both."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as place:
        print(of_starter(pathlib.Path(place)))
        print(of_sdxl(pathlib.Path(place)))


def of_starter(place: pathlib.Path) -> str:
    """How much of the starter's training goes into saving."""
    job = presets.read(presets.PRESETS / "sd15" / "starter.json").job
    run, spent, took, save = folder.create(place, "starter"), list[float](), list[float](), checkpoint.save

    def timed(*given: Any) -> None:
        began = time.monotonic()
        save(*given)
        spent.append(time.monotonic() - began)

    def tell(event: events.Event) -> None:
        if isinstance(event, events.Finished):
            took.append(event.training_s)

    checkpoint.save = timed
    try:
        loop.train(job, run, tell)
    finally:
        checkpoint.save = save
    kib = (run.state / "resume.pt").stat().st_size / 1024
    return (
        f"starter: {len(spent)} states of {kib:.0f} KiB in {sum(spent):.2f} s of {took[0]:.1f} s: "
        f"{100 * sum(spent) / took[0]:.3f} %"
    )


def of_sdxl(place: pathlib.Path) -> str:
    """How long one state takes at a real size, as a share of the time between two."""
    job: Job = parse({"model": {"family": "sdxl"}, "adapter": {"rank": 32}, "training": {"text_encoder": False}})
    count = cost.file_bytes(job, cost.models("sdxl")) // 2
    learned = [torch.nn.Parameter(torch.randn(part)) for part in [2**20] * (count // 2**20) + [count % 2**20]]
    optimizer = torch.optim.AdamW(learned)
    for parameter in learned:
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    injected = SimpleNamespace(tensors=lambda: {str(number): tensor for number, tensor in enumerate(learned)})
    run, took = folder.create(place, "sdxl"), list[float]()
    for number in range(SAVES):
        began = time.monotonic()
        checkpoint.save(run, Learner(injected, optimizer, None), Progress(number), job)  # type: ignore[arg-type]
        took.append(time.monotonic() - began)
    size, usual, every_s = (run.state / "resume.pt").stat().st_size, statistics.median(took), 300.0
    return (
        f"SDXL, rank 32, AdamW: {count / 1e6:.0f} million numbers, a state of {size / 1e6:.0f} MB in {min(took):.2f} "
        f"to {max(took):.2f} s (median {usual:.2f}); every {every_s:.0f} s: {100 * usual / (every_s + usual):.2f} %"
    )


if __name__ == "__main__":
    main()
