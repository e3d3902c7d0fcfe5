"""A course of training that is killed and resumed ends with the weights of one that was never stopped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from trainer.starter.course import Bench, Course, Crew, learning_rate_at, train
from trainer.starter.denoiser import new_text_encoder, text_course
from trainer.starter.words import read_tokenizer, write_tokenizer
from trainer.starter.world import WORDS

CPU = torch.device("cpu")


def small_course() -> Course:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    def batch(step: int) -> torch.Tensor:
        return torch.from_numpy(np.random.default_rng((9, step)).normal(size=(16, 4)).astype(np.float32))

    def loss(drawn: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return (
            (module(drawn + 0.1 * torch.randn(drawn.shape, generator=generator)) - drawn.sum(1, keepdim=True))
            .square()
            .mean()
        )

    return Course("small", module, batch, loss, 60, 1e-2)


def word_course(folder: Path) -> Course:
    write_tokenizer(folder, WORDS)
    tokenizer = read_tokenizer(folder)
    torch.manual_seed(0)
    return text_course(new_text_encoder(tokenizer), tokenizer, 4, Bench(CPU, folder))


def trained_weights(course: Course) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in course.module.parameters()])


@pytest.mark.parametrize("kind", ["small", "words"])
def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path, kind: str) -> None:
    def course() -> Course:
        return small_course() if kind == "small" else word_course(tmp_path)

    for folder in ("straight", "broken"):
        (tmp_path / folder).mkdir()
    straight, broken, resumed = course(), course(), course()
    assert train(straight, Bench(CPU, tmp_path / "straight"))
    assert not train(broken, Bench(CPU, tmp_path / "broken", stop_after=straight.steps // 2))
    assert train(resumed, Bench(CPU, tmp_path / "broken"))
    assert torch.equal(trained_weights(straight), trained_weights(resumed))
    assert not list(tmp_path.rglob("*.part"))


def test_a_finished_course_is_not_trained_again(tmp_path: Path) -> None:
    first, again = small_course(), small_course()
    train(first, Bench(CPU, tmp_path))
    train(replace(again, loss=lambda drawn, generator: pytest.fail("trained again")), Bench(CPU, tmp_path))
    assert torch.equal(trained_weights(first), trained_weights(again))


def test_looking_in_sees_the_average_and_leaves_the_training_as_it_was(tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []
    plain, watched = small_course(), small_course()
    for folder in ("plain", "watched"):
        (tmp_path / folder).mkdir()
    train(plain, Bench(CPU, tmp_path / "plain"))
    train(watched, Bench(CPU, tmp_path / "watched", lambda: seen.append(trained_weights(watched)), look_in_every_s=0.0))
    assert seen
    assert torch.equal(trained_weights(plain), trained_weights(watched))


def test_the_learning_rate_rises_and_falls() -> None:
    course = small_course()
    rates = [learning_rate_at(course, step) for step in range(course.steps)]
    assert rates[0] < max(rates)
    assert rates[-1] < 0.05 * max(rates)


def test_a_crew_goes_on_with_the_mean_of_all_gradients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def two_like_this_one(gradients: torch.Tensor) -> None:
        gradients.mul_(2)

    def taken(crew: Crew) -> torch.Tensor:
        folder = tmp_path / str(crew.size)
        folder.mkdir()
        course = replace(small_course(), seed=0, loss=lambda drawn, _: course.module(drawn).square().mean())
        train(course, Bench(CPU, folder, crew=crew))
        return trained_weights(course)

    monkeypatch.setattr("trainer.starter.course.distributed.all_reduce", two_like_this_one)
    assert torch.equal(taken(Crew(0, 1)), taken(Crew(0, 2)))


def test_only_the_first_of_a_crew_writes_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.starter.course.distributed.all_reduce", lambda gradients: None)
    train(small_course(), Bench(CPU, tmp_path, crew=Crew(1, 2)))
    assert not list(tmp_path.iterdir())
