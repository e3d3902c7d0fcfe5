"""Every word that is asked for is in the table, and every word in the table is asked for."""

import pathlib
import re

import app
from app.words import table

FOLDER = pathlib.Path(app.__file__).parent
PREFIXES = ("plan.", "islands.", "choices.", "samples.option.", "page.", "tabs.")


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


def test_islands_have_all_their_words() -> None:
    for page in (FOLDER / "islands").glob("*.html"):
        text = page.read_text(encoding="utf-8") + page.with_suffix(".js").read_text(encoding="utf-8")
        keys = set(re.findall(r'say\("(\w+)"', text)) | set(re.findall(r'data-(?:word|label)="(\w+)"', text))
        assert {f"islands.{page.stem}.{key}" for key in keys if not key.endswith("_")} <= set(table()), page.stem
