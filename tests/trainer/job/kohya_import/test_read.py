"""Which files are read, which files beside them, and what is refused in one sentence."""

import json
import pathlib

import pytest

from tests.trainer.job.kohya_import.inputs import DATASET, MODERN
from trainer.job.fields import Invalid
from trainer.job.kohya_import.read import MAX_BYTES, read, with_dataset


def keys(content: str, *folders: pathlib.Path) -> list[str]:
    """The keys of the input itself."""
    return [one.key for one in read(content.encode(), "x", folders).given if not one.within]


@pytest.mark.parametrize("coded", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_is_read_in_the_encodings_that_windows_writes(coded: str) -> None:
    source = read(json.dumps(MODERN).encode(coded), "cat.json")
    assert (source.kind, len(source)) == ("gui", len(MODERN))


def test_sections_of_a_config_file_are_only_headings() -> None:
    text = "[network]\nnetwork_dim = 4\n[more]\nsome = {a = 1}\nseed = 2\n"
    assert keys(text) == ["network.network_dim", "more.some", "more.seed"]


def test_presets_that_were_edited_by_hand_are_read() -> None:
    text = '{ // mine\n "network_dim": 4, /* half */ "output_dir": "http://x, #1", # so\n "some": [1, 2,],\n}'
    values = {one.key: one.value for one in read(text.encode(), "x").given}
    assert values == {"network_dim": 4, "output_dir": "http://x, #1", "some": [1, 2]}


def test_a_key_that_is_given_twice_is_said_and_the_last_one_counts() -> None:
    source = read(b'{"seed": 1, "epoch": 2, "seed": 3}', "x")
    assert [(one.key, one.value) for one in source.given] == [("seed", 3), ("epoch", 2)]
    assert [note for note in source.notes if "seed" in note and "epoch" not in note]


@pytest.mark.parametrize("value", ["[" * 900 + "]" * 900, "9" * 5000, '{"a":' * 300 + "1" + "}" * 300])
def test_values_beyond_all_measure_are_no_trouble(value: str) -> None:
    assert keys(f'{{"network_dim": {value}}}') == ["network_dim"]


def test_a_file_in_a_code_page_is_read_but_for_its_other_characters() -> None:
    text = 'accelerate launch train_network.py --network_dim=4 --output_dir="D:\\写真"'
    source = read(text.encode("cp932"), "x")
    assert [one.key for one in source.given] == ["program", "--network_dim", "--output_dir"]
    assert any("save the file as UTF-8" in note for note in source.notes)


def test_a_config_file_that_is_not_there_is_not_passed_over(tmp_path: pathlib.Path) -> None:
    command = b"python train_network.py --config_file=c.toml"
    assert read(command, "x", [tmp_path]).given[1].name == "config_file"
    (tmp_path / "c.toml").write_text("network_dim = 4\n", encoding="utf-8")
    assert [one.name for one in read(command, "x", [tmp_path]).given] == ["network_dim", "script", "config_file.read"]


def test_what_belongs_to_no_flag_and_what_is_not_in_the_text_is_said() -> None:
    notes = read(b"python train_network.py @more.txt --output_dir $HOME/x --seed=$SEED", "x").notes
    assert any("@more.txt" in note for note in notes)
    assert any("$HOME, $SEED" in note for note in notes)


def test_of_several_commands_the_one_that_trains_a_lora_counts() -> None:
    text = b"python tag.py --a 1\npython fine_tune.py --b 1\npython sdxl_train_network.py --c 1\n"
    assert keys(text.decode()) == ["program", "--c"]
    assert keys(text.decode().rpartition("python")[0]) == ["program", "--b"]


def test_a_list_of_data_sets_is_a_dataset_config() -> None:
    source = read(DATASET.encode(), "d.toml")
    assert source.kind == "dataset"
    assert sum(one.spare for one in source.given) == 3
    assert [one.name for one in source.given if one.key == "datasets[0].subsets[2].image_dir"] == ["reg_image_dir"]


def test_files_beside_it_are_read_where_they_may_be(tmp_path: pathlib.Path) -> None:
    (tmp_path / "d.toml").write_text(DATASET, encoding="utf-8")
    (tmp_path / "prompts.txt").write_text("# mine\na cat --s 20\n", encoding="utf-8")
    (tmp_path / "c.toml").write_text('dataset_config = "d.toml"\nsample_prompts = "prompts.txt"\n', encoding="utf-8")
    command = "python train_network.py --config_file=c.toml --seed=1"
    source = read(command.encode(), "x", [tmp_path])
    assert len(source.notes) == 3
    values = {one.key: one.value for one in source.given}
    assert values["sample_prompts"].splitlines()[1] == "a cat --s 20"
    assert {"datasets[0].batch_size", "--seed", "dataset_config"} <= values.keys()
    assert keys(command) == ["program", "--config_file", "--seed"]


def test_no_other_machine_is_asked_for_a_file(tmp_path: pathlib.Path) -> None:
    for path in ("//server/share/d.toml", "\\\\\\\\server\\\\share\\\\d.toml", "none.toml", "\\u0000.toml"):
        assert keys(f'dataset_config = "{path}"\n', tmp_path) == ["dataset_config"]


def test_a_data_set_can_be_given_apart() -> None:
    source = read(json.dumps(MODERN).encode(), "cat.json")
    assert len(with_dataset(source, DATASET.encode(), "d.toml")) == len(MODERN) + 11
    with pytest.raises(Invalid, match="is no dataset_config"):
        with_dataset(source, b"seed = 1", "d.toml")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b"{}", "holds no settings"),
        (b"[]", "holds no settings"),
        (b'"a"', "holds no settings"),
        (b"{", "is not a JSON file"),
        (b'{"a": 1 "b": 2}', r"is not a JSON file.*line 1, column 9"),
        (b"[" * 100_000, "nested more deeply"),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, "nested more deeply"),
        ("写真".encode("cp932") * 9, "is no text file"),
        (b"just words", "no TOML config file and no sd-scripts command"),
        (b"a = = 1", "no TOML config file"),
        (b"a = " + b"[" * 5000, "no TOML config file"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is no text file"),
        (b"a\x00b", "is no text file"),
        (b"x" * (MAX_BYTES + 1), "is larger than"),
        (b"python train_network.py" + b" --a=1" * 10_001, "more than 10,000 keys"),
        (b'{"additional_parameters": "' + b"--a " * 10_001 + b'"}', "more than 10,000 keys"),
        (b'python train_network.py --a "b', "not closed"),
        (b"python train_network.py", "no sd-scripts command"),
        (b'{"version": 1, "training": {"epochs": 3}}', "LoRA Atelier already"),
    ],
    ids=lambda value: str(value[:12]),
)
def test_what_holds_nothing_of_kohyas_is_refused_in_one_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence) as caught:
        read(content, "cat")
    assert len(caught.value.messages) == 1
    assert str(caught.value).startswith("cat")


@pytest.mark.parametrize("data", ["datasets = [1]", "datasets = []", "[general]\nx=1\n[[datasets]]\nsubsets = 3"])
def test_odd_data_sets_are_no_trouble(data: str) -> None:
    if data == "datasets = []":
        with pytest.raises(Invalid, match="no settings"):
            keys(data)
    else:
        assert keys(data)
