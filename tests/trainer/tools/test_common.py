"""Progress as a program reads it from a pipe."""

import itertools

import pytest

from tests.trainer.formats import made
from trainer.formats import layouts
from trainer.tools.common import counted, network_metadata


def test_every_item_is_given_and_the_last_line_says_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(counted(list("abc"), "tensors")) == ["a", "b", "c"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1/3 tensors"
    assert lines[-1] == "3/3 tensors"


def test_lines_are_few_however_many_items(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr("time.monotonic", lambda: 100 + next(ticks) / 100)
    list(counted(range(100)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1/100 layers"
    assert lines[-1] == "100/100 layers"
    assert 4 <= len(lines) <= 7


def test_an_item_counts_only_once_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    items = counted([1, 2])
    next(items)
    assert capsys.readouterr().out == ""
    next(items)
    assert capsys.readouterr().out == "1/2 layers\n"


V = {"ss_base_model_version": "sd_v2_v", "modelspec.architecture": "stable-diffusion-v2-768-v/lokr"}
NOISE = {"ss_base_model_version": "sd_v2", "modelspec.architecture": "stable-diffusion-v2-512/lora"}


@pytest.mark.parametrize(
    ("sources", "version", "architecture"),
    [
        ([V, V], "sd_v2_v", "stable-diffusion-v2-768-v/lora"),
        ([NOISE], "sd_v2", "stable-diffusion-v2-512/lora"),
        ([V, NOISE], "sd_v2", "stable-diffusion-v2-768-v/lora"),
        ([{"ss_base_model_version": "sdxl_base_v1-0"}], "sd_v2", "stable-diffusion-v2-768-v/lora"),
        ([], "sd_v2", "stable-diffusion-v2-768-v/lora"),
    ],
)
def test_a_file_is_for_the_model_that_its_sources_are_for(
    sources: list[dict[str, str]], version: str, architecture: str
) -> None:
    found = network_metadata(layouts.SD2, made.sd15(), sources)
    assert (found["ss_base_model_version"], found["modelspec.architecture"]) == (version, architecture)
    assert found["ss_v2"] == "True"
