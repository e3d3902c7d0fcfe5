"""What is installed: this Python, and every package against the bounds that were tested. The standard library only."""

import dataclasses
import importlib.metadata
import os
import pathlib
import platform
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping

from trainer.doctor.line import Line, line, shown

ROOT = pathlib.Path(__file__).parents[2]
NAME = "lora-atelier"
_BOUND = re.compile(r"(>=|==|<)\s*([\d.]+(?:\.\*)?)")


@dataclasses.dataclass(frozen=True)
class Python:
    """The Python that runs this."""

    version: str
    bounds: str
    is_64_bit: bool = True
    is_apart: bool = True
    """Whether it is an environment of its own, which nothing else changes."""
    machine: str = ""
    system: str = ""
    whole_system: str = ""


@dataclasses.dataclass(frozen=True)
class Package:
    """One that is needed; `version` is "" where it is missing."""

    name: str
    bounds: str
    version: str


def python_here() -> Python:
    """The facts of this process."""
    apart = sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ
    return Python(
        platform.python_version(),
        bounds_of_python(),
        sys.maxsize > 2**32,
        apart,
        platform.machine().lower(),
        platform.system(),
        platform.platform(),
    )


def python(facts: Python) -> Line:
    """The verdict."""
    values = {"version": facts.version, "bounds": facts.bounds}
    if fits(facts.version, facts.bounds) is not None:
        return line("python", "no", "python_version", setup(), **values)
    if not facts.is_64_bit:
        return line("python", "no", "python_32", setup(), **values)
    if facts.system == "Darwin" and facts.machine == "x86_64":
        return line("python", "no", "python_intel_mac", **values)
    if not facts.is_apart:
        return line("python", "note", "python_shared", setup(), **values)
    return line("python", "yes", "python", **values, where=os.path.dirname(sys.executable), system=facts.whole_system)


def packages_here() -> tuple[Package, ...]:
    """Every package that is needed, with what is installed of it."""
    return tuple(Package(name, bounds, _version(name)) for name, bounds in needed().items())


def packages(facts: Iterable[Package]) -> Line:
    """The verdict; newer ones than were tested are worth knowing, missing and older ones are wrong."""
    all_of_them = tuple(facts)
    apart = {package: fits(package.version, package.bounds) for package in all_of_them}
    bad = [package for package, how in apart.items() if how in ("missing", "older")]
    newer = [package for package, how in apart.items() if how == "newer"]
    if bad:
        return line("packages", "no", "packages", pip("install", "-e", "."), found=_listed(bad))
    if newer:
        return line("packages", "note", "packages_newer", pip("install", "-e", "."), found=_listed(newer))
    return line(
        "packages", "yes", "packages_fit", found=", ".join(f"{each.name} {each.version}" for each in all_of_them)
    )


def _listed(packages: Iterable[Package]) -> str:
    return "; ".join(f"{each.name} {each.version or '–'} ({each.bounds})" for each in packages)


def fits(version: str, bounds: str) -> str | None:
    """None where `version` lies within `bounds`, such as ">=1.2,<2" or "==6.31.*"; else missing, older or newer."""
    if not version:
        return "missing"
    have = _numbers(version)
    for sign, text in _BOUND.findall(bounds):
        limit = _numbers(text.removesuffix(".*"))
        if sign == "==":
            start = (have + (0,) * len(limit))[: len(limit)]
            if start != limit:
                return "older" if start < limit else "newer"
        elif (_filled(have, limit) < limit) if sign == ">=" else (_filled(have, limit) >= limit):
            return "older" if sign == ">=" else "newer"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version, without what says that it is a candidate or a local build."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _filled(have: tuple[int, ...], like: tuple[int, ...]) -> tuple[int, ...]:
    return have + (0,) * (len(like) - len(have))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name) or ""
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError):
        return ""


def needed() -> Mapping[str, str]:
    """The bounds of every package that the program needs, by name."""
    rows = [re.match(r"([\w.-]+)\s*\(?([^;)]*)", text) for text in _requirements()]
    return {found[1]: found[2].strip() for found in rows if found}


def _requirements() -> list[str]:
    if (ROOT / "pyproject.toml").is_file():
        return [str(each) for each in _project()["dependencies"]]
    installed = importlib.metadata.requires(NAME) or []
    return [text for text in installed if "extra ==" not in text]


def bounds_of_python() -> str:
    """Such as ">=3.11,<3.15"."""
    if (ROOT / "pyproject.toml").is_file():
        return str(_project()["requires-python"])
    return importlib.metadata.metadata(NAME)["Requires-Python"] or ""


def _project() -> Mapping[str, list[str]]:
    project: Mapping[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


# ---- commands ----


def pip(*words: str) -> str:
    """The command of this Python's pip, as it is written in the program's folder."""
    executable = pathlib.Path(sys.executable)
    own = executable.relative_to(ROOT) if executable.is_relative_to(ROOT) else executable
    return " ".join([shown(own), "-m", "pip", *(shown(word) for word in words)])


def install_torch(index: str) -> str:
    """The command that replaces torch by a build of https://download.pytorch.org/whl/<index>."""
    bounds = needed().get("torch", "")
    address = f"https://download.pytorch.org/whl/{index}"
    return pip("install", "--force-reinstall", f"torch{bounds}", "--index-url", address)


def setup() -> str:
    """The command that makes the environment anew."""
    return "rm -rf .venv && ./setup.sh" if os.name != "nt" else "bash setup.sh"
