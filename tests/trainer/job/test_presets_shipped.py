"""The presets that come with the program: they train, and cost what they say."""

import functools
import pathlib

import pytest
from torch import nn

from tests.trainer import cost, tiny
from trainer.engine.loop import train
from trainer.job import presets
from trainer.job.fields import parse
from trainer.run import events, folder

FILES = sorted(path for path in presets.PRESETS.glob("*/*.json") if path.stem != "starter")


def name(path: pathlib.Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@functools.cache
def base(family: str, above: pathlib.Path) -> pathlib.Path:
    """A tiny model of the family."""
    if family == "sdxl":
        return tiny.sdxl(above / "sdxl")
    return tiny.model(above / family, "v_prediction" if family == "sd2" else "epsilon", family == "sd2")


@pytest.mark.parametrize("path", FILES, ids=name)
def test_each_trains(path: pathlib.Path, tmp_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """On the small model of its family, and without half precision, which processors lack."""
    values = {section: dict(given) for section, given in presets.read(path).data.items()}
    values["model"]["base"] = str(base(values["model"]["family"], tmp_path_factory.getbasetemp() / "bases"))
    data = tiny.pictures(tmp_path / "data", 2)
    values["dataset"] |= {"folder": str(data), "resolution": 64, "bucket_min_px": 64, "cache_to_disk": False}
    values["training"] |= {"epochs": 0, "steps": 2, "precision": "no"}
    values["output"] |= {"folder": str(tmp_path / "out"), "save_every_epochs": 0}
    run = folder.create(tmp_path / "out", "tiny")
    seen: list[events.Event] = []
    train(parse(values), run, seen.append)
    assert isinstance(seen[-1], events.Finished)
    assert [event.largest_relative_error < 1e-3 for event in seen if isinstance(event, events.Saved)] == [True]


@functools.cache
def of_full_size(family: str) -> dict[str, nn.Module]:
    return cost.models(family)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_the_file_has_the_size_that_is_said(path: pathlib.Path) -> None:
    document = presets.read(path)
    size_mb = cost.file_bytes(document.job, of_full_size(document.job.model.family)) / 1e6
    assert document.file_mb == pytest.approx(size_mb, rel=0.05)


@pytest.mark.full_size
@pytest.mark.parametrize("path", FILES, ids=name)
def test_the_memory_is_what_was_estimated(path: pathlib.Path) -> None:
    document = presets.read(path)
    memory_gb = cost.memory_bytes(document.job, cost.models(document.job.model.family)) / 1e9
    assert document.memory_gb == pytest.approx(memory_gb, rel=0.1)
