"""A finished LoRA tried from the command line."""

import pathlib

import pytest

from tests.trainer import tiny
from trainer.__main__ import main
from trainer.run import folder


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none"], "none is no run folder: there is no job.json in it."),
        (["new"], 'Let it save one first: python -m trainer save "'),
        (["new", "--prompt", "a cat --w 3"], "Prompts: line 1: --w must be between 64 and 4096"),
        (["new", "--file", "none.safetensors"], "none.safetensors does not exist: check the path."),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    job = tiny.job(tmp_path, tiny_model, {"samples": {"prompts": ["a red thing"]}})
    folder.write_job(folder.create(tmp_path, "new"), job, {})
    assert main(["try", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("problem: ")
    assert sentence in said


@pytest.mark.parametrize("weight", ["strong", "nan", "1000"])
def test_a_weight_is_a_number(weight: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["try", "new", "--weight", weight])
    assert f"{weight} is no weight: give a number such as 0.8" in capsys.readouterr().err
