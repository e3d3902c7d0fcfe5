"""What is no file where one is expected: pipes, devices, sockets, folders, links. Nothing waits, nothing leads out."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import sys
from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app import browse, captions, live, run_list, thumbs, watch
from tests.fuzz.test_pages import home as home
from tests.fuzz.trials import said
from trainer.dataset.pictures import BrokenPicture, size_px
from trainer.dataset.scan import scan
from trainer.formats.container import open_container
from trainer.formats.pickled import read_pickled
from trainer.import_kohya import import_file
from trainer.job import base_model, lora_files, presets, vae_files
from trainer.job.fields import Invalid
from trainer.job.settings import Dataset
from trainer.job.trouble import Refused
from trainer.run import ending, events
from trainer.run import home as home_of
from trainer.run.folder import RunFolder, is_alive, read_job

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there a folder holds files and folders only")


@pytest.fixture(autouse=True)
def impatience() -> Iterator[None]:
    """What waits for a writer that never comes fails."""

    def stuck(*_: object) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, stuck)
    signal.setitimer(signal.ITIMER_REAL, 20)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def pipe(path: pathlib.Path) -> None:
    """A pipe that nobody writes into."""
    os.mkfifo(path)


def link_to_device(path: pathlib.Path) -> None:
    """A file without an end."""
    path.symlink_to("/dev/zero")


def link_to_itself(path: pathlib.Path) -> None:
    """A link that leads nowhere."""
    path.symlink_to(path)


def folder(path: pathlib.Path) -> None:
    """A folder called like a file."""
    path.mkdir()


def listening(path: pathlib.Path) -> None:
    """The socket of another program."""
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path may only be short
    with socket.socket(socket.AF_UNIX) as program:
        program.bind(path.name)
    os.chdir(here)


KINDS = (pipe, link_to_device, link_to_itself, folder, listening)
READERS: tuple[tuple[str, Callable[[pathlib.Path], object]], ...] = (
    ("a.json", presets.read),
    ("a.safetensors", open_container),
    ("a.safetensors", lambda path: _no(lora_files.problem(str(path), "sd15"))),
    ("a.safetensors", lambda path: _no(vae_files.problem(str(path)))),
    ("a.safetensors", lambda path: _no(base_model.describe(str(path), "sd15").problem)),
    ("a.ckpt", read_pickled),
    ("a.toml", lambda path: list(import_file(str(path), None, None, as_json=False))),
    ("a.png", size_px),
)


def _no(problem: str) -> None:
    raise Refused("text", text=problem) if problem else AssertionError("nothing was said")


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("number", range(len(READERS)))
def test_what_is_no_file_is_refused_in_a_sentence(
    tmp_path: pathlib.Path, make: Callable[[pathlib.Path], None], number: int
) -> None:
    name, read = READERS[number]
    make(tmp_path / name)
    with pytest.raises((Refused, Invalid, BrokenPicture)) as caught:
        read(tmp_path / name)
    said(f"{str(caught.value).rstrip('.')}.")


@pytest.mark.parametrize("make", KINDS)
def test_a_caption_that_is_no_file_is_told_and_not_written(
    tmp_path: pathlib.Path, make: Callable[[pathlib.Path], None]
) -> None:
    picture = tmp_path / "a.png"
    Image.new("RGB", (64, 64)).save(picture)
    make(tmp_path / "a.txt")
    make(tmp_path / "b.png")
    found = scan(Dataset(folder=str(tmp_path)))
    said(*(problem.sentence for problem in found.problems))
    sent = {"path": str(picture), "key": thumbs.key_of(str(picture)), "text": "a cat"}
    answer = captions.save_caption(sent)
    assert isinstance(answer["message"], str)
    assert pathlib.Path("/dev/zero").is_char_device()


@pytest.mark.parametrize("make", KINDS)
def test_a_run_full_of_what_is_no_file_is_still_shown(home: pathlib.Path, make: Callable[[pathlib.Path], None]) -> None:
    run = RunFolder(home / "outputs" / "a")
    for path in (run.events, run.log, run.lock, run.ending, run.data):
        path.unlink(missing_ok=True)
        make(path)
    for path in (run.samples / "b.png", run.weights / "b.safetensors"):
        make(path)
    assert not is_alive(run)
    json.dumps([watch.overview(run), watch.updates(run, 0), watch.sample_table(run)])
    assert ending.read(run) is None
    with contextlib.suppress(OSError):
        events.read(run.events)
    assert isinstance(watch.log_tail(run, 20), str)
    client, key = TestClient(_served()), run_list.key_of(run)
    assert client.get(f"/sample/{key}/b.png").status_code == 404
    assert client.get(f"/weights/{key}/b.safetensors").status_code == 404
    run.job.unlink()
    make(run.job)
    with pytest.raises((OSError, Invalid)):
        read_job(run)
    assert run_list.find(run_list.key_of(run)) is None


@pytest.mark.parametrize("make", KINDS)
def test_places_that_are_no_file_are_none(home: pathlib.Path, make: Callable[[pathlib.Path], None]) -> None:
    make(home / "home" / "places.json")
    assert home_of.output_folders() == [home / "outputs"]


def test_a_sample_or_file_of_weights_never_leads_out_of_its_folder(home: pathlib.Path) -> None:
    """By links, by hard names of another case or form of Unicode, by names with a way in them."""
    run, secret = RunFolder(home / "outputs" / "a"), home / "user" / "sécret.png"
    Image.new("RGB", (8, 8), "red").save(secret)
    (run.samples / "link.png").symlink_to(secret)
    (run.samples / "inner").symlink_to(secret.parent)
    (run.weights / "link.safetensors").symlink_to(secret)
    (run.samples / "up.png").symlink_to("../job.json")
    client = TestClient(_served())
    key = run_list.key_of(run)
    for name in ("link.png", "up.png", "inner/sécret.png", "inner", "A.PNG", "a.png\u200b", "ａ.png", "..%2fjob.json"):
        assert client.get(f"/sample/{key}/{name}").status_code == 404, name
    assert client.get(f"/weights/{key}/link.safetensors").status_code == 404
    assert client.get(f"/sample/{key}/a.png").status_code == 200


def test_a_sample_that_is_mostly_hole_is_none(home: pathlib.Path) -> None:
    run = RunFolder(home / "outputs" / "a")
    with (run.samples / "a.png").open("wb") as file:
        file.truncate(1500 * 2**20)
    assert TestClient(_served()).get(f"/sample/{run_list.key_of(run)}/a.png").status_code == 404


def test_events_that_ask_for_very_much_are_told_soon_and_in_little(home: pathlib.Path) -> None:
    run = RunFolder(home / "outputs" / "a")
    happened = [{"kind": "epoch", "epoch": number, "step": number, "loss": 0.5} for number in range(30_000)]
    happened += [{"kind": kind, "step": at, "first_step": at} for at in range(6_000) for kind in ("step", "started")]
    happened += [
        {"kind": "sample", "epoch": number, "prompt": number, "step": 1, "file": "samples/a.png", "text": "a"}
        for number in range(6_000)
    ]
    lines = [json.dumps({"v": 1, "time": 1.0, **event}) for event in happened]
    run.events.write_text("\n".join(lines) + "\n", encoding="utf-8")
    told = watch.updates(run, 0)
    while told["more"]:
        told = watch.updates(run, told["next"])
    table = watch.sample_table(run)
    assert 0 < len(table["rows"]) * len(table["prompts"]) <= watch.MOST_CELLS


def test_folders_full_of_links_to_each_other_are_looked_through_once(tmp_path: pathlib.Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        for number in range(40):
            (tmp_path / name / str(number)).symlink_to(f"../{other}")
    said(scan(Dataset(folder=str(tmp_path))).problems[0].sentence)


def test_a_preset_of_very_many_unknown_settings_is_read_soon() -> None:
    content = json.dumps({"version": 1, **{f"a{number}": 1 for number in range(200_000)}})
    assert len(presets.from_bytes(content.encode(), "a.json").unknown) < 100


def _served() -> live.fastapi.FastAPI:
    app = live.fastapi.FastAPI()
    app.include_router(live.router)
    app.include_router(thumbs.router)
    return app


def test_a_picture_is_shown_only_by_the_path_that_was_signed(tmp_path: pathlib.Path) -> None:
    shown, secret = tmp_path / "a.png", tmp_path / "b.png"
    for path in (shown, secret):
        Image.new("RGB", (8, 8)).save(path)
    key = thumbs.key_of(str(shown))
    client = TestClient(_served())
    assert client.get("/thumb", params={"path": str(shown), "key": key}).status_code == 200
    for path in (secret, tmp_path / "A.PNG", tmp_path / "x" / ".." / "a.png", f"{shown}\0", f"{shown}/"):
        assert client.get("/thumb", params={"path": str(path), "key": key}).status_code == 403, path


def test_the_file_browser_stays_in_its_roots(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever way is asked for, what is listed lies in a root once all links were followed."""
    outside = home / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "secret.safetensors").write_bytes(b"")
    user = home / "user"
    (user / "link").symlink_to(outside)
    (user / "file.safetensors").symlink_to(outside / "secret.safetensors")
    (user / "hop").symlink_to(user / "link")
    pipe(user / "pipe.safetensors")
    link_to_itself(user / "loop")
    monkeypatch.setattr(pathlib.Path, "home", lambda: user)
    roots = [pathlib.Path(root["path"]) for root in browse.listing({})["roots"]]
    ways = (
        *("./link/./deep",),
        *("link", "link/deep", "hop", "hop/deep", "loop", "../outside", "x/../../outside", "LINK", "pipe.safetensors"),
        *(
            "link/../../outside",
            "./link/./deep",
            "..",
            "../..",
            "/",
            "//",
            "file.safetensors",
            "a\0b",
            "\ud800",
            "~root",
        ),
    )
    for way in ways:
        for asked in (str(user / way), way, f"{outside}", f"{user}/{way}/"):
            found = browse.listing({"path": asked, "kind": "model"})
            shown = [found["path"], *(each["path"] for each in found["folders"] + found["files"] + found["crumbs"])]
            for path in shown:
                real = pathlib.Path(path).resolve()
                assert any(real.is_relative_to(root) for root in roots), (asked, path)
                assert not real.is_relative_to(outside), (asked, path)
            assert "pipe.safetensors" not in [each["name"] for each in found["files"]]
