"""How large files and functions may be. One place with a reason may be larger: the training loop."""

import ast
import pathlib
import statistics

import pytest

from tests.house.tree import ROOT, functions, parsed, sources

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 80
MAX_LOOP_LINES = 150
MAX_PARAMETERS = 6
LOOP = ROOT / "trainer/engine/loop.py"
TEXT = (".py", ".js", ".css", ".html", ".sh")


def lines_of(path: pathlib.Path) -> int:
    """The number of lines of a file."""
    return path.read_text(encoding="utf-8").count("\n")


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The number of lines from `def` to the last statement."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    """Every named argument but self and cls."""
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [a for a in named if a.arg not in ("self", "cls")]


def percentile(values: list[int], share: float) -> int:
    """The value below which this share of the values lies; 0 of none."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0


def all_functions(*places: str) -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function below the places, with how to find it."""
    return [(f"{p.relative_to(ROOT)}:{f.lineno} {f.name}", f) for p in sources(*places) for f in functions(parsed(p))]


def test_no_file_is_too_long() -> None:
    files = sources("trainer", "app", "tests", "setup.sh", "gui.sh", endings=TEXT)
    assert files
    long = [f"{path.relative_to(ROOT)}: {lines_of(path)} lines" for path in files if lines_of(path) > MAX_FILE_LINES]
    assert not long, "\n".join(long)


def test_most_files_are_short() -> None:
    assert percentile([lines_of(path) for path in sources("trainer", "app")], 0.9) <= 400


@pytest.mark.parametrize("place", ["trainer", "app", "tests"])
def test_no_function_is_too_long(place: str) -> None:
    def limit(where: str) -> int:
        return MAX_LOOP_LINES if where.startswith(str(LOOP.relative_to(ROOT))) else MAX_FUNCTION_LINES

    lengths = [(where, length(function)) for where, function in all_functions(place)]
    long = [f"{where}: {lines} lines" for where, lines in lengths if lines > limit(where)]
    assert not long, "\n".join(long)


def test_most_functions_are_short() -> None:
    lengths = [length(function) for _, function in all_functions("trainer", "app")]
    assert statistics.median(lengths) <= 12
    assert percentile(lengths, 0.9) <= 40


def test_no_function_takes_too_many_parameters() -> None:
    many = [where for where, function in all_functions("trainer", "app") if len(arguments(function)) > MAX_PARAMETERS]
    assert not many, "pass the section instead:\n" + "\n".join(many)


@pytest.mark.parametrize("place", ["trainer", "app", "tests"])
def test_every_argument_is_annotated(place: str) -> None:
    def all_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
        return [*arguments(function), *filter(None, (function.args.vararg, function.args.kwarg))]

    every = [(where, argument) for where, function in all_functions(place) for argument in all_of(function)]
    bare = [f"{where}({argument.arg})" for where, argument in every if argument.annotation is None]
    assert not bare, "\n".join(bare)


def test_every_module_says_what_it_is() -> None:
    files = [path for path in sources("trainer", "app", "tests") if lines_of(path)]
    assert not [str(path.relative_to(ROOT)) for path in files if not ast.get_docstring(parsed(path))]
