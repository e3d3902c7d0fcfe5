"""What a run keeps of a job's paths."""

import pathlib

import pytest

from trainer.job.settings import Job
from trainer.run.paths import with_whole_paths


def test_paths_do_not_depend_on_where_the_trainer_works(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "vae.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    folders = {"folder": "pictures", "regularisation_folder": "others", "mask_folder": "~/masks"}
    job = Job.model_validate(
        {"model": {"base": "model", "vae": "vae.safetensors", "tokenizer": "none"}, "dataset": folders}
    )
    whole = with_whole_paths(job, tmp_path / "out")
    assert (whole.model.base, whole.model.tokenizer) == (str(tmp_path / "model"), "none")
    assert whole.model.vae == str(tmp_path / "vae.safetensors")
    assert whole.dataset.folder == str(tmp_path / "pictures")
    assert whole.dataset.regularisation_folder == str(tmp_path / "others")
    assert whole.dataset.mask_folder == str(tmp_path / "home" / "masks")
    assert whole.output.folder == str(tmp_path / "out")


def test_names_that_are_no_paths_stay_as_they_are(tmp_path: pathlib.Path) -> None:
    job = Job.model_validate({"model": {"base": "user/model"}, "dataset": {"folder": "starter"}})
    whole = with_whole_paths(job, tmp_path)
    assert (whole.model.base, whole.dataset.folder) == ("user/model", "starter")
    assert (whole.dataset.regularisation_folder, whole.dataset.mask_folder) == ("", "")
