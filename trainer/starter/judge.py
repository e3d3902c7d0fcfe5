"""Says what is in a picture of the drawn world, so that the starter model can be marked by program.

The small network is trained on drawn pictures only, some of them blurred, noisy or sent through the autoencoder so that
generated pictures do not surprise it, and it refuses to speak when it is often wrong about unseen drawn pictures.
"""

import hashlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.starter.autoencoder import as_signed, encode_pictures, picture_tensor
from trainer.starter.course import Bench, Course, train
from trainer.starter.world import BACKGROUNDS, COLOURS, KINDS, PATTERNS, SIZES, STYLES, Scene, draw, random_scene

HEADS: dict[str, tuple[str, ...]] = {"kind": KINDS, "colour": tuple(COLOURS), "background": tuple(BACKGROUNDS)}
LEAST_ACCURACY = 0.98
UNKNOWN = -100


class JudgeUnfitError(RuntimeError):
    """The judge is wrong too often on drawn pictures for its verdicts to mean anything."""


@dataclass(frozen=True)
class Schooling:
    """How much the judge learns: pictures, how many of them through the autoencoder, steps, pictures of its exam."""

    pictures: int = 12_000
    through_autoencoder: int = 1_200
    steps: int = 900
    exam: int = 800


class Judge(nn.Module):
    """Sees a picture of 64 px, in [-1, 1]; gives logits for each head."""

    def __init__(self) -> None:
        super().__init__()
        widths = (32, 64, 96, 128)
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 5, 2, padding=2), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * 16, 192), nn.ReLU())
        self.heads = nn.ModuleDict({name: nn.Linear(192, len(values)) for name, values in HEADS.items()})

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Returns the logits of each head for (n, 3, 64, 64) pictures."""
        seen = self.trunk(pictures)
        return {name: head(seen) for name, head in self.heads.items()}


def lesson_scene(rng: np.random.Generator) -> Scene:
    """Returns a scene to learn from or to be examined on: the world, more creatures, and the robot."""
    if rng.random() > 0.12:
        return random_scene(rng)
    return Scene(
        "robot",
        "",
        str(rng.choice(list(BACKGROUNDS))),
        str(rng.choice(PATTERNS)),
        str(rng.choice(SIZES)),
        str(rng.choice(STYLES)),
    )


def labels(scenes: Sequence[Scene]) -> Tensor:
    """Returns the right answers, (n, 3); UNKNOWN where a head has none, such as the colour of a motley creature."""
    rows = [
        [
            values.index(getattr(scene, name)) if getattr(scene, name) in values else UNKNOWN
            for name, values in HEADS.items()
        ]
        for scene in scenes
    ]
    return torch.tensor(rows)


def _drawn(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Returns that many lesson pictures (uint8) and their labels."""
    rng = np.random.default_rng((seed, 6))
    scenes = [lesson_scene(rng) for _ in range(count)]
    return picture_tensor([draw(scene, rng) for scene in scenes]), labels(scenes)


@torch.no_grad()
def _through(vae: AutoencoderKL, pictures: Tensor, seed: int) -> Tensor:
    """Returns the pictures as the autoencoder gives them back when their latents are disturbed."""
    generator, out = torch.Generator().manual_seed(seed), []
    for part in pictures.split(32):
        latents = encode_pictures(vae, part)[0]
        strength = torch.rand((len(part), 1, 1, 1), generator=generator) * 0.35 * latents.std()
        latents = latents + strength * torch.randn(latents.shape, generator=generator)
        out.append(to_bytes(vae.decode(latents.to(vae.device)).sample))
    return torch.cat(out)


def to_bytes(pictures: Tensor) -> Tensor:
    """Returns pictures in [-1, 1] as uint8 on the CPU."""
    return ((pictures.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()


def halved(pictures: Tensor) -> Tensor:
    """Returns uint8 pictures at half their size."""
    return torch.cat([F.avg_pool2d(part.float(), 2).round().to(torch.uint8) for part in pictures.split(256)])


def _disturbed(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Returns signed pictures shifted a little, some of them blurred, noisy or off in brightness."""
    shift = torch.randint(-3, 4, (2,), generator=generator).tolist()
    across, down = slice(4 + shift[0], 68 + shift[0]), slice(4 + shift[1], 68 + shift[1])
    pictures = F.pad(pictures, (4, 4, 4, 4), mode="replicate")[:, :, across, down]
    pick = torch.rand((len(pictures), 1, 1, 1), generator=generator)
    blurred = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
    pictures = torch.where(pick < 0.3, (blurred + pictures) / 2, pictures)
    noise = torch.randn(pictures.shape, generator=generator) * 0.12 * torch.rand(pick.shape, generator=generator)
    brightness = (torch.rand(pick.shape, generator=generator) - 0.5) * 0.12
    return (pictures + noise + brightness).clamp(-1, 1)


def judge_course(judge: Judge, lessons: tuple[Tensor, Tensor], steps: int) -> Course:
    """Returns the judge's training on (pictures, labels)."""
    pictures, answers = lessons

    def batch(step: int) -> Tensor:
        return torch.from_numpy(np.random.default_rng((7, step)).integers(0, len(pictures), 64))

    def loss(chosen: Tensor, generator: torch.Generator) -> Tensor:
        device = next(judge.parameters()).device
        seen = judge(_disturbed(as_signed(pictures[chosen], torch.device("cpu")), generator).to(device))
        return torch.stack(
            [
                F.cross_entropy(seen[name].float(), answers[chosen, n].to(device), ignore_index=UNKNOWN)
                for n, name in enumerate(HEADS)
            ]
        ).sum()

    return Course("judge", judge, batch, loss, steps, 2e-3, seed=7, warm_up_steps=50)


@torch.no_grad()
def verdicts(judge: Judge, pictures: Tensor) -> list[dict[str, str]]:
    """Returns what the judge sees in each uint8 picture: kind, colour and background."""
    judge.eval()
    device, out = next(judge.parameters()).device, []
    for part in pictures.split(64):
        seen = {name: logits.argmax(1).tolist() for name, logits in judge(as_signed(halved(part), device)).items()}
        out += [{name: HEADS[name][seen[name][n]] for name in HEADS} for n in range(len(part))]
    return out


def accuracy(judge: Judge, exam: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Returns each head's share of right answers on (pictures, labels)."""
    said = verdicts(judge, exam[0])
    return {
        name: float(
            np.mean(
                [
                    HEADS[name][answer] == verdict[name]
                    for verdict, answer in zip(said, exam[1][:, n].tolist(), strict=True)
                    if answer != UNKNOWN
                ]
            )
        )
        for n, name in enumerate(HEADS)
    }


def trained_judge(
    vae: AutoencoderKL, folder: Path, schooling: Schooling = Schooling()
) -> tuple[Judge, dict[str, float]]:
    """Returns the judge for this autoencoder, trained or read from the folder, with its accuracy on unseen drawings.

    Raises JudgeUnfitError where a head is right less often than LEAST_ACCURACY.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"judge-{_fingerprint(vae, schooling)}.pt"
    torch.manual_seed(7)
    judge = Judge().to(vae.device)
    if file.exists():
        judge.load_state_dict(torch.load(file, map_location=vae.device, weights_only=True))
    else:
        _school(judge, vae, folder, schooling)
        torch.save(judge.state_dict(), file.with_suffix(".part"))
        os.replace(file.with_suffix(".part"), file)
    marks = accuracy(judge, _drawn(schooling.exam, 101))
    check_fit(marks)
    return judge, marks


def check_fit(marks: dict[str, float]) -> None:
    """Raises JudgeUnfitError where a head is right less often than LEAST_ACCURACY."""
    poor = {name: mark for name, mark in marks.items() if mark < LEAST_ACCURACY}
    if poor:
        found = ", ".join(f"{name} {mark:.1%}" for name, mark in poor.items())
        raise JudgeUnfitError(
            f"The judge is right too seldom on drawn pictures ({found}; needed {LEAST_ACCURACY:.0%}), "
            "so its verdicts would mean nothing."
        )


def _school(judge: Judge, vae: AutoencoderKL, folder: Path, schooling: Schooling) -> None:
    """Trains the judge."""
    pictures, answers = _drawn(schooling.pictures, 100)
    if schooling.through_autoencoder:
        count = schooling.through_autoencoder
        pictures = torch.cat([pictures, _through(vae, pictures[:count], 8)])
        answers = torch.cat([answers, answers[:count]])
    pictures = halved(pictures)
    course = judge_course(judge, (pictures, answers), schooling.steps)
    course = replace(course, name=f"school-{_fingerprint(vae, schooling)}")
    train(course, Bench(vae.device, folder))
    (folder / f"{course.name}.pt").unlink(missing_ok=True)
    _settle(judge, pictures)


@torch.no_grad()
def _settle(judge: Judge, pictures: Tensor) -> None:
    """Measures the batch norms' statistics anew, because they were gathered with other than the averaged weights."""
    judge.train()
    generator = torch.Generator().manual_seed(9)
    for module in judge.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    for part in pictures[torch.randperm(len(pictures), generator=generator)][:1024].split(128):
        judge(_disturbed(as_signed(part, torch.device("cpu")), generator).to(next(judge.parameters()).device))


def _fingerprint(vae: AutoencoderKL, schooling: Schooling) -> str:
    """Returns a short name for the judge that belongs to this autoencoder and this world."""
    digest = hashlib.sha256(repr((schooling, HEADS, COLOURS, BACKGROUNDS, Judge())).encode())
    for name, weight in sorted(vae.encoder.state_dict().items()):
        digest.update(name.encode() + weight.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]
