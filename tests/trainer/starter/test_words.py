"""The tokenizer: one token for each word of the world, byte pieces for everything else."""

from pathlib import Path

import numpy as np
import pytest
from transformers import CLIPTokenizer

from trainer.starter.words import MAX_TOKENS, byte_letters, merges_for, read_tokenizer, write_tokenizer
from trainer.starter.world import WORDS, caption, random_scene


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, WORDS)
    return read_tokenizer(folder)


def test_every_word_of_the_world_is_one_token(tokenizer: CLIPTokenizer) -> None:
    assert all(len(tokenizer(word).input_ids) == 3 for word in WORDS)


def test_captions_come_back_and_fit_the_context(tokenizer: CLIPTokenizer) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        said = caption(random_scene(rng), rng)
        tokens = tokenizer(said).input_ids
        assert len(tokens) < MAX_TOKENS
        assert tokenizer.decode(tokens, skip_special_tokens=True).replace(" ,", ",") == said


@pytest.mark.parametrize("text", ["ohwx zorbu", "日本の猫", "café ☺ 42", "mecha robot"])
def test_any_other_text_falls_back_to_byte_pieces(tokenizer: CLIPTokenizer, text: str) -> None:
    tokens = tokenizer(text).input_ids
    assert tokenizer.eos_token_id not in tokens[1:-1]
    assert tokenizer.decode(tokens, skip_special_tokens=True).replace(" ", "") == text.replace(" ", "")


def test_the_tokenizer_has_clips_layout(tokenizer: CLIPTokenizer) -> None:
    assert tokenizer.model_max_length == MAX_TOKENS == 77
    assert len(tokenizer) <= 1500
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (len(tokenizer) - 2, len(tokenizer) - 1)
    assert len(set(byte_letters())) == 256


def test_later_words_do_not_change_how_earlier_ones_are_joined() -> None:
    merges = merges_for(["red", "green", "red"])
    assert merges == merges_for(["red", "green"])
