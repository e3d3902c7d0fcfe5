"""`python -m trainer import` as a person or a script uses it."""

import io
import json
import pathlib
import sys

import pytest

from tests.trainer.job.kohya_import.inputs import DATASET, GENERATIONS, MODERN
from trainer.__main__ import main
from trainer.check import read_job_file
from trainer.job.kohya_import.convert import convert, rows
from trainer.job.kohya_import.read import read
from trainer.job.kohya_import.report import counts


def call(*words: object) -> int:
    """The exit status."""
    return main(["import", *map(str, words)])


@pytest.fixture
def preset(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "my cat.json"
    path.write_text(json.dumps(MODERN), encoding="utf-8")
    return path


def test_the_job_is_written_and_can_be_run(
    preset: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "job.json"
    assert call(preset, "--out", out) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"my cat.json: {len(MODERN)} keys\n")
    for heading in ("NOT SUPPORTED (", "TAKEN OVER (", "MEANINGLESS HERE (", "SAME AS DEFAULT ("):
        assert heading in told
    assert "  unet_lr = 0.0002 -> training.learning_rate = 0.0002\n" in told
    assert told.endswith(f"wrote {out}\n")
    assert read_job_file(out, []).training.learning_rate == 0.0002
    assert json.loads(out.read_text(encoding="utf-8"))["title"] == "my cat"


def test_the_report_can_be_had_for_programs(preset: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(preset, "--report", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert sum(told["counts"].values()) == told["keys"] == len(MODERN)
    assert told["job"]["training"]["steps"] == 1600
    assert {"key", "value", "to", "why"} <= told["taken"][0].keys()


def test_a_command_is_read_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"accelerate launch train_network.py --network_dim=4 --unheard=1"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert call("-") == 0
    told = capsys.readouterr().out
    assert "--network_dim = 4 -> adapter.rank = 4" in told
    assert "--unheard = 1  (unknown key; it has no effect)" in told
    assert "nothing was written" in told


def test_a_dataset_config_can_be_named(
    preset: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "d.toml"
    data.write_text(DATASET, encoding="utf-8")
    assert call(preset, "--dataset-config", data) == 0
    assert "dataset.folder = /pictures/set" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none.json"], "none.json does not exist"),
        (["."], "cannot be read"),
        (["{preset}", "--out", "{preset}"], "is the file that is imported"),
        (["{preset}", "--out", "{preset}/job.json"], "cannot be written"),
        (["{preset}", "--dataset-config", "{preset}"], "is no dataset_config"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    preset: pathlib.Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = preset.read_bytes()
    assert call(*(word.format(preset=preset) for word in words)) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("problem: ") == 1
    assert preset.read_bytes() == before


def test_every_generation_passes_the_check_but_for_paths(tmp_path: pathlib.Path) -> None:
    for name, given in GENERATIONS.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(given), encoding="utf-8")
        assert call(path, "--out", tmp_path / "job.json") == 0
        read_job_file(tmp_path / "job.json", [])


def test_no_key_is_lost_when_all_stand_in_one_file() -> None:
    made = convert(read(json.dumps(dict.fromkeys(rows(), 1)).encode(), "all"))
    assert sum(counts(made).values()) == len(rows())
