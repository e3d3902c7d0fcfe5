"""What a trainer is started with."""

import os
import pathlib

from trainer.run import folder, process


def test_what_was_set_for_the_gui_alone_is_not_inherited() -> None:
    own = {"HF_HUB_OFFLINE": "1", process.HUB_HELD_BACK: "1", "GRADIO_ANALYTICS_ENABLED": "False", "PATH": "/bin"}
    inherited = process.environment(own)
    assert inherited["PATH"] == "/bin"
    assert inherited["PYTHONUNBUFFERED"] == "1"
    own_words = ("HF_", "GRADIO_", "LORA_")
    assert {name for name in inherited if name.startswith(own_words)} <= set(process.NO_TELEMETRY)


def test_a_user_who_wants_to_be_offline_stays_so() -> None:
    assert process.environment({"HF_HUB_OFFLINE": "1"})["HF_HUB_OFFLINE"] == "1"


def test_the_program_is_found_from_any_folder() -> None:
    first = process.environment({"PYTHONPATH": "/mine"})["PYTHONPATH"].split(os.pathsep)
    assert (pathlib.Path(first[0]) / "trainer").is_dir()
    assert first[1:] == ["/mine"]


def test_no_program_that_lies_in_a_run_folder_is_run(tmp_path: pathlib.Path) -> None:
    run = folder.create(tmp_path, "of a stranger")
    run.job.write_text("no job", encoding="utf-8")
    planted = f"open({str(tmp_path / 'was here')!r}, 'w').close()"
    for name in ("trainer", "numpy", "json", "argparse"):
        (run.path / f"{name}.py").write_text(planted, encoding="utf-8")
    assert process.begin_trainer(run, {}).wait(300) == 2
    assert "job of this run cannot be read" in run.log.read_text(encoding="utf-8")
    assert not (tmp_path / "was here").exists()
