"""A disk that will not suffice is told of before the training, and forbids nothing."""

import pathlib
import shutil
from types import SimpleNamespace

import pytest

from app import plans
from trainer.check import plan_lines, wrong_with
from trainer.dataset.plan import make_plan
from trainer.job import presets
from trainer.job.fields import flatten, parse
from trainer.job.settings import Job
from trainer.run.forecast import needed_bytes, room_remark


@pytest.fixture
def job() -> Job:
    return presets.read(presets.PRESETS / "sd15" / "starter.json").job


def free(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=count))


def test_a_small_disk_is_said_with_what_is_needed_and_free(
    job: Job, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(job)
    free(monkeypatch, needed_bytes(job, plan))
    assert room_remark(job, plan, tmp_path / "not" / "there yet") == ""
    free(monkeypatch, 1_500_000)
    assert "and 1.5 MB are free" in room_remark(job, plan, tmp_path)
    assert any("1.5 MB are free" in line for line in plan_lines(job))
    assert "1.5 MB are free" in plans.line(flatten(job))
    assert wrong_with(job) == []


def test_more_files_larger_ranks_and_more_samples_need_more(job: Job) -> None:
    plan, data = make_plan(job), job.model_dump(mode="json")
    before = needed_bytes(job, plan)
    for section, change in (
        ("output", {"save_every_epochs": 1, "save_every_steps": 1}),
        ("adapter", {"rank": 2 * job.adapter.rank}),
        ("samples", {"prompts": ["a"] * 50}),
        ("model", {"base": "user/model", "family": "sdxl"}),
    ):
        other = parse({**data, section: {**data[section], **change}})
        assert needed_bytes(other, make_plan(other)) > before


def test_a_rank_32_of_sdxl_needs_about_a_gigabyte_for_each_state() -> None:
    sections = {"model": {"family": "sdxl", "base": "user/model"}, "training": {"text_encoder": False}}
    job = parse({**sections, "adapter": {"rank": 32}, "output": {"save_every_epochs": 0}})
    assert needed_bytes(job, make_plan(job)) == pytest.approx(2 * 1.03e9 + 0.17e9, rel=0.05)
