"""LoRA files that have learned something, each made once."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.trainer import tiny
from tests.trainer.engine.test_loop import carried_out

LEARNED = {"epochs": 0, "steps": 3, "learning_rate": 0.01}
Learned = Callable[..., pathlib.Path]


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory, tiny_model: pathlib.Path) -> Learned:
    """`learned(type="loha")` is the file of a short training with these adapter settings, of rank 4 and alpha 2."""
    files: dict[str, pathlib.Path] = {}

    def file(**adapter: Any) -> pathlib.Path:
        key = json.dumps(adapter, sort_keys=True)
        if key not in files:
            settings = {"rank": 4, "alpha": 2, **adapter}
            sections = {"adapter": settings, "training": LEARNED, "output": {"save_precision": "fp32"}}
            job = tiny.job(tmp_path_factory.mktemp("learned"), tiny_model, sections)
            files[key] = carried_out(job)[0].weights / "tiny.safetensors"
        return files[key]

    return file
