"""Captions of more tokens than CLIP takes at once, as Kohya's scripts put them together."""

import pathlib
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.trainer import tiny
from trainer.engine.loop import train
from trainer.families import tokenizers
from trainer.families.clip_text import joined, tokens
from trainer.run import folder

CPU = torch.device("cpu")
WORDS = "cat dog bird fish tree house river stone cloud grass"
LONG = " ".join([WORDS] * 20)


@pytest.mark.parametrize("pad", ["<|endoftext|>", "!"])
@pytest.mark.parametrize("count", [0, 1, 74, 75, 76, 149, 150, 151, 200])
def test_every_75_tokens_are_a_text_of_their_own(pad: str, count: int) -> None:
    tokenizer = tokenizers.clip("", pad)
    text = " ".join(LONG.split()[:count])
    found = tokens(tokenizer, ["a", text], CPU, 150)
    assert found.shape == (4, 77)
    for piece, row in enumerate(found[2:]):
        alone = " ".join(LONG.split()[:count][75 * piece : 75 * (piece + 1)])
        assert torch.equal(row, tokens(tokenizer, [alone], CPU)[0])


def test_the_states_of_pieces_lose_the_tokens_between_them() -> None:
    states = torch.arange(2 * 3 * 77).view(6, 77, 1)
    whole = joined(states, 225)
    assert whole.shape == (2, 227, 1)
    kept = [number for number in range(3 * 77) if number in (0, 230) or number % 77 not in (0, 76)]
    assert whole[0].flatten().tolist() == kept
    assert whole[1].flatten().tolist() == [231 + number for number in kept]
    assert joined(states, 75) is states


@pytest.mark.parametrize(("base", "family"), [("tiny_model", "sd15"), ("tiny_sdxl", "sdxl")])
def test_what_stands_behind_the_first_75_tokens_is_learned(
    tmp_path: pathlib.Path, request: pytest.FixtureRequest, base: str, family: str
) -> None:
    model = request.getfixturevalue(base)
    first, other = (learned(tmp_path, model, family, "z" * 90 + word, 150) for word in (" red", " blue"))
    assert first[1] == "150"
    assert any(not torch.equal(first[0][name], other[0][name]) for name in first[0])
    cut, same = (learned(tmp_path, model, family, "z" * 90 + word, 75) for word in (" red", " blue"))
    assert cut[1] == "None"
    assert all(torch.equal(cut[0][name], same[0][name]) for name in cut[0])


def learned(tmp_path: pathlib.Path, base: pathlib.Path, family: str, suffix: str, most: int) -> Any:
    """The tensors of a LoRA after two steps on captions that end in `suffix`, and the length that its metadata says."""
    changes: dict[str, dict[str, object]] = {
        "model": {"base": str(base), "family": family},
        "dataset": {"caption_suffix": suffix},
        "training": {"steps": 2, "epochs": 0, "caption_tokens": most, "learning_rate": 0.1},
        "output": {"save_precision": "fp32"},
    }
    job = tiny.job(tmp_path, base, changes)
    run = folder.create(pathlib.Path(job.output.folder), "tiny")
    train(job, run, lambda event: None)
    path = run.weights_file(job.output.name)
    with safe_open(path, "pt") as file:
        return load_file(path), file.metadata()["ss_max_token_length"]
