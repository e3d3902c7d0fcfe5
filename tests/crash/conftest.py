"""One server of trainers, one small job, and one run of it that nothing interrupted."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.crash.trainers import Trainers, outcome, served
from tests.trainer import tiny
from trainer.run.folder import RunFolder


@pytest.fixture(scope="package")
def trainers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainers]:
    """Two epochs of three steps, with files, samples and the state after each step or two."""
    place = tmp_path_factory.mktemp("crash")
    tiny.pictures(place / "data", 3)
    changes = {
        "output": {"save_precision": "fp32", "save_every_steps": 2, "save_state_every_minutes": 1e-9},
        "samples": {"prompts": ["a red thing"], "steps": 1, "width_px": 32, "height_px": 32, "every_steps": 2},
        "adapter": {"rank": 2, "alpha": 1, "dropout": 0.1, "targets": "attention"},
        "training": {"epochs": 2, "batch_size": 2, "learning_rate": 0.01, "text_encoder": False},
    }
    job = tiny.job(place, tiny.model(place / "model"), changes)
    server = served("server")
    with server:
        yield Trainers(server, job)
        assert server.stdin
        server.stdin.close()
    assert server.returncode == 0


@pytest.fixture(scope="package")
def whole(trainers: Trainers) -> RunFolder:
    """A run that nothing interrupted."""
    run = trainers.new()
    ended = trainers.resume(run)
    assert ended.status == 0, ended.said
    return run


@pytest.fixture(scope="package")
def expected(whole: RunFolder) -> dict[str, Any]:
    """What every other run has to come to."""
    return outcome(whole)
