"""What a trainer is started with."""

import os
import pathlib

from app import jobs
from trainer.job.settings import Job


def test_paths_do_not_depend_on_where_the_trainer_works(tmp_path: pathlib.Path) -> None:
    (tmp_path / "user" / "model").mkdir()
    job = Job.model_validate(
        {
            "model": {"base": "model"},
            "dataset": {"folder": "pictures", "regularisation_folder": "others", "mask_folder": "~/masks"},
            "output": {"folder": "outputs"},
        }
    )
    whole = jobs.with_whole_paths(job)
    assert whole.model.base == str(tmp_path / "user" / "model")
    assert whole.dataset.folder == str(tmp_path / "user" / "pictures")
    assert whole.dataset.regularisation_folder == str(tmp_path / "user" / "others")
    assert whole.dataset.mask_folder == str(tmp_path / "user" / "masks")
    assert whole.output.folder == str(tmp_path / "outputs")


def test_names_that_are_no_paths_stay_as_they_are() -> None:
    job = Job.model_validate({"model": {"base": "user/model"}, "dataset": {"folder": "starter"}})
    whole = jobs.with_whole_paths(job)
    assert (whole.model.base, whole.dataset.folder) == ("user/model", "starter")
    assert (whole.dataset.regularisation_folder, whole.dataset.mask_folder) == ("", "")


def test_what_was_set_for_the_gui_alone_is_not_inherited() -> None:
    own = {"HF_HUB_OFFLINE": "1", jobs.HUB_HELD_BACK: "1", "GRADIO_ANALYTICS_ENABLED": "False", "PATH": "/bin"}
    inherited = jobs.environment(own)
    assert inherited["PATH"] == "/bin"
    assert inherited["PYTHONUNBUFFERED"] == "1"
    assert not {name for name in inherited if name.startswith(("HF_", "GRADIO_", "LORA_"))}


def test_a_user_who_wants_to_be_offline_stays_so() -> None:
    assert jobs.environment({"HF_HUB_OFFLINE": "1"})["HF_HUB_OFFLINE"] == "1"


def test_the_program_is_found_from_any_folder() -> None:
    first = jobs.environment({"PYTHONPATH": "/mine"})["PYTHONPATH"].split(os.pathsep)
    assert (pathlib.Path(first[0]) / "trainer").is_dir()
    assert first[1:] == ["/mine"]
