"""What a trainer is started with."""

import os
import pathlib

from trainer.run import process


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
