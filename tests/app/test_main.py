"""How the program starts where it cannot."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.house.tree import ROOT


@pytest.mark.parametrize("package", ["gradio", "pydantic"])
def test_a_package_that_cannot_be_loaded_is_said_with_what_to_do(tmp_path: pathlib.Path, package: str) -> None:
    (tmp_path / f"{package}.py").write_text("raise ImportError('DLL load failed')", encoding="utf-8")
    search = os.pathsep.join([str(tmp_path), str(ROOT)])
    asked = [sys.executable, "-m", "app", "--no-browser", "--port", "0", "--home", str(tmp_path / "home")]
    done = subprocess.run(
        asked, cwd=tmp_path, env={**os.environ, "PYTHONPATH": search}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "DLL load failed" in done.stderr
    assert "./setup.sh" in done.stderr
    assert "-m trainer.doctor" in done.stderr
    assert "Traceback" not in done.stderr
