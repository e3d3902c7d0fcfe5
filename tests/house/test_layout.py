"""Where things lie: the top level, the mirror of the tests, one file per family and adapter, and words left out."""

import fnmatch
import pathlib
import re

from tests.house.tree import ROOT, imports, sources
from trainer.job.facts import ADAPTERS, FAMILIES

TOP_LEVEL = frozenset(
    {"CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", "gui.sh", "setup.sh"}
    | {"app", "presets", "tests", "trainer"}
)
TEXT = (".py", ".js", ".css", ".html", ".sh", ".md", ".toml", ".json")
# Each with one letter in brackets, so that this file does not hold it.
UNWANTED = re.compile(r"anthropi[c]|chatgp[t]|claud[e]|code[x]\b|copilo[t]|subagen[t]|\.\./share[d]/", re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w.$}~-])/(?:hom[e]/(?!you\b)|roo[t]/|wor[k]/|op[t]/(?!homebrew))\w")


def stems(folder: str) -> set[str]:
    """The names of the modules in a folder."""
    return {path.stem for path in (ROOT / folder).glob("*.py")}


def test_the_top_level_holds_what_was_agreed() -> None:
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split() if line != "#"]
    names = {p.name for p in ROOT.iterdir() if not any(fnmatch.fnmatch(p.name, i) for i in ignored)}
    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


def test_each_family_has_one_row_and_one_file() -> None:
    """What lies beside the families is what they call; a file that none calls is a family without its row."""
    shared = called_from("families", frozenset(FAMILIES))
    assert set(FAMILIES) == stems("trainer/families") - shared - {"__init__", "base"}


def test_each_adapter_names_its_file() -> None:
    modules = frozenset(row.module for row in ADAPTERS.values())
    assert modules == stems("trainer/adapters") - called_from("adapters", modules) - {"__init__", "base"}


def called_from(folder: str, modules: frozenset[str]) -> set[str]:
    """The other modules of trainer/<folder> that these import, themselves or through one another."""
    found, new = set(modules), set(modules)
    while new:
        known = [i for name in new for i in imports(f"trainer/{folder}/{name}.py")]
        new = {i.name.split(".")[2] for i in known if i.under(f"trainer.{folder}")} - found
        found |= new
    return found - modules


def test_each_test_stands_where_its_code_stands() -> None:
    """tests/trainer/job/test_facts.py, or test_facts_of_adapters.py, is for trainer/job/facts.py."""
    tests = [path for path in sources("tests/trainer", "tests/app") if path.name.startswith("test_")]
    assert not [str(test.relative_to(ROOT)) for test in tests if not mirrored(test)]


def mirrored(test: pathlib.Path) -> bool:
    """Whether the folder that the test mirrors holds a module or folder whose name the test's begins with."""
    folder = ROOT / test.parent.relative_to(ROOT / "tests")
    subject = test.stem.removeprefix("test_")
    names = [path.stem.strip("_") for path in folder.glob("*") if path.is_dir() or path.suffix in (".py", ".js")]
    return any(subject == name or subject.startswith(f"{name}_") for name in names)


def test_each_part_of_the_house_is_tested() -> None:
    parts = {path.parent.relative_to(ROOT).parts[:2] for path in sources("trainer") if path.parent != ROOT / "trainer"}
    folders = [pathlib.Path("tests", *part) for part in sorted({*parts, ("app",)})]
    assert len(folders) > 1
    assert not [str(folder) for folder in folders if not list((ROOT / folder).rglob("test_*.py"))]


def test_no_file_speaks_of_the_tools_and_machines_it_was_made_with() -> None:
    files = sources("trainer", "app", "tests", "presets", *TOP_LEVEL - {"LICENSE"}, endings=TEXT)
    assert files
    found = [f"{path.relative_to(ROOT)}: {hit}" for path in files for hit in unwanted(path.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


def unwanted(text: str) -> list[str]:
    """The unwanted words of a text, and its absolute paths into somebody's machine."""
    return [found.group() for pattern in (UNWANTED, MACHINE_PATH) for found in pattern.finditer(text)]
