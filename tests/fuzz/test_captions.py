"""Caption files in every code and size, and what wildcards, shuffling and dropping make of odd texts."""

import json
import pathlib
import random
from typing import Any

from hypothesis import strategies as st
from PIL import Image

from app import captions, thumbs
from tests.fuzz.mutations import TEXTS, changed, damaged, damaged_text, values
from tests.fuzz.trials import Trials, said, told
from trainer.dataset import captions as spoken
from trainer.dataset.remarks import is_longer
from trainer.dataset.scan import scan
from trainer.job.fields import Invalid, parse
from trainer.job.settings import Dataset

TEXT = "桜の木の下の cat, (best quality:1.2), {red|blue {dress|hat}}, \\(series\\)\nsecond line, é, 🤖\r\n"
CODES = ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp932", "euc_jp", "iso2022_jp", "cp1252", "utf-7")
WHOLE = tuple(TEXT.encode(code, "replace") for code in CODES)
SIGNS = ("{", "}", "|", "{{", "}}", "{a|b}", ",", ", ,", "\n", "\r", "\x85", "\u2028", "_", "__x__", "(", *TEXTS)
LONG = (
    *(b"a" * 10_000_000, b"\n" * 10_000_000, b"{" * 65_000, b"{|" * 30_000, b"," * 65_000, b"{a|" * 20_000 + b"}"),
    *(b"\xef\xbb\xbf" * 20_000, b" " * 65_000 + b"a", b"\0" * 60_000, b"\xc2\x85" * 30_000),
)


def test_caption_files(trials: Trials, tmp_path: pathlib.Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    path = tmp_path / "a.txt"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        for wildcards in (False, True):
            settings = Dataset(folder=str(tmp_path), wildcards=wildcards, tag_dropout=0.5, shuffle_captions=True)
            found = scan(settings)
            said(*(problem.sentence for problem in found.problems))
            for subset in found.subsets:
                for picture in subset.pictures:
                    is_longer(picture.caption, 75)
                    spoken.caption_for(picture.caption, settings, random.Random(0)).encode()

    trials.of("captions", read, damaged(WHOLE) | st.binary(max_size=40), (*WHOLE, *LONG), count=120)


def test_what_is_said_of_a_picture(trials: Trials) -> None:
    base = {"wildcards": True, "shuffle_captions": True, "keep_tokens": 1, "tag_dropout": 0.3, "trigger": "cat"}
    odd_settings = changed(({**base, "caption_prefix": "a {b|c}", "caption_separator": ";"}, base))

    def read(given: tuple[str, dict[str, Any]]) -> None:
        text, wanted = given
        try:
            settings = parse({"dataset": wanted}).dataset
        except Invalid as error:
            told(*(message.text for message in error.messages))
            return
        assert isinstance(spoken.caption_for(text, settings, random.Random(1)), str)
        assert all(isinstance(line, str) for line in spoken.longest(text, settings))
        spoken.tag_frequency({"a": [text]}, settings.trigger, settings.caption_separator)
        is_longer(text, 75)

    long = [("{" * 50_000, base), ("{a|" * 50_000, base), ("a, " * 50_000, base), ("{a}" * 30_000, base)]
    trials.of("caption texts", read, st.tuples(damaged_text((TEXT,), SIGNS), odd_settings), long, count=120)


def test_captions_that_a_page_sends(trials: Trials, tmp_path: pathlib.Path) -> None:
    """Only the caption of a picture that was shown is written, and nothing but a caption beside it."""
    inside = tmp_path / "data"
    inside.mkdir()
    picture = inside / "a.png"
    Image.new("RGB", (8, 8)).save(picture)
    outside = tmp_path / "secret.png"
    outside.write_bytes(picture.read_bytes())
    key = thumbs.key_of(str(picture), ".txt")
    whole = {"path": str(picture), "key": key, "text": "a cat", "all_lines": True, "ending": ".txt"}

    def read(given: dict[str, Any]) -> None:
        answer = captions.save_caption(given)
        assert isinstance(answer["ok"], bool)
        told(answer["message"])
        json.dumps(answer).encode()

    paths = st.sampled_from((str(outside), f"{inside}/../secret.png", f"{picture}\0", "/dev/zero", "", "a.png"))
    endings = st.sampled_from(("", "/../x", ".png", ".txt\0", ".t/../../secret", ".PNG", ".tags", ".py", "." * 300))
    sent = st.fixed_dictionaries({}, optional={"text": values(), "path": paths, "key": st.just(key) | values()})

    def with_proof(ending: str, other: dict[str, Any]) -> dict[str, Any]:
        return {**whole, "ending": ending, "key": thumbs.key_of(str(picture), ending), **other}

    odd = changed((whole,)) | st.builds(with_proof, endings, sent)
    trials.of("captions of a page", read, odd, [{}, {"path": None}, {**whole, "key": "\ud800"}], count=80)
    beside = {path.name for path in inside.iterdir()}
    assert beside <= {"a.png", "a.txt", "a.tags"}
    assert {path.name for path in tmp_path.iterdir()} == {"data", "secret.png"}
    assert picture.read_bytes() == outside.read_bytes()
