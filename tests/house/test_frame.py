"""The scripts that a newcomer runs first, and the file that says what gets installed."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.house.tree import ROOT

SCRIPTS = ("setup.sh", "gui.sh", ".ci/run")
BASH = shutil.which("bash") or "bash"


def run(folder: pathlib.Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What bash did with a script and its words, in that folder, with no terminal and no input."""
    command = [BASH, *words]
    env = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
    )


def tools_only(folder: pathlib.Path, *stubs: str) -> pathlib.Path:
    """A folder for PATH with the few tools that setup.sh calls and the named stubs, which only fail; no Python."""
    folder.mkdir()
    for name in ("bash", "cat", "cksum", "date", "dirname", "mkdir", "rm", "tail", "uname"):
        (folder / name).symlink_to(shutil.which(name) or name)
    for name in stubs:
        (folder / name).write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def copy(tmp_path: pathlib.Path) -> pathlib.Path:
    """The frame alone, in a folder with a space in its name."""
    folder = tmp_path / "a copy"
    folder.mkdir()
    for name in ("setup.sh", "gui.sh", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_is_bash_and_may_be_run(script: str) -> None:
    assert run(ROOT, "-n", script).stderr == ""
    assert os.access(ROOT / script, os.X_OK)


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_script_needs_a_newer_bash_than_macos_has(script: str) -> None:
    newer = r"declare -A|local -n|mapfile|readarray|\$\{\w+(,,|\^\^)|\|&|&>>|coproc|wait -n"
    assert not re.findall(newer, (ROOT / script).read_text(encoding="utf-8"))


def test_continuous_integration_runs_the_same_command() -> None:
    assert re.search(r"^ *\./setup\.sh --test\b", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE)


FAILS_ONCE = """
def test_that_fails_once(request):
    if request.config.cache.get("seen", None) is None:
        request.config.cache.set("seen", 1)
        assert False
"""
ENDS_BADLY_ONCE = """
import pytest

@pytest.fixture
def ends_badly_once(request):
    yield
    if request.config.cache.get("ended", None) is None:
        request.config.cache.set("ended", 1)
        assert False

def test_whose_fixture_ends_badly_once(ends_badly_once):
    pass
"""
CANNOT_BE_READ = "import no_such_module"
FAIL_ALWAYS = """
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_that_fails(number):
    assert False
"""


@pytest.mark.parametrize(
    ("files", "passes", "again"),
    [
        ([], True, False),
        ([FAILS_ONCE], True, True),
        ([FAIL_ALWAYS.format(count=1)], False, True),
        ([FAIL_ALWAYS.format(count=6)], False, False),
        ([ENDS_BADLY_ONCE], False, False),
        ([FAILS_ONCE, ENDS_BADLY_ONCE], False, False),
        ([CANNOT_BE_READ], False, False),
    ],
)
def test_continuous_integration_tries_again_only_a_few_failures_of_a_whole_run(
    tmp_path: pathlib.Path, files: list[str], passes: bool, again: bool
) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci")
    setup = f'#!/bin/sh\nshift\nexec "{sys.executable}" -m pytest --numprocesses=1 "$@"\n'
    (tmp_path / "setup.sh").write_text(setup, encoding="utf-8")
    (tmp_path / "setup.sh").chmod(0o755)
    for number, text in enumerate(["def test_that_passes(): pass", *files]):
        (tmp_path / f"test_{number}.py").write_text(text, encoding="utf-8")
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = run(tmp_path, ".ci/run", PATH=path)
    assert (done.returncode == 0) is passes, done.stdout
    assert ("is run once more" in done.stdout) is again


@pytest.mark.parametrize(
    ("system", "advice"),
    [("apt-get", "sudo apt install"), ("dnf", "sudo dnf install"), ("pacman", "sudo pacman -S"), ("", "python.org")],
)
def test_without_python_setup_says_what_to_install(
    copy: pathlib.Path, tmp_path: pathlib.Path, system: str, advice: str
) -> None:
    path = tools_only(tmp_path / "tools", *filter(None, [system]))
    done = run(tmp_path, str(copy / "setup.sh"), PATH=str(path))
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    if os.uname().sysname == "Linux":
        assert advice in done.stderr


def test_a_python_that_is_only_a_stub_is_passed_over(copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tools_only(tmp_path / "tools", "python3.13", "python3")
    assert "needs Python 3.11 or newer" in run(tmp_path, str(copy / "setup.sh"), PATH=str(path)).stderr


def test_the_gui_does_not_start_when_setup_failed(copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, str(copy / "gui.sh"), "--quickstart", PATH=str(tools_only(tmp_path / "tools")))
    assert done.returncode == 1
    assert "needs Python" in done.stderr


def test_setup_that_was_done_is_not_done_again(copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    python = copy / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho the app with $*\n", encoding="utf-8")
    python.chmod(0o755)
    stamp = run(copy, "-c", 'printf "%s %s" "$(cksum <pyproject.toml)" "$(pwd -P)"').stdout
    (copy / ".venv/ready").write_text(stamp, encoding="utf-8")
    path = str(tools_only(tmp_path / "tools"))
    assert run(tmp_path, str(copy / "setup.sh"), PATH=path).stdout == "LoRA Atelier is set up; ./gui.sh starts it.\n"
    assert (
        run(tmp_path, str(copy / "gui.sh"), "--port", "7861", PATH=path).stdout == "the app with -m app --port 7861\n"
    )
    with (copy / "pyproject.toml").open("a", encoding="utf-8") as pyproject:
        pyproject.write("\n")
    assert "Setting up" in run(tmp_path, str(copy / "gui.sh"), PATH=path).stdout


def test_setup_refuses_words_that_it_does_not_know(copy: pathlib.Path) -> None:
    done = run(copy, "setup.sh", "--tset")
    assert done.returncode == 2
    assert "usage:" in done.stderr


def every_dependency() -> list[Requirement]:
    """What pyproject.toml names: for the program, for the tests, and for building."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        pyproject = tomllib.load(file)
    extras = pyproject["project"]["optional-dependencies"].values()
    named = [pyproject["project"]["dependencies"], *extras, pyproject["build-system"]["requires"]]
    return [Requirement(line) for group in named for line in group]


def test_every_dependency_is_bounded_on_both_sides() -> None:
    def bounded(requirement: Requirement) -> bool:
        operators = {specifier.operator for specifier in requirement.specifier}
        return "==" in operators or {">=", "<"} <= operators

    assert [str(r) for r in every_dependency() if not bounded(r)] == []


def test_setup_installs_a_pytorch_that_pyproject_accepts() -> None:
    pinned = re.search(r"^torch=torch==(\S+)$", (ROOT / "setup.sh").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned
    assert next(r for r in every_dependency() if r.name == "torch").specifier.contains(pinned[1])


def test_the_readme_begins_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "./gui.sh --quickstart" in readme
    assert "./setup.sh --test" in readme
