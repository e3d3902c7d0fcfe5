"""Which devices there are, as nvidia-smi and the environment tell it."""

import pathlib
import sys

import pytest

from trainer.run.devices import Device, devices

TWO = """GPU 0: NVIDIA GeForce RTX 4090 (UUID: GPU-5f0ca1ac-8a3e-4b5e-9d0c-000000000001)
  MIG 1g.10gb     Device  0: (UUID: MIG-1)
GPU 1: NVIDIA RTX A6000 (UUID: GPU-5f0ca1ac-8a3e-4b5e-9d0c-000000000002)
"""


@pytest.fixture
def smi(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """An nvidia-smi that prints what is in a file, which is returned; CUDA_VISIBLE_DEVICES is not set."""
    if sys.platform == "win32":
        pytest.skip("a script is no program there")
    program, told = tmp_path / "nvidia-smi", tmp_path / "told"
    program.write_text(f'#!/bin/sh\n/bin/cat "{told}"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return told


def test_several_cards_are_several_devices(smi: pathlib.Path) -> None:
    smi.write_text(TWO, encoding="utf-8")
    found = devices()
    assert [device.name for device in found] == ["NVIDIA GeForce RTX 4090", "NVIDIA RTX A6000"]
    assert found[1].environment == {"CUDA_VISIBLE_DEVICES": "GPU-5f0ca1ac-8a3e-4b5e-9d0c-000000000002"}


@pytest.mark.parametrize("told", ["", "NVIDIA-SMI has failed", TWO.partition("\n")[0] + "\n"])
def test_one_card_or_none_is_one_device_that_the_trainer_finds_by_itself(smi: pathlib.Path, told: str) -> None:
    smi.write_text(told, encoding="utf-8")
    assert devices() == (Device(),)
    assert devices()[0].environment == {}


def test_without_nvidia_smi_there_is_one_device(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices() == (Device(),)


@pytest.mark.parametrize(("visible", "keys"), [("2, 0", ["2", "0"]), ("1", [""]), ("", [""])])
def test_what_the_environment_names_is_taken_as_it_is(
    smi: pathlib.Path, monkeypatch: pytest.MonkeyPatch, visible: str, keys: list[str]
) -> None:
    smi.write_text(TWO, encoding="utf-8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [device.key for device in devices()] == keys
