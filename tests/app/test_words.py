"""Every word that is asked for is in the table, and every word in the table is asked for."""

import pathlib
import re

import app
from app.words import table

FOLDER = pathlib.Path(app.__file__).parent
PREFIXES = ("plan.", "islands.", "choices.", "samples.option.", "page.", "tabs.", "interrupted.")
MADE = ("state_", "title_", "lb_", "asked_", "done_")
"""Words of islands whose keys are put together."""


def asked() -> set[str]:
    """The keys that Python code names, in full or as the heading of a part."""
    texts = [path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.py")]
    keys = {key for text in texts for key in re.findall(r'say\(\s*f?"([a-z_.]+)"', text)}
    keys |= {key for text in texts for key in re.findall(r'key = "([a-z_.]+)"', text)}
    headings = {key for text in texts for key in re.findall(r'part\("([a-z_.]+)"', text)}
    buttons = {f"presets.{name}" for text in texts for name in re.findall(r'_button\("([a-z]+)"\)', text)}
    return keys | headings | {f"{key}_help" for key in headings} | buttons


def test_every_key_is_in_the_table() -> None:
    assert {key for key in asked() if "." in key and not key.endswith(".")} <= set(table())


def test_no_words_are_left_over() -> None:
    texts = [path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.py")]
    known = asked() | {key for text in texts for key in re.findall(r"""["']([a-z_.]+)["']""", text)}
    assert {key for key in table() if not key.startswith(PREFIXES)} - known == set()


def island_text(page: pathlib.Path) -> str:
    """An island's HTML and JavaScript, with the modules that it names and those that they name, but not page.js.

    What that one says is only for islands that have the words for it.
    """
    text, modules = page.read_text(encoding="utf-8"), [page.stem]
    for name in modules:
        script = (FOLDER / "islands" / f"{name}.js").read_text(encoding="utf-8")
        text += script
        named = [path.stem for path in (FOLDER / "islands").glob("*.js") if re.search(rf'["/]{path.stem}[".]', script)]
        modules += [other for other in named if other not in (*modules, "page")]
    return text


def test_islands_have_all_their_words_and_no_others() -> None:
    shared = (FOLDER / "islands" / "page.js").read_text(encoding="utf-8")
    for page in (FOLDER / "islands").glob("*.html"):
        text, start = island_text(page), f"islands.{page.stem}."
        asked_for = set(re.findall(r'(?:say\(|data-(?:word|label)=)"(\w+)"', text))
        words = {key.removeprefix(start) for key in table() if key.startswith(start)}
        assert {key for key in asked_for if not key.endswith("_")} <= words, page.stem
        named = {key for key in words if f'"{key}"' in text + shared}
        assert {key for key in words - named if not key.startswith(MADE)} == set(), page.stem
