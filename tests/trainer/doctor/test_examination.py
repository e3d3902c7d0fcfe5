"""The whole examination, with what it examines broken."""

import pathlib
import sys
import time

import pytest

from tests.house.tree import HEAVY, importing
from trainer.doctor import examination
from trainer.doctor.line import Line

ROOT = pathlib.Path(__file__).parents[3]
NAMES = [
    *("python", "packages", "outputs", "home", "cache", "temp", "memory", "open", "leftovers", "proxy", "hub"),
    *("clock", "driver", "torch", "card", "computation", "bitsandbytes"),
]


def examined(tmp_path: pathlib.Path, modules: dict[str, str]) -> dict[str, Line]:
    """The lines by name, where the modules are programs of these texts."""
    for name, text in modules.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    places = {"LORA_ATELIER_HOME": str(tmp_path / "home"), "LORA_ATELIER_OUTPUTS": str(tmp_path / "outputs")}
    search = f"{tmp_path}{':' if sys.platform != 'win32' else ';'}{ROOT}"
    found = list(examination.lines({**places, "PYTHONPATH": search}, network=False))
    assert [line.name for line in found if line.name != "driver"] == [name for name in NAMES if name != "driver"]
    return {line.name: line for line in found}


def test_a_torch_that_crashes_and_one_that_hangs_are_lines(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "HEAVY_S", 20.0)
    began = time.monotonic()
    found = examined(
        tmp_path,
        {
            "torch": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "bitsandbytes": "import time; time.sleep(600)",
            "psutil": "raise ImportError('psutil is broken')",
        },
    )
    assert time.monotonic() - began < 300
    assert found["torch"].ok == "no"
    assert "SIGSEGV" in found["torch"].text
    assert "torch>=" in found["torch"].command
    assert found["bitsandbytes"].ok == found["computation"].ok == found["card"].ok == "note"
    assert "psutil is broken" in found["memory"].text
    assert "no" not in (found["home"].ok, found["outputs"].ok)
    assert list(tmp_path.glob(".doctor-*")) == []


def test_packages_that_everything_needs_may_be_missing(tmp_path: pathlib.Path) -> None:
    found = examined(
        tmp_path,
        {
            "torch": "raise OSError('[WinError 1455] The paging file is too small')",
            "pydantic": "raise ModuleNotFoundError(\"No module named 'pydantic'\")",
        },
    )
    assert "page file" in found["torch"].text
    assert "pydantic" in found["home"].text
    assert found["python"].ok != "no"


def test_a_fault_of_the_doctors_own_is_a_line_and_not_the_end(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Line:
        raise ZeroDivisionError("of its own")

    monkeypatch.setattr(examination.surroundings, "memory", broken)
    found = examined(tmp_path, {"torch": "raise ImportError('none')", "bitsandbytes": "raise ImportError('none')"})
    assert found["memory"].ok == "note"
    assert "ZeroDivisionError: of its own" in found["memory"].text


def test_it_can_begin_where_no_package_is_installed() -> None:
    assert not importing(["trainer.doctor.command"]) & {"pydantic", "numpy", "PIL", "psutil", "packaging", *HEAVY}
