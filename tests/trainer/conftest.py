"""What the trainer's tests share: one tiny model for all of them."""

import pathlib

import pytest

from tests.trainer import tiny


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A diffusers folder with a small random model."""
    return tiny.model(tmp_path_factory.mktemp("tiny") / "model")
