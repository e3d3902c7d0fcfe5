"""Reads the repository's sources for the tests beside this file, without importing them."""

import ast
import functools
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIGHT = ("trainer/job", "trainer/dataset", "trainer/run")
HEAVY = frozenset({"torch", "diffusers", "transformers", "peft", "accelerate", "bitsandbytes"})


class Import(NamedTuple):
    """One imported name: `from a.b import c` in `path` gives name a.b.c and module a.b."""

    path: pathlib.Path
    line: int
    module: str
    name: str
    inside_function: bool

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.name}"

    def under(self, *packages: str) -> bool:
        """Whether a module of one of the packages is imported, by either spelling."""
        return any(f"{self.name}.".startswith(f"{package}.") for package in packages)


def sources(*places: str, endings: tuple[str, ...] = (".py",)) -> list[pathlib.Path]:
    """The files below the places (folders or files, from the root) with one of the endings, in order."""
    found: set[pathlib.Path] = set()
    for place in places:
        path = ROOT / place
        found.update([path] if path.is_file() else (p for e in endings for p in path.rglob(f"*{e}")))
    return sorted(p for p in found if p.suffix in endings and "__pycache__" not in p.parts)


@functools.cache
def parsed(path: pathlib.Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def module_name(path: pathlib.Path) -> str:
    """trainer/job/facts.py → trainer.job.facts; a package's __init__.py → the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def imports(*places: str) -> list[Import]:
    """Every import below the places, wherever in a file it stands."""
    return [found for path in sources(*places) for found in _imports_of(path)]


def _imports_of(path: pathlib.Path) -> Iterator[Import]:
    inside = {id(node) for function in functions(parsed(path)) for node in ast.walk(function)}
    for node in ast.walk(parsed(path)):
        for module, name in _named(node, path):
            yield Import(path, node.lineno, module, name, id(node) in inside)


def _named(node: ast.AST, path: pathlib.Path) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Import():
            yield from ((alias.name, alias.name) for alias in node.names)
        case ast.ImportFrom():
            module = _absolute(node, path)
            yield from ((module, f"{module}.{alias.name}") for alias in node.names)
        case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__")):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value), str(node.args[0].value)


def _absolute(node: ast.ImportFrom, path: pathlib.Path) -> str:
    if not node.level:
        return node.module or ""
    package = path.relative_to(ROOT).parts[: -node.level]
    return ".".join((*package, *((node.module or "").split(".") if node.module else ())))


def importing(modules: list[str]) -> set[str]:
    """The top-level packages that a fresh Python holds once it has imported the modules."""
    return _loaded("-c", "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]", *modules)


def running(module: str, *words: str) -> set[str]:
    """The top-level packages that `python -m module words…` imports."""
    return _loaded("-m", module, *words)


def _loaded(*words: str) -> set[str]:
    command = [sys.executable, "-X", "importtime", *words]
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert done.returncode == 0, "\n".join(line for line in done.stderr.splitlines() if line not in lines)
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
