"""Marks the starter model, or a LoRA on it: python -m trainer.starter.evaluate [--lora FILE]

Exit status 0 only where every target is met.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from PIL import Image, ImageDraw

from trainer.starter.autoencoder import picture_tensor
from trainer.starter.judge import Judge, JudgeUnfitError, trained_judge, verdicts
from trainer.starter.world import BACKGROUNDS, PATTERNS, SIZES, Scene, caption, random_scene

SAMPLE_STEPS, GUIDANCE, BATCH = 20, 2.0, 16
LEAST = {"background": 0.95, "colour": 0.90, "kind": 0.85}
BASE_ROBOTS_AT_MOST = 0.10
LEAST_WITH_LORA = {"robot": 0.80, "others": 0.80}


@dataclass(frozen=True)
class Mark:
    """One figure: what was measured, the share, and whether its target is met."""

    name: str
    share: float
    target: str
    met: bool


@dataclass(frozen=True)
class Prompt:
    """What is asked of the model, and the scene that must come out."""

    text: str
    scene: Scene
    seed: int


def held_out_prompts(count: int) -> list[Prompt]:
    """Returns prompts for combinations that no training picture had."""
    rng = np.random.default_rng(21)
    scenes = [random_scene(rng, held=True) for _ in range(count)]
    return [Prompt(caption(scene, rng), scene, 1000 + n) for n, scene in enumerate(scenes)]


def robot_prompts(count: int) -> list[Prompt]:
    """Returns prompts for the robot of the example data set on any background."""
    rng = np.random.default_rng(22)
    scenes = [
        Scene("robot", "", str(rng.choice(list(BACKGROUNDS))), str(rng.choice(PATTERNS)), str(rng.choice(SIZES)))
        for _ in range(count)
    ]
    return [Prompt(caption(scene, rng), scene, 5000 + n) for n, scene in enumerate(scenes)]


def generate(pipeline: StableDiffusionPipeline, prompts: Sequence[Prompt]) -> list[Image.Image]:
    """Returns one picture for each prompt; the same prompt and seed give the same picture."""
    pictures: list[Image.Image] = []
    for first in range(0, len(prompts), BATCH):
        part = prompts[first : first + BATCH]
        noise = [torch.Generator().manual_seed(prompt.seed) for prompt in part]
        pictures += pipeline(
            [prompt.text for prompt in part],
            generator=noise,
            num_inference_steps=SAMPLE_STEPS,
            guidance_scale=GUIDANCE,
            height=128,
            width=128,
        ).images
    return pictures


def load(model: Path, device: str) -> StableDiffusionPipeline:
    """Returns the pipeline of a folder in single precision."""
    pipeline = StableDiffusionPipeline.from_pretrained(model, local_files_only=True).to(device, torch.float32)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def share_right(judge: Judge, asked: tuple[Sequence[Prompt], Sequence[Image.Image]], head: str) -> float:
    """Returns the share of pictures in which the judge sees what was asked for."""
    prompts, pictures = asked
    said = verdicts(judge, picture_tensor(list(pictures)))
    return float(
        np.mean([verdict[head] == getattr(prompt.scene, head) for prompt, verdict in zip(prompts, said, strict=True)])
    )


def mark_base(judge: Judge, pipeline: StableDiffusionPipeline, count: int) -> tuple[list[Mark], list]:
    """Returns the marks of the model alone, and what it drew."""
    asked = (prompts := held_out_prompts(count), generate(pipeline, prompts))
    robots = (prompts := robot_prompts(max(8, count // 4)), generate(pipeline, prompts))
    marks = [_at_least(head, share_right(judge, asked, head), least) for head, least in LEAST.items()]
    share = share_right(judge, robots, "kind")
    return [
        *marks,
        Mark("robot without a LoRA", share, f"below {BASE_ROBOTS_AT_MOST:.0%}", share < BASE_ROBOTS_AT_MOST),
    ], [asked, robots]


def mark_lora(judge: Judge, pipeline: StableDiffusionPipeline, count: int) -> tuple[list[Mark], list]:
    """Returns the marks of the model with its LoRA, and what it drew."""
    robots = (prompts := robot_prompts(max(8, count // 4)), generate(pipeline, prompts))
    others = (prompts := held_out_prompts(max(8, count // 2)), generate(pipeline, prompts))
    marks = [
        _at_least("robot", share_right(judge, robots, "kind"), LEAST_WITH_LORA["robot"]),
        _at_least("others", share_right(judge, others, "kind"), LEAST_WITH_LORA["others"]),
    ]
    return marks, [robots, others]


def _at_least(name: str, share: float, least: float) -> Mark:
    """Returns the mark of something that must be right often."""
    return Mark(name, share, f"at least {least:.0%}", share >= least)


def sheet(asked: Sequence[tuple[Sequence[Prompt], Sequence[Image.Image]]], columns: int = 12) -> Image.Image:
    """Returns all pictures side by side with their prompts."""
    cells = [
        (prompt, picture) for prompts, pictures in asked for prompt, picture in zip(prompts, pictures, strict=True)
    ]
    page = Image.new("RGB", (columns * 132, -(-len(cells) // columns) * 156), "white")
    brush = ImageDraw.Draw(page)
    for n, (prompt, picture) in enumerate(cells):
        x, y = n % columns * 132, n // columns * 156
        page.paste(picture, (x, y))
        brush.text((x, y + 128), f"{prompt.text[:22]}\n{prompt.text[22:44]}", fill="black", font_size=10, spacing=1)
    return page


def _arguments() -> argparse.Namespace:
    """Returns the command line, read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(__file__).parent / "model")
    parser.add_argument("--lora", type=Path, help="a LoRA in Kohya's format that was trained on the robot")
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--judge-only", action="store_true", help="train and examine the judge, and stop")
    parser.add_argument("--sheet", type=Path, help="write all pictures into this PNG")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path.home() / ".cache" / "lora-atelier" / "judge",
        help="folder where the judge is kept",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


def main() -> int:
    """Marks what the command line names; returns the exit status."""
    arguments = _arguments()
    pipeline = load(arguments.model, arguments.device)
    try:
        judge, fitness = trained_judge(pipeline.vae, arguments.work)
    except JudgeUnfitError as unfit:
        print(unfit, file=sys.stderr)
        return 2
    marks: list[Mark] = [_at_least(f"judge: {name}", share, 0.98) for name, share in fitness.items()]
    if not arguments.judge_only:
        if arguments.lora:
            pipeline.load_lora_weights(arguments.lora.parent, weight_name=arguments.lora.name)
        found, asked = (mark_lora if arguments.lora else mark_base)(judge, pipeline, arguments.prompts)
        marks += found
        if arguments.sheet:
            sheet(asked).save(arguments.sheet)
    report(marks, arguments.json)
    return 0 if all(mark.met for mark in marks) else 1


def report(marks: Sequence[Mark], as_json: bool) -> None:
    """Prints the marks, one a line or as JSON."""
    if as_json:
        print(
            json.dumps(
                {mark.name: {"share": round(mark.share, 4), "target": mark.target, "met": mark.met} for mark in marks},
                indent=2,
            )
        )
        return
    for mark in marks:
        print(f"{mark.name}: {mark.share:.1%} ({mark.target}: {'met' if mark.met else 'MISSED'})")


if __name__ == "__main__":
    sys.exit(main())
