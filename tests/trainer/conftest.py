"""What the trainer's tests share: one tiny model for all of them."""

import pathlib
import signal
from collections.abc import Iterator

import pytest
from accelerate.state import AcceleratorState

from tests.trainer import tiny


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A diffusers folder with a small random model."""
    return tiny.model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A diffusers folder with a small random model of Stable Diffusion XL's layout."""
    return tiny.sdxl(tmp_path_factory.mktemp("tiny_sdxl") / "model")


@pytest.fixture
def heard_ctrl_c() -> Iterator[None]:
    """Ctrl-C reaches this process and those it begins, also where the tests run in a shell's background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _fresh_precision() -> None:
    """accelerate fixes the precision once a process; here one process carries out many runs."""
    AcceleratorState._reset_state()
