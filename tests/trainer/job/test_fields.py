"""Messages in plain words at their setting, flat and nested values, `--set`."""

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from trainer.job.fields import Invalid, flatten, nest, parse, read_pairs, specs, unknown_paths, with_sets, write_pairs
from trainer.job.settings import Job

SNAPSHOT = pathlib.Path(__file__).with_name("schema.json")


def messages(data: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        parse(data)
    return {message.path: message.text for message in caught.value.messages}


@pytest.mark.parametrize(
    ("data", "path", "text"),
    [
        ({"adapter": {"rank": 0}}, "adapter.rank", "Rank: must be at least 1"),
        ({"adapter": {"rank": 5000}}, "adapter.rank", "Rank: must be at most 1024"),
        ({"adapter": {"rank": "many"}}, "adapter.rank", "Rank: must be a whole number"),
        ({"adapter": {"rank": 1.5}}, "adapter.rank", "Rank: must be a whole number"),
        ({"adapter": {"rank": None}}, "adapter.rank", "Rank: must be a whole number"),
        ({"adapter": {"alpha": 0}}, "adapter.alpha", "Alpha: must be greater than 0"),
        ({"adapter": {"dropout": 1}}, "adapter.dropout", "Dropout: must be less than 1"),
        ({"adapter": {"type": "lor"}}, "adapter.type", "Adapter: must be one of lora, locon, loha, lokr"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate", "Learning rate: must be a number"),
        (
            {"training": {"text_encoder": "perhaps"}},
            "training.text_encoder",
            "Train text encoder: must be true or false",
        ),
        ({"dataset": {"folder": 3}}, "dataset.folder", "Pictures folder: must be text"),
        ({"dataset": {"folder": " "}}, "dataset.folder", "Pictures folder: must not be empty"),
        ({"samples": {"prompts": {}}}, "samples.prompts", "Prompts: must be a list"),
        (
            {"samples": {"prompts": ["a cat, " * 40_000], "negative": "blurry"}},
            "samples.prompts",
            "Prompts: shorten it, for all settings together may have 262,144 characters at most.",
        ),
        (
            {"samples": {"prompts": ["ok", "a --w x"]}},
            "samples.prompts",
            "Prompts: line 2: --w needs a number, but 'x' was given",
        ),
        ({"output": {"name": "../x"}}, "output.name", 'Name: must be a plain file name without / \\ : * ? " < > |'),
        ({"output": {"name": "a" * 101}}, "output.name", "Name: must have at most 100 letters"),
        ({"output": {"name": "猫" * 70}}, "output.name", "Name: is too long for the names of files"),
        ({"dataset": {"bucket_step_px": 12}}, "dataset.bucket_step_px", "Bucket step: must be a multiple of 8"),
        (
            {"training": {"epochs": 2, "steps": 3}},
            "training.steps",
            "Set Epochs or Steps, not both: set the other one to 0",
        ),
        ({"training": {"epochs": 0}}, "training.epochs", "Set Epochs or Steps: one of them must be above 0"),
        (
            {"training": {"optimizer": "Prodigy", "learning_rate": 1}},
            "training.text_encoder_learning_rate",
            "Prodigy finds one learning rate for everything: "
            "set the text encoder's learning rate to the same value (1.0)",
        ),
        (
            {"training": {"optimizer": "DAdaptLion", "learning_rate": 0.5}},
            "training.text_encoder_learning_rate",
            "DAdaptLion finds one learning rate for everything: "
            "set the text encoder's learning rate to the same value (0.5)",
        ),
        (
            {"training": {"optimizer": "AdamWScheduleFree"}},
            "training.schedule",
            "AdamWScheduleFree replaces the schedule by an average of its own: "
            "set Schedule to constant (a warm-up is possible)",
        ),
        (
            {"training": {"warmup_percent": 5, "warmup_steps": 10}},
            "training.warmup_steps",
            "Set Warm-up or Warm-up steps, not both: set the other one to 0",
        ),
        (
            {"training": {"min_timestep": 400, "max_timestep": 400}},
            "training.max_timestep",
            "No time step is left to train: set the greatest time step above the least (400)",
        ),
        (
            {"dataset": {"masked_loss": "folder"}},
            "dataset.mask_folder",
            "Masked loss is set to folder, but no folder is named: "
            "choose the mask folder, or set Masked loss to alpha or off",
        ),
        ({"dataset": {"caption_separator": " "}}, "dataset.caption_separator", "Tag separator: must not be empty"),
        (
            {"model": {"prediction": "v"}, "training": {"v_prediction_like_loss": 0.5}},
            "training.v_prediction_like_loss",
            "The v-prediction-like loss is for models that predict epsilon, but this one predicts v: set it to 0",
        ),
        (
            {"model": {"prediction": "epsilon"}, "training": {"scale_v_prediction_loss": True}},
            "training.scale_v_prediction_loss",
            "Scale v-prediction loss is for models that predict v, but this one predicts epsilon: turn it off",
        ),
        (
            {"training": {"optimizer_args": {"momentum": 1}}},
            "training.optimizer_args",
            "momentum is not a setting of AdamW; it has weight_decay, betas, eps",
        ),
        ({"training": {"optimizer_args": {"betas": 2}}}, "training.optimizer_args", "betas: must be a list"),
        ({"training": {"optimizer_args": {"eps": 0}}}, "training.optimizer_args", "eps: must be greater than 0"),
        (
            {"training": {"learning_rte": 1}},
            "training.learning_rte",
            "training.learning_rte: there is no such setting; did you mean training.learning_rate?",
        ),
    ],
)
def test_a_wrong_value_gets_a_sentence_at_its_setting(data: dict[str, Any], path: str, text: str) -> None:
    assert messages(data) == {path: text}


def test_all_messages_come_at_once() -> None:
    assert set(messages({"adapter": {"rank": 0}, "training": {"seed": -1}})) == {"adapter.rank", "training.seed"}


def test_choices_are_read_in_any_case() -> None:
    assert parse({"training": {"optimizer": "adamw8BIT"}}).training.optimizer == "AdamW8bit"


def test_every_setting_has_words_and_its_default_is_valid() -> None:
    for spec in specs().values():
        assert spec.title
        assert spec.help.endswith((".", ")"))
        assert spec.level in ("basic", "advanced")
    assert Job.model_validate(Job().model_dump()) == Job()


def test_flat_and_nested_values_are_inverse() -> None:
    job = parse({"training": {"steps": 5}, "samples": {"prompts": ["a"]}})
    assert parse(nest(flatten(job))) == job


def test_set_changes_one_value_and_the_other_length_gives_way() -> None:
    data = with_sets(
        {"training": {"epochs": 8}}, ["training.steps=20", "training.optimizer=lion", 'samples.prompts=["a", "b"]']
    )
    job = parse(data)
    assert (job.training.epochs, job.training.steps) == (0, 20)
    assert job.training.optimizer == "Lion"
    assert job.samples.prompts == ["a", "b"]
    assert parse(with_sets(data, ["training.epochs=3"])).training.steps == 0


@pytest.mark.parametrize("text", ["training.epochs", "training.epoch=3", "=", "epochs=3"])
def test_a_set_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"--set|no such setting"):
        with_sets({}, [text])


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 100_000])
def test_a_set_that_no_computer_can_read_is_refused_in_a_sentence(value: str) -> None:
    with pytest.raises(Invalid, match="Steps: must be a whole number"):
        parse(with_sets({}, [f"training.steps={value}"]))


def test_optimizer_settings_are_read_as_kohyas_users_write_them() -> None:
    pairs = read_pairs("weight_decay=0.1 betas=0.9,0.99 use_bias_correction=True")
    assert pairs == {"weight_decay": 0.1, "betas": [0.9, 0.99], "use_bias_correction": True}
    assert read_pairs(write_pairs(pairs)) == pairs


def test_unknown_paths_are_found_at_both_levels() -> None:
    assert unknown_paths({"modell": {}, "model": {"bas": "x", "base": "y"}}) == ("modell", "model.bas")


def test_the_schema_is_the_one_written_down() -> None:
    """A renamed or removed setting breaks people's files: change schema.json knowingly, with a migration."""
    now = {path: [spec.kind, list(spec.choices)] for path, spec in specs().items()}
    assert now == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_the_settings_need_no_heavy_library() -> None:
    code = "import sys, trainer.job.presets, trainer.check; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("typed", ["1, 0.5,0", "1\n0.5\n0", "[1, 0.5, 0]", [1, 0.5, 0], "1　0.5 0"])
def test_lists_of_numbers_are_read_as_people_write_them(typed: Any) -> None:
    assert parse({"training": {"block_learning_rates": typed}}).training.block_learning_rates == [1.0, 0.5, 0.0]


def test_a_list_of_numbers_can_be_set_on_the_command_line() -> None:
    data = with_sets({}, ["adapter.block_ranks=8,4,2", "training.block_learning_rates=[1, 1, 0]"])
    job = parse(data)
    assert (job.adapter.block_ranks, job.training.block_learning_rates) == ([8, 4, 2], [1.0, 1.0, 0.0])


@pytest.mark.parametrize("name", ["block_ranks", "block_alphas"])
@pytest.mark.parametrize("count", [1, 2, 23, 24, 26])
def test_a_wrong_number_of_blocks_is_said_with_the_right_ones(name: str, count: int) -> None:
    said = messages({"adapter": {name: [4] * count}})[f"adapter.{name}"]
    assert said.endswith(f"has 3 parts or 25 blocks, but there are {count} numbers: write 3 or 25 of them")


@pytest.mark.parametrize(
    ("section", "values", "path", "text"),
    [
        ("adapter", {"block_ranks": "8, x, 8"}, "adapter.block_ranks", "Rank per block: must be a whole number"),
        ("adapter", {"block_ranks": [-1, 1, 1]}, "adapter.block_ranks", "Rank per block: must be at least 0"),
        ("adapter", {"block_alphas": [1, 0, 1]}, "adapter.block_alphas", "Alpha per block: a block that is trained"),
        (
            "training",
            {"optimizer": "Prodigy", "text_encoder": False, "block_learning_rates": [1, 0.5, 0]},
            "training.block_learning_rates",
            "Prodigy finds one learning rate for everything, so a block is trained at 1 or not at all",
        ),
        (
            "training",
            {"optimizer": "DAdaptAdam", "text_encoder": False, "loraplus_ratio": 16},
            "training.loraplus_ratio",
            "DAdaptAdam finds one learning rate for everything, so LoRA+ cannot be used",
        ),
    ],
)
def test_what_blocks_cannot_be_is_said_in_a_sentence(
    section: str, values: dict[str, Any], path: str, text: str
) -> None:
    assert messages({section: values})[path].startswith(text)
