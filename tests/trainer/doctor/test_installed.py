"""What is said of Python and of the packages against the bounds that were tested."""

import re

import pytest

from trainer.doctor import installed
from trainer.doctor.installed import Package, Python, fits

GOOD = Python("3.12.4", ">=3.11,<3.15", system="Linux", machine="x86_64")


@pytest.mark.parametrize(
    ("version", "bounds", "how"),
    [
        ("2.13.0+cpu", ">=2.11,<2.14", None),
        ("2.14.0", ">=2.11,<2.14", "newer"),
        ("2.14.0rc1", ">=2.11,<2.14", "newer"),
        ("2.4.1+cu121", ">=2.11,<2.14", "older"),
        ("6.31.7", "==6.31.*", None),
        ("6.4", "==6.31.*", "older"),
        ("6.32.0", "==6.31.*", "newer"),
        ("12", "<13,>=12", None),
        ("1.0", "<1.11,>=1.0.1", "older"),
        ("", ">=1", "missing"),
    ],
)
def test_versions_are_compared_by_number(version: str, bounds: str, how: str | None) -> None:
    assert fits(version, bounds) == how


@pytest.mark.parametrize(
    ("facts", "ok", "said"),
    [
        (GOOD, "yes", "3.12.4"),
        (Python("3.10.2", ">=3.11,<3.15"), "no", "none of those"),
        (Python("3.15.0", ">=3.11,<3.15"), "no", "none of those"),
        (Python("3.12.4", ">=3.11,<3.15", is_64_bit=False), "no", "32 bit"),
        (Python("3.12.4", ">=3.11,<3.15", is_apart=False), "note", "whole system"),
        (Python("3.12.4", ">=3.11,<3.15", system="Darwin", machine="x86_64"), "no", "Intel"),
        (Python("3.12.4", ">=3.11,<3.15", system="Darwin", machine="arm64"), "yes", "3.12.4"),
    ],
)
def test_python(facts: Python, ok: str, said: str) -> None:
    line = installed.python(facts)
    assert line.ok == ok
    assert said in line.text
    assert bool(line.advice) == (ok != "yes")


@pytest.mark.parametrize(
    ("versions", "ok", "said"),
    [
        (("2.13", "0.42.1"), "yes", "torch 2.13, diffusers 0.42.1"),
        (("2.13", ""), "no", "diffusers – (>=0.42,<0.43)"),
        (("2.4.1", "0.43"), "no", "torch 2.4.1 (>=2.11,<2.14)"),
        (("2.13", "0.43"), "note", "diffusers 0.43"),
    ],
)
def test_packages(versions: tuple[str, str], ok: str, said: str) -> None:
    rows = zip(("torch", "diffusers"), (">=2.11,<2.14", ">=0.42,<0.43"), versions, strict=True)
    line = installed.packages([Package(*row) for row in rows])
    assert line.ok == ok
    assert said in line.text
    assert ("install -e ." in line.command) == (ok != "yes")


def test_the_bounds_are_those_of_the_project() -> None:
    assert set(installed.needed()) >= {"torch", "gradio", "bitsandbytes", "pydantic"}
    assert re.fullmatch(r">=[\d.]+,<[\d.]+", installed.needed()["torch"])
    assert re.fullmatch(r">=3\.\d+,<3\.\d+", installed.bounds_of_python())


def test_here_all_is_well() -> None:
    assert installed.python(installed.python_here()).ok in ("yes", "note")
    assert not [each for each in installed.packages_here() if fits(each.version, each.bounds) in ("missing", "older")]
