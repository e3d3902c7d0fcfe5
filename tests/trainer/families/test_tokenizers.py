"""The vocabulary that comes with the program gives the token ids that CLIP was published with."""

import gzip
import pathlib

import pytest

from tests.trainer import tiny
from trainer.families import tokenizers
from trainer.families.tokenizers import clip
from trainer.job.trouble import Trouble

# From CLIP's own published tokenizer.
PUBLISHED = {
    "a photo of a cat": [320, 1125, 539, 320, 2368],
    "A Photo of a CAT, 1girl, solo!": [320, 1125, 539, 320, 2368, 267, 272, 1611, 267, 5797, 256],
    "!!! wow!": [995, 2781, 256],
    "(blue_eyes:1.2)": [263, 1746, 318, 3095, 281, 272, 269, 273, 264],
    "don't they're": [847, 713, 889, 982],
    "2024 12345": [273, 271, 273, 275, 272, 273, 274, 275, 276],
    "  many   spaces\n\tand\nlines  ": [1346, 9006, 537, 3418],
    "猫の写真、青い目": [163, 234, 104, 21575, 44653, 33440, 509, 45262, 165, 251, 240, 33523, 163, 249, 362],
    "🤖🎨 robot": [1793, 244, 13461, 8797],
    "Ünïcödé café naïve": [6522, 77, 35689, 66, 7255, 67, 4166, 15304, 1097, 35689, 563],
    "sks person": [48136, 2533],
    "": [],
}


def test_texts_get_their_published_numbers() -> None:
    tokenizer = clip()
    assert len(tokenizer) == 49408
    assert {text: tokenizer(text).input_ids[1:-1] for text in PUBLISHED} == PUBLISHED
    assert tokenizer("").input_ids == [49406, 49407]


@pytest.mark.parametrize(("pad_token", "padding"), [("<|endoftext|>", 49407), ("!", 0)])
def test_a_short_text_is_padded_as_the_model_wants_it(pad_token: str, padding: int) -> None:
    tokens = clip("", pad_token)("wow! a cat", padding="max_length", truncation=True).input_ids
    assert tokens == [49406, 2781, 256, 320, 2368, 49407, *[padding] * 71]


def test_the_licence_lies_beside_the_vocabulary() -> None:
    folder = pathlib.Path(tokenizers.__file__).parent / "configs" / "clip"
    assert "Copyright (c) 2021 OpenAI" in (folder / "LICENSE").read_text(encoding="utf-8")
    assert len(gzip.decompress((folder / "merges.txt.gz").read_bytes()).splitlines()) == 49408 - 2 * 256 - 2


@pytest.mark.parametrize("inside", ["", "tokenizer"])
def test_a_tokenizer_of_ones_own_takes_its_place(inside: str, tmp_path: pathlib.Path) -> None:
    tokens = tiny.tokenizer(tmp_path / inside)
    assert len(clip(str(tmp_path))) == tokens


def test_a_folder_without_one_says_what_to_do(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Trouble, match="Leave Tokenizer empty"):
        clip(str(tmp_path / "none"))
