"""What is said about the model as a whole."""

import pytest

from tests.trainer.job.kohya_import.inputs import FINETUNING, FLUX, MODERN, OLDEST, imported


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (FINETUNING, "the whole model"),
        ({**FINETUNING, "token_string": "cat", "num_vectors_per_token": 4}, "an embedding"),
        ({**FINETUNING, "lllite_cond_dim": 32}, "a ControlNet"),
        ({"network_dim": 4, "leco_resolution": 512}, "a slider"),
        ("accelerate launch sdxl_train.py --learning_rate=1e-5", "the whole model"),
        ("python train_textual_inversion.py --token_string=cat", "an embedding"),
    ],
)
def test_what_trains_no_lora_is_said_in_one_sentence(given: object, words: str) -> None:
    assert [words in note for note in imported(given).notes].count(True) == 1


@pytest.mark.parametrize("given", [OLDEST, MODERN, FLUX, "python sd3_train_network.py --seed=1", "--network_dim=4"])
def test_a_lora_is_not_called_anything_else(given: object) -> None:
    assert not [note for note in imported(given).notes if "not a LoRA" in note]
