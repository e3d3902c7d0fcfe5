"""An optimizer that cannot work here is replaced by one that does, and this is said."""

import pathlib
import sys

import pytest
import torch

from tests.trainer import tiny
from tests.trainer.engine.test_loop import carried_out, equal, final
from trainer.engine.optimizing import build
from trainer.job.optimizers import OPTIMIZERS
from trainer.job.settings import Training
from trainer.run import events

MPS = torch.device("mps")


def built(name: str, device: torch.device) -> tuple[str, list[str]]:
    """The module of the optimizer that is used on `device` for `name`, and what was said of it."""
    said: list[str] = []
    groups = [{"params": [torch.nn.Parameter(torch.zeros(2))], "lr": 1e-4}]
    optimizer, _ = build(Training(optimizer=name), groups, device, said.append)
    return type(optimizer).__module__, said


@pytest.mark.parametrize("name", [name for name, kind in OPTIMIZERS.items() if kind.stand_in is not None])
def test_without_bitsandbytes_another_optimizer_learns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    module, said = built(name, torch.device("cpu"))
    assert module.startswith(("torch.optim", "pytorch_optimizer"))
    assert len(said) == 1
    assert said[0].startswith(f"{OPTIMIZERS[name].label} cannot be used here: ")


def test_a_library_that_breaks_at_its_first_step_is_noticed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA Setup failed\nlibcudart.so: cannot open shared object file")

    monkeypatch.setattr("bitsandbytes.functional.optimizer_update_8bit_blockwise", broken)
    assert built("AdamW8bit", torch.device("cpu")) == (
        "torch.optim.adamw",
        [
            "AdamW 8-bit cannot be used here: CUDA Setup failed. AdamW takes its place; it learns the same way, but "
            "may need more memory."
        ],
    )


@pytest.mark.parametrize(
    ("name", "device"), [("PagedAdamW8bit", torch.device("cpu")), ("AdamW8bit", MPS), ("Lion8bit", MPS)]
)
def test_on_a_device_that_it_does_not_know_another_one_learns(name: str, device: torch.device) -> None:
    _, said = built(name, device)
    assert [f"does not work on this device ({device.type})" in text for text in said] == [True]


def test_what_works_is_used_without_a_word() -> None:
    for name in ("AdamW", "AdamW8bit", "Lion"):
        assert built(name, torch.device("cpu"))[1] == []


def test_a_training_without_bitsandbytes_is_one_with_adamw(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = carried_out(tiny.job(tmp_path, tiny_model, {"training": {"optimizer": "AdamW", "epochs": 1}}))
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    other, seen = carried_out(tiny.job(tmp_path, tiny_model, {"training": {"optimizer": "AdamW8bit", "epochs": 1}}))
    assert equal(final(whole), final(other))
    assert any("AdamW takes its place" in event.text for event in seen if isinstance(event, events.Warned))
