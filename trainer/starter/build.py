"""Remakes the starter model from nothing: python -m trainer.starter.build

Seeded and resumable: kill it at any time and start it again with the same arguments. On four CPU cores it takes about
three hours; on a GPU, minutes.
"""

import argparse
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import process as processes
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import distributed, multiprocessing, nn
from tqdm import tqdm
from transformers import CLIPTokenizer

from trainer.starter.autoencoder import (
    autoencoder_course,
    encode_pictures,
    new_autoencoder,
    picture_tensor,
    set_scaling_factor,
)
from trainer.starter.course import ALONE, Bench, Crew, train
from trainer.starter.denoiser import Encoded, denoiser_course, new_denoiser, new_text_encoder, text_course
from trainer.starter.export import export
from trainer.starter.words import read_tokenizer, write_tokenizer
from trainer.starter.world import WORDS, Scene, draw, random_scene

AUTOENCODER_STEPS, TEXT_STEPS, DENOISER_STEPS = 8000, 600, 7000
PICTURES, CHUNK = 24_000, 500


@dataclass(frozen=True)
class Plan:
    """Where the build writes, where it keeps its state, on what it runs, and how long compared with the real thing."""

    out: Path
    work: Path
    device: torch.device
    steps_scale: float = 1.0
    stop_after: int | None = None
    crew: Crew = ALONE

    def of(self, full: int) -> int:
        """Returns a number of steps or pictures at the plan's scale."""
        return max(2, round(full * self.steps_scale))

    def bench(self, look_in: Callable[[], None] | None = None) -> Bench:
        """Returns the bench of a course."""
        return Bench(self.device, self.work, look_in, stop_after=self.stop_after, crew=self.crew)


class Models:
    """The parts of the starter model while they are made."""

    def __init__(self, tokenizer: CLIPTokenizer, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.tokenizer = tokenizer
        self.vae = new_autoencoder()
        self.text = new_text_encoder(tokenizer)
        self.unet = new_denoiser()

    def export(self, folder: Path) -> None:
        """Writes the parts as they are."""
        print(f"\n{folder}: {export(folder, (self.vae, self.text, self.unet), self.tokenizer):.1f} MiB", flush=True)


def build(plan: Plan) -> bool:
    """Carries out the plan; returns False where its `stop_after` cut it short."""
    models = Models(read_tokenizer(plan.work / "tokenizer"))

    def early_look() -> None:
        set_scaling_factor(models.vae)
        models.export(plan.out)

    quiet, watched = plan.bench(), plan.bench(lambda: models.export(plan.out))
    if not train(autoencoder_course(models.vae, plan.of(AUTOENCODER_STEPS), quiet), plan.bench(early_look)):
        return False
    models.vae.eval()
    set_scaling_factor(models.vae)
    encoded = encode_world(plan, models.vae)
    if not train(text_course(models.text, models.tokenizer, plan.of(TEXT_STEPS), quiet), quiet):
        return False
    parts = nn.ModuleDict({"unet": models.unet, "text": models.text})
    if not train(denoiser_course(parts, models.tokenizer, encoded, plan.of(DENOISER_STEPS), plan.crew), watched):
        return False
    if plan.crew.rank == 0:
        models.export(plan.out)
    return True


def training_scene(number: int) -> tuple[Scene, np.random.Generator]:
    """Returns the scene of a training picture and the generator that draws it."""
    rng = np.random.default_rng((2, number))
    return random_scene(rng), rng


def encode_world(plan: Plan, vae: AutoencoderKL) -> Encoded:
    """Returns the scaled latents of all training pictures; each chunk is kept in the work folder."""
    count = plan.of(PICTURES)
    firsts = range(0, count, CHUNK)
    files = [plan.work / f"latents-{first:06d}-{count}.pt" for first in firsts]
    mine = list(zip(firsts, files, strict=True))[plan.crew.rank :: plan.crew.size]
    for first, file in tqdm(mine, desc="latents", disable=plan.crew.rank > 0):
        if not file.exists():
            _encode_chunk(vae, range(first, min(first + CHUNK, count)), file)
    if plan.crew.size > 1:
        distributed.barrier()
    latents = torch.cat([torch.load(file, weights_only=True) for file in files]).float()
    scenes = [training_scene(number)[0] for number in range(count)]
    return Encoded(scenes, latents * vae.config.scaling_factor)


def _encode_chunk(vae: AutoencoderKL, numbers: range, file: Path) -> None:
    """Writes the latents of those training pictures into the file."""
    latents = []
    for first in range(numbers.start, numbers.stop, 20):
        drawn = [draw(*training_scene(number)) for number in range(first, min(first + 20, numbers.stop))]
        with torch.autocast(vae.device.type, torch.bfloat16):
            latents.append(encode_pictures(vae, picture_tensor(drawn))[0].half())
    torch.save(torch.cat(latents), file.with_suffix(".part"))
    os.replace(file.with_suffix(".part"), file)


def _one_of_crew(rank: int, size: int, arguments: argparse.Namespace) -> None:
    """Builds as one of several processes."""
    work = arguments.work
    if size > 1:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        torch.set_num_threads(1)
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        distributed.init_process_group("gloo", init_method=f"file://{work / 'meeting'}", rank=rank, world_size=size)
    build(Plan(arguments.out, work, torch.device(arguments.device), arguments.steps_scale, crew=Crew(rank, size)))


def _end_with_parent() -> None:
    """Ends this process when the one that started it is gone, so that killing the build kills all of it."""
    parent = processes.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _arguments() -> argparse.Namespace:
    """Returns the command line, read."""
    home, scratch = Path(__file__).parent, Path(tempfile.gettempdir())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=home / "model", help="folder of the finished model")
    parser.add_argument("--work", type=Path, default=scratch / "starter-build", help="folder of the build's state")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--processes", type=int, help="default: 4 on a CPU, 1 on a GPU")
    parser.add_argument("--steps-scale", type=float, default=1.0, help="how long to train compared with the real thing")
    return parser.parse_args()


def main() -> None:
    """Reads the command line and builds."""
    arguments = _arguments()
    arguments.work.mkdir(parents=True, exist_ok=True)
    write_tokenizer(arguments.work / "tokenizer", WORDS)
    (arguments.work / "meeting").unlink(missing_ok=True)
    size = arguments.processes or (4 if arguments.device == "cpu" else 1)
    if size == 1:
        _one_of_crew(0, 1, arguments)
    else:
        multiprocessing.spawn(_one_of_crew, (size, arguments), nprocs=size)


if __name__ == "__main__":
    main()
