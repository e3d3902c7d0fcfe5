"""What a page, or whoever pretends to be one, sends: every route and every function of a page answers."""

import json
import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import fastapi
import gradio as gr
import pytest
from fastapi.testclient import TestClient
from hypothesis import strategies as st
from PIL import Image

from app import browse, live, main, places, queueing, run_list, shelf, thumbs, tool_form, tool_results
from app.forms import Form
from app.tabs import run as run_tab
from tests.app.test_forms import in_a_loop
from tests.fuzz.mutations import HUGE, TEXTS, as_json, changed, damaged, values
from tests.fuzz.test_events import LINES
from tests.fuzz.trials import Trials, told
from trainer.job.fields import Invalid
from trainer.job.settings import Job
from trainer.run import home as home_of
from trainer.run.folder import RunFolder

ODD = (
    "..",
    "../..",
    "%2e%2e",
    "a/b",
    "a\\b",
    "\0",
    "\ud800",
    "ａ.png",
    "A.PNG",
    "a.png ",
    "a.png\0",
    "-1",
    "9" * 400,
    "*",
)


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """The program's folders, the user's own and a run with a sample."""
    for name, folder in (("LORA_ATELIER_HOME", "home"), ("LORA_ATELIER_OUTPUTS", "outputs"), ("HOME", "user")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.chdir(tmp_path / "user")
    run = RunFolder(tmp_path / "outputs" / "a")
    run.samples.mkdir(parents=True)
    run.weights.mkdir()
    run.job.write_text("{}")
    run.events.write_bytes(LINES)
    Image.new("RGB", (8, 8)).save(run.samples / "a.png")
    (run.weights / "a.safetensors").write_bytes(b"weights")
    return tmp_path


def test_routes(trials: Trials, home: pathlib.Path) -> None:
    """No address makes a route fail: an answer below 500, and never what is not meant for the page."""
    (home / "user" / "secret.png").write_bytes(b"secret")
    app = fastapi.FastAPI()
    client = TestClient(app)
    key = run_list.key_of(RunFolder(home / "outputs" / "a"))
    routers = (live.router, thumbs.router, queueing.router)
    routes = sorted({getattr(route, "path", "") for router in routers for route in router.routes})
    for router in routers:
        app.include_router(router)
    assert "/sample/{key}/{file}" in routes

    def read(given: tuple[str, str, str, str]) -> None:
        route, name, query, value = given
        path = route.replace("{key}", key if len(value) % 2 else name).replace("{file}", name)
        answer = client.get("http://testserver" + path.encode("utf-8", "replace").decode(), params={query: value})
        assert answer.status_code < 500, (path, query, value)
        assert b"secret" not in answer.content

    names = st.sampled_from((*ODD, str(home / "user" / "secret.png"), "a.png", "a.safetensors"))
    names = names.map(lambda name: "".join(sign for sign in name if sign not in "?#\0") or "a")
    sent = st.sampled_from(("", "-1", "0", "1", "2000", "9" * 30, "9" * 5000, "1e3", "NaN", "１", "a", *TEXTS[:12]))
    sent = sent.map(lambda text: text.encode("utf-8", "replace").decode())
    queries = st.sampled_from(("since", "known", "w", "v", "lines", "path", "key", "px"))
    known = [
        (route, "a.png", query, value) for route in routes for query in ("since", "w") for value in ("9" * 30, "1")
    ]
    trials.of("routes", read, st.tuples(st.sampled_from(routes), names, queries, sent), known, count=60)


def test_functions_of_pages(trials: Trials, home: pathlib.Path) -> None:
    """What the page's own scripts may call takes anything and gives what JSON can carry."""
    calls: list[Callable[[Any], object]] = [browse.listing, run_tab.stop, run_tab.pause, run_tab.resume, run_tab.sample]
    calls += [tool_arguments]

    def read(given: tuple[int, Any]) -> None:
        number, sent = given
        json.dumps(calls[number](sent)).encode()

    whole = (
        *({"path": str(home / "user"), "kind": "model"}, {"run": "a"}, {"tool": "inspect", "file": "a.safetensors"}),
        {"tool": "merge", "files": [{"path": "a", "weight": "1"}], "rank": "8", "out": "b", "how": "rank"},
        {"tool": "resize", "file": "a", "keep": "90%", "rank": "8", "out": "b.safetensors", "precision": "fp16"},
    )
    paths = st.sampled_from((*TEXTS, "/dev", "/proc/self/root", "~nobody", "//evil/share", "/" + "a/" * 3000))
    odd = changed(whole) | st.builds(lambda path: {"path": path, "kind": path, "file": path, "tool": "convert"}, paths)
    known = [
        (0, {"path": None}),
        (0, {"path": "a" * 5000}),
        (0, {"path": "/a" * 2000}),
        *((5, {"tool": "resize", "file": "a", "rank": rank}) for rank in ("²", "9" * 5000)),
    ]
    known.append((0, {"path": "/a" * 2000}))
    trials.of("functions of a page", read, st.tuples(st.integers(0, len(calls) - 1), odd), known, count=100)


def test_functions_of_islands(trials: Trials, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Called as from the page, with whatever somebody sends, none of them fails."""
    form, calls = Form(Job()), dict[str, Callable[[Any], object]]()

    def build() -> None:
        islands = [block for block in main.build(form).blocks.values() if isinstance(block, gr.HTML)]
        calls.update({f"{island.elem_id} {call.__name__}": call for island in islands for call in island.server_fns})

    in_a_loop(build)
    assert {"file-browser listing_text", "dataset-grid further_pictures", "tools state", "queue hold"} <= {*calls}
    # Of a tool only how it is begun counts.
    monkeypatch.setattr(sys, "executable", shutil.which("true") or sys.executable)

    def read(given: tuple[str, Any]) -> None:
        name, sent = given
        json.dumps(calls[name](sent)).encode()

    picture, resize = str(home / "outputs" / "a" / "samples" / "a.png"), {"file": "a", "rank": "8", "out": "b"}
    whole = (
        *({"path": picture, "key": thumbs.key_of(picture), "text": "a cat"}, {"folder": str(home), "run": "a"}),
        *({"tool": "resize", "known": "a", "values": resize}, {"tool": "try", "values": {"file": "a", "weights": "1"}}),
    )
    odd: list[Any] = [None, [], [1], "a", 1, True, {}, *whole]
    odd += [dict.fromkeys(("path", "id", "tool", "known", "folder", "run"), text) for text in TEXTS]
    odd += [{"tool": "resize", "values": {**resize, "rank": text}} for text in ("9" * 5000, "²", "\0")]
    odd += [{"tool": "resize", "values": {**resize, "file": text}} for text in ("\0", "\ud800", "a" * 5000)]
    known = [(name, sent) for name in sorted(calls) for sent in odd]
    try:
        either = st.tuples(st.sampled_from(sorted(calls)), changed(whole) | values())
        trials.of("functions of islands", read, either, known, count=100)
    finally:
        for end in form.ends:
            end()


def tool_arguments(sent: dict[str, Any]) -> object:
    """The command line of a tool, or what is wrong with what was entered."""
    tool = sent.get("tool")
    if tool not in tool_form.TOOLS:
        return ""
    proposed = tool_form.proposal(tool, sent)
    try:
        words, _ = tool_form.arguments(tool, sent)
    except tool_form.Wrong as error:
        told(error)
        return str(error)
    assert all(isinstance(word, str) for word in words)
    return proposed


def test_remembered_places(trials: Trials, home: pathlib.Path) -> None:
    path = home / "home" / "places.json"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        assert len(places.output_folders()) <= home_of.MAX_REMEMBERED + 1
        places.runs()
        places.remember_output_folder(home / "outputs")
        assert len(path.read_bytes()) < home_of.LARGEST_BYTES

    whole = {"output_folders": [str(home / "outputs"), "/nowhere"]}
    many = as_json({"output_folders": [str(home / "outputs" / str(number)) for number in range(5000)]})
    known = (b"", b"[" * 100_000, b"\xff", many, b" " * 20_000_000, b'{"output_folders": ["\\u0000", "\\ud800", 1]}')
    odd = changed((whole,)).map(as_json) | damaged((as_json(whole),))
    trials.of("places", read, odd, known, count=60)


def test_presets_of_the_user(trials: Trials, home: pathlib.Path) -> None:
    folder = shelf.own_folder()
    folder.mkdir()
    path = folder / "odd.json"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        found = shelf.find("own/odd")
        assert found is not None
        try:
            json.dumps(shelf.read("own/odd").job.model_dump()).encode()
        except Invalid as error:
            told(*(message.text for message in error.messages))

    whole = {"version": 1, "title": "a", "purpose": "b", "reasoning": ["c"], "file_mb": 1, "memory_gb": 2, "model": {}}
    trials.of("own presets", read, changed((whole,)).map(as_json), [as_json({**whole, "title": HUGE})], count=40)


def test_what_a_tool_prints(trials: Trials) -> None:
    """The report comes from a process of this program, but what it says comes from a file of a stranger."""
    whole = {"metadata": {"a": "b", "modelspec.thumbnail": "data:image/png;base64,AAAA"}, "thumbnail": {"width_px": 1}}

    def read(given: tuple[Any, str]) -> None:
        printed, text = given
        try:
            json.dumps(tool_results.report(json.dumps(printed))).encode()
        except (ValueError, KeyError):
            assert printed is not whole
        tool_results.progress(text)
        tool_results.sentences(text)
        tool_results.refusal(text)

    texts = st.text(alphabet="0123456789/ \nlayersproblem: (MiB)\r", max_size=200)
    strings = st.builds(lambda value: {**whole, "metadata": {"a": str(value), "b" * 9000: "x" * 9000}}, values())
    trials.of("reports of tools", read, st.tuples(strings, texts), [(whole, "1/" * 60_000)], count=60)


@pytest.mark.skipif(os.name == "nt", reason="there a name cannot be any bytes")
def test_a_run_whose_name_is_no_text_hides_no_other(home: pathlib.Path) -> None:
    strange = pathlib.Path(os.fsdecode(os.fsencode(home / "outputs") + b"/caf\xe9"))
    strange.mkdir()
    (strange / "job.json").write_text("{}")
    app = fastapi.FastAPI()
    app.include_router(live.router)
    found = TestClient(app).get("/runs").json()["runs"]
    assert {run["name"] for run in found} == {"a", "caf?"}
    assert all(TestClient(app).get(f"/live/{run['key']}").status_code == 200 for run in found)
