"""Presets, jobs, `--set` and prompt lines: whatever stands in them, a job comes of it or a sentence."""

import json
import pathlib

import pytest
from hypothesis import strategies as st

from app import moving_in, plans
from tests.fuzz.mutations import HUGE, TEXTS, as_json, changed, damaged, damaged_text, values
from tests.fuzz.trials import Trials, told
from trainer.job import fields, presets
from trainer.job.fields import Invalid
from trainer.job.prompts import read_prompt
from trainer.job.settings import Job
from trainer.run.folder import RunFolder, read_job

WHOLE = Job().model_dump(mode="json")
PRESET = json.loads((presets.PRESETS / "sdxl" / "character.json").read_text(encoding="utf-8"))
KNOWN = (
    *(b"", b"null", b"[]", b'"a"', b"1", b"{", b"\xff\xfe{\x00", b"\x00" * 100, b"\xef\xbb\xbf{}", b"NaN", b"{} {}"),
    *(
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"version": 1' + b"0" * 5000 + b"}",
        b'{"version": 1e400}',
        b'{"version": 1' + b"0" * 4000 + b"}",
    ),
    *(b'{"model": 1, "model": {"base": "\\ud800"}}', b'{"training": {"learning_rate": NaN, "rank": Infinity}}'),
    b'{"training": {"optimizer_args": {"\\u0000": {"a": [[[]]]}}}}',
)


def faults(error: Invalid) -> None:
    """What is wrong with values, at their settings or with all of them."""
    assert error.messages
    told(*(message.text for message in error.messages))


def test_presets(trials: Trials, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "odd.json"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        try:
            document = presets.read(path)
            told(*(message.text for message in document.unknown))
            json.dumps(presets.dump(document.job)).encode()
        except Invalid as error:
            faults(error)

    trials.of("presets", read, changed((WHOLE, PRESET)).map(as_json), KNOWN, count=90)
    trials.of("presets, bytes", read, damaged((as_json(WHOLE), as_json(PRESET))), KNOWN, count=60)


def test_jobs_of_runs(trials: Trials, tmp_path: pathlib.Path) -> None:
    run = RunFolder(tmp_path)

    def read(content: bytes) -> None:
        run.job.write_bytes(content)
        try:
            read_job(run)
        except Invalid as error:
            faults(error)

    trials.of("jobs", read, changed((WHOLE, {**WHOLE, "about": {"created": ""}})).map(as_json), KNOWN, count=90)
    trials.of("jobs, bytes", read, damaged((as_json(WHOLE),)), KNOWN, count=60)


def test_what_is_set_on_the_command_line(trials: Trials) -> None:
    def read(text: str) -> None:
        try:
            fields.parse(fields.with_sets({}, [text]))
        except Invalid as error:
            faults(error)

    paths = tuple(fields.specs())
    pairs = st.builds("{}={}".format, st.sampled_from(paths), st.sampled_from(TEXTS) | values().map(json_text))
    known = ("", "=", "a", "a=b", "training.optimizer_args=" + "a=" * 5000, "training.steps=" + "9" * 5000)
    trials.of("--set", read, pairs | damaged_text([f"{path}=1" for path in paths], TEXTS), known, count=90)


def json_text(value: object) -> str:
    """A value as a person might type it."""
    return as_json(value).decode()


def test_what_a_form_holds(trials: Trials) -> None:
    """A page may send anything in any field; what is right of it makes a job."""
    flat = fields.flatten(Job())

    def read(given: dict[str, object]) -> None:
        job, wrong = plans.possible_job(given)
        assert isinstance(job, Job)
        told(*(message.text for message in wrong))

    trials.of("forms", read, changed((flat,)), [dict.fromkeys(flat, HUGE), dict.fromkeys(flat), {"": 1}], count=60)


def test_prompt_lines(trials: Trials) -> None:
    def read(line: str) -> None:
        try:
            read_prompt(line)
        except ValueError as error:
            told(error)

    whole = ("a cat --n blurry --w 512 --h 768 --d 1 --l 7 --s 28", "a --x cat --d 4294967295", "a\n--w 64")
    options = (
        " --w",
        " --h ",
        " --d -1",
        " --l nan",
        " --s 1_0",
        " --n",
        " --",
        " -- w",
        "--w--w",
        "９",
        "1e999",
        *TEXTS,
    )
    known = ("", "--w", "a --w " + "9" * 5000, "a" + " --n" * 20_000, "a --l " + "-" * 70_000, " " * 100_000 + "--w")
    trials.of("prompt lines", read, damaged_text(whole, options), known, count=200)


def test_uploads_and_pasted_texts(trials: Trials) -> None:
    def read(content: bytes) -> None:
        try:
            found = moving_in.found([("odd.json", content)])
        except Invalid as error:
            faults(error)
        else:
            assert found.job

    both = (
        WHOLE,
        PRESET,
        {"LoRA_type": "Standard", "epoch": 8, "model": {"base": "x"}, "datasets": [{"subsets": [{}]}]},
    )
    trials.of("uploads", read, changed(both).map(as_json), KNOWN, count=60)


@pytest.mark.parametrize("size", [4 * 2**20 + 1, 50 * 2**20])
def test_a_preset_that_is_far_too_large_is_not_read_whole(tmp_path: pathlib.Path, size: int) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as stream:
        stream.truncate(size)
    with pytest.raises(Invalid, match=r"larger than 4 MB\.$"):
        presets.read(path)
