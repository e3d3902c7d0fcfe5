"""From what was entered for a tool to its command line, and to a name for the file that it writes."""

import math
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from app import places
from app.browse import is_text
from app.words import say
from trainer.job.model_files import PICKLES
from trainer.run.folder import RunFolder

TOOLS = ("inspect", "try", "convert", "merge", "resize", "extract", "doctor")
ENDING = ".safetensors"
OUT = "the new file"
"""Stands for the new file's path until that is known: what is wrong with the other fields is said first."""
MAX_NAME_BYTES = 200
LARGEST_WEIGHT = 100
MOST_DIGITS = 9
"""Of any rank; Python itself refuses to read a number of thousands."""
MAX_RUNS = 20
MAX_FILES_OF_A_RUN = 30

Values = Mapping[str, Any]


class Wrong(ValueError):
    """What was entered cannot be carried out: the sentence that says why, and the field that it is about."""

    def __init__(self, field: str, key: str, **values: object) -> None:
        super().__init__(say(key, **values))
        self.field = field


def arguments(tool: str, values: Values) -> tuple[list[str], pathlib.Path | None]:
    """The words after `python -m trainer`, and the file that will be written, None where none is. Raises Wrong."""
    if tool == "doctor":
        folders = ["--home", str(places.home()), "--outputs", str(places.default_outputs())]
        return [tool, "--json", *folders, *([] if values.get("network") == "on" else ["--no-network"])], None
    if tool == "inspect":
        return [tool, str(_file(values, "file")), "--json"], None
    if tool == "try":
        return _try(values)
    made = {"convert": _convert, "merge": _merge, "resize": _resize, "extract": _extract}[tool](values)
    out = _out(values)
    precision = _text(values, "precision")
    words = [str(out) if word is OUT else word for word in made]
    return [tool, *words, *(["--precision", precision] if precision else [])], out


def _try(values: Values) -> tuple[list[str], pathlib.Path]:
    """Its words, and the picture of all that it draws."""
    file = _file(values, "file")
    run = RunFolder(file.parent.parent)
    if file.parent != run.weights or not run.job.is_file():
        raise Wrong("file", "tools.no_run_file")
    weights = [_strength(text) for text in _text(values, "weights").split()]
    lines = _text(values, "prompts").splitlines()
    words = [f"--weight={weight!r}" for weight in weights] + [f"--prompt={line}" for line in lines if line.strip()]
    return ["try", str(run.path), "--file", str(file), *words], run.tries_grid(file)


def _strength(text: str) -> float:
    weight = _number(text.rstrip(",;"))
    if weight is None or abs(weight) > LARGEST_WEIGHT:
        raise Wrong("weights", "tools.bad_weights", text=text, most=LARGEST_WEIGHT)
    return weight


def _convert(values: Values) -> list[str]:
    return [str(_file(values, "file")), OUT, "--to", "peft" if values.get("to") == "peft" else "kohya"]


def _merge(values: Values) -> list[str]:
    rows = _rows(values)
    if not rows:
        raise Wrong("files", "tools.no_files")
    files = [f"{_path(path)}={_weight(text, number)!r}" for number, (path, text) in enumerate(rows)]
    base = _text(values, "checkpoint")
    if base:
        return [OUT, *files, "--checkpoint", str(_file(values, "checkpoint"))]
    return [OUT, *files, "--rank", _rank(values, "rank") if values.get("how") == "rank" else "exact"]


def _resize(values: Values) -> list[str]:
    how = ["--rank", _rank(values, "rank")] if values.get("how") != "keep" else ["--keep", repr(_share(values))]
    return [str(_file(values, "file")), OUT, *how]


def _extract(values: Values) -> list[str]:
    files = [str(_file(values, "tuned")), str(_file(values, "base")), OUT]
    spatial = ["--conv-rank", _rank(values, "conv_rank")] if _text(values, "conv_rank") else []
    return [*files, "--rank", _rank(values, "rank"), *spatial]


# ---- one field ----


def _text(values: Values, name: str) -> str:
    # What only a browser can send, half a character or the sign that ends a word, is in no command line.
    return str(values.get(name) or "").replace("\0", "").encode("utf-8", "replace").decode().strip()


def _path(text: str) -> pathlib.Path:
    # Unlike Path.expanduser, which raises, it leaves a ~ as it is where no user is called like that.
    return pathlib.Path(os.path.expanduser(text)).absolute()


def _file(values: Values, name: str) -> pathlib.Path:
    text = _text(values, name)
    if not text:
        raise Wrong(name, "tools.no_file")
    return _path(text)


def _out(values: Values) -> pathlib.Path:
    text = _text(values, "out")
    if not text:
        raise Wrong("out", "tools.no_out")
    path = _path(text)
    return path if path.suffix.lower() == ENDING else path.with_name(path.name + ENDING)


def _rows(values: Values) -> list[tuple[str, str]]:
    """The path and the weight's text of every row in which a file was chosen."""
    rows = values.get("files")
    given = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [(_text(row, "path"), _weight_text(row)) for row in given if _text(row, "path")]


def _weight_text(row: Values) -> str:
    """What stands in the weight's field; a 0 is something, and what is no text would be shown as Python writes it."""
    weight = row.get("weight", "")
    return str(weight).strip() if isinstance(weight, str | int | float) else "?"


def _weight(text: str, number: int) -> float:
    weight = _number(text or "1")
    if weight is None:
        raise Wrong("files", "tools.bad_weight", text=text, number=number + 1)
    return weight


def _rank(values: Values, name: str) -> str:
    text = _text(values, name)
    if not text.isdecimal() or len(text) > MOST_DIGITS or int(text) < 1:
        raise Wrong(name, "tools.bad_rank")
    return str(int(text))


def _share(values: Values) -> float:
    share = _number(_text(values, "keep").removesuffix("%"))
    if share is None or not 0 < share <= 100:
        raise Wrong("keep", "tools.bad_share")
    return share / 100


def _number(text: str) -> float | None:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


# ---- what is offered ----


def proposal(tool: str, values: Values) -> str:
    """A path beside the first file that no file has yet; "" while that file is not chosen."""
    stems = {"extract": [_text(values, "tuned")], "merge": [path for path, _ in _rows(values)]}
    chosen = stems.get(tool, [_text(values, "file")])
    if tool == "merge" and _text(values, "checkpoint"):
        chosen = [_text(values, "checkpoint"), *chosen]
    if tool in ("inspect", "try", "doctor") or not chosen or not chosen[0]:
        return ""
    if tool == "convert" and _path(chosen[0]).suffix.lower() in PICKLES:
        return str(_free(_path(chosen[0]).parent, _path(chosen[0]).stem))
    names = [_path(text).name for text in chosen]
    stem = "+".join(name.removesuffix(ENDING) for name in names) + _addition(tool, values)
    return str(_free(_path(chosen[0]).parent, stem))


def _addition(tool: str, values: Values) -> str:
    """What tells the new file from the one that it is made of."""
    rank, precision = _text(values, "rank"), _text(values, "precision")
    if tool == "convert":
        return f"-{'diffusers' if values.get('to') == 'peft' else 'kohya'}" + (f"-{precision}" if precision else "")
    if tool == "resize" and values.get("how") == "keep":
        return "-keep" + _text(values, "keep").removesuffix("%").strip()
    if tool == "merge" and (values.get("how") != "rank" or _text(values, "checkpoint")):
        return "" if len(_rows(values)) > 1 or _text(values, "checkpoint") else "-weighted"
    return f"-lora-r{rank}" if tool == "extract" else f"-r{rank}"


def _free(folder: pathlib.Path, stem: str) -> pathlib.Path:
    stem = re.sub(r'[/\\:*?"<>|\x00-\x1f]+', "-", stem)
    stem = stem.encode("utf-8", "ignore")[:MAX_NAME_BYTES].decode("utf-8", "ignore")
    names = [stem, *(f"{stem}-{number}" for number in range(2, 1000))]
    return next((path for name in names if not os.path.lexists(path := folder / (name + ENDING))), folder / stem)


def run_files() -> list[dict[str, Any]]:
    """The LoRA files of the latest runs, newest first: `{"run", "files": [{"name", "path"}]}`."""
    found = []
    for run in places.runs():
        files = [(_modified(path), path) for path in run.weights.glob(f"*{ENDING}") if is_text(str(path))]
        files.sort(key=lambda one: one[0], reverse=True)
        shown = [{"name": path.name, "path": str(path)} for _, path in files[:MAX_FILES_OF_A_RUN]]
        if shown:
            found.append((files[0][0], {"run": run.name, "files": shown}))
    found.sort(key=lambda one: one[0], reverse=True)
    return [entry for _, entry in found[:MAX_RUNS]]


def _modified(path: pathlib.Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
