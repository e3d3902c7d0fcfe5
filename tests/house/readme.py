"""The two parts of README.md that follow from the code; `python -m tests.house.readme` writes them in place."""

import ast
import pathlib
import re

from trainer.job.fields import settings_table

ROOT = pathlib.Path(__file__).parents[2]
README = ROOT / "README.md"
OTHERS = {
    "gui.sh": "sets up if needed and starts the program",
    "setup.sh": "sets up; with --test runs every check",
    "presets/": "presets by family, data only",
    "trainer/families/configs/": "sizes of published models, for checkpoint files that do not carry them",
    "trainer/starter/model/": "the starter model",
    "trainer/starter/dataset/": "the example data set, a character",
    "trainer/starter/dataset_style/": "the example data set, a style",
    "app/islands/": "what Gradio has no widget for: live monitor, sample grid, dataset grid, file browser",
    "tests/": "mirrors trainer/ and app/; end_to_end/ in a real browser; house/ for the rules of the code",
}


def files() -> str:
    """The list of all files of the program, a line each."""
    lines = dict(OTHERS)
    for path in sorted([*ROOT.glob("trainer/**/*.py"), *ROOT.glob("app/**/*.py")]):
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if doc:
            lines.setdefault(path.relative_to(ROOT).as_posix(), doc.splitlines()[0].rstrip(".:"))
    width = max(map(len, lines)) + 2
    return "```\n" + "\n".join(f"{name:{width}}{line}" for name, line in sorted(lines.items(), key=_order)) + "\n```"


def _order(entry: tuple[str, str]) -> tuple[bool, str]:
    return "/" in entry[0], entry[0]


def written() -> str:
    """README.md as it should be."""
    text = README.read_text(encoding="utf-8")
    for begin, end, content in (
        ("<!-- settings: python -m trainer settings -->", "<!-- end of settings -->", settings_table()),
        ("<!-- files -->", "<!-- end of files -->", files()),
    ):
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        text = re.sub(pattern, lambda _, parts=(begin, content, end): "\n\n".join(parts), text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    README.write_text(written(), encoding="utf-8")
