"""A base model is fetched by the hub's real client: only what is needed, in sight, stopped and gone on with."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from tests.trainer import hub_stand_in, tiny
from tests.trainer.hub_stand_in import Hub
from tests.trainer.job import checkpoints
from trainer import hub as fetching
from trainer.check import plan_lines
from trainer.families.tokenizers import clip
from trainer.job.base_model import describe
from trainer.job.trouble import Trouble
from trainer.run import events, folder
from trainer.run.folder import RunFolder

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
VAE = "diffusion_pytorch_model.safetensors"
MANY_BYTES = 12 * 10**6
FETCH = """
import json, sys
from trainer.hub import fetch, fetch_tokenizer, fetch_vae
from trainer.job.trouble import Trouble
what, *names = sys.argv[1:]
for name in names:
    given = (name, "sd15") if what == "fetch" else (name,)
    try:
        print(json.dumps(["", str(globals()[what](*given, lambda stage: None, lambda: False))]), flush=True)
    except Trouble as trouble:
        print(json.dumps([trouble.key, str(trouble)]), flush=True)
"""


@pytest.fixture
def hub(tmp_path: pathlib.Path) -> Iterator[Hub]:
    """A hub that has nothing yet."""
    with hub_stand_in.serving(Hub()) as served:
        yield served


@pytest.fixture
def model(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> dict[str, bytes]:
    """The files of a tiny model, its denoiser's made large by a long word, among much that nobody needs."""
    copy = tmp_path / "model"
    shutil.copytree(tiny_model, copy)
    with safe_open(copy / WEIGHTS, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 it is no dict
    save_file(tensors, copy / WEIGHTS, {"format": "pt", "long": os.urandom(MANY_BYTES // 2).hex()})
    clutter = ("README.md", "v1-5.ckpt", "v1-5.safetensors", "vae/model.onnx", "text_encoder/model.fp16.safetensors")
    return hub_stand_in.of_folder(copy) | dict.fromkeys(clutter, bytes(100))


def environment(hub: Hub, tmp_path: pathlib.Path, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {**clean, **hub.environment(tmp_path / "cache"), "PYTHONPATH": str(pathlib.Path.cwd()), **more}


def trainer(verb: str, path: pathlib.Path, given: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "trainer", verb, str(path)], env=given, stdout=subprocess.DEVNULL)


def fetch(given: dict[str, str], *names: str, what: str = "fetch") -> list[list[str]]:
    """Of each name the key of the trouble and its sentences."""
    found = subprocess.run([sys.executable, "-c", FETCH, what, *names], env=given, capture_output=True, check=True)
    return [json.loads(line) for line in found.stdout.splitlines()]


def new_run(tmp_path: pathlib.Path, base: str) -> RunFolder:
    run = folder.create(tmp_path / "out", "tiny")
    folder.write_job(run, tiny.job(tmp_path, pathlib.Path(base)), {})
    return run


def told(run: RunFolder, kind: str) -> list[dict[str, Any]]:
    return [event for event in events.read(run.events)[0] if event["kind"] == kind]


def until(happened: Any, limit_s: float = 300) -> None:
    end = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_training_from_an_id_is_stopped_while_it_fetches_and_goes_on(
    hub: Hub, model: dict[str, bytes], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["user/model"] = model
    run, given = new_run(tmp_path, "user/model"), environment(hub, tmp_path, HF_TOKEN="hf_secretsecret")

    hub.bytes_per_s = 4 * 10**6
    begun = trainer("resume", run.path, given)
    until(lambda: any(stage["done"] >= 2 for stage in told(run, "stage")))
    folder.request(run, "stop")
    assert begun.wait(timeout=300) == 0
    assert [(event["step"], event["file"]) for event in told(run, "stopped")] == [(0, "")]
    stages = told(run, "stage")
    assert re.fullmatch(r"fetching user/model: 1\d\.\d MB of the 1\d\.\d MB there \(in MB\)", stages[-1]["text"])
    assert len(stages) <= 2 + 5 * (stages[-1]["time"] - stages[0]["time"])

    hub.bytes_per_s, before = 0.0, len(hub.asked)
    assert trainer("resume", run.path, given).wait(timeout=300) == 0
    assert told(run, "finished")
    went_on = [
        asked[2] for asked in hub.asked[before:] if asked[0] == "GET" and asked[1].endswith("elsewhere/" + WEIGHTS)
    ]
    assert [int(asked.removeprefix("bytes=").rstrip("-")) >= 10**6 for asked in went_on] == [True]
    assert set(hub.fetched()) == {name for name in model if name not in ("README.md", "v1-5.ckpt")} - {
        "v1-5.safetensors",
        "vae/model.onnx",
        "text_encoder/model.fp16.safetensors",
    }
    tokens = {("/elsewhere/" in asked[1], asked[3]) for asked in hub.asked}
    assert tokens == {(False, "Bearer hf_secretsecret"), (True, "")}
    kept = [path for path in run.path.rglob("*") if path.is_file() and b"hf_secret" in path.read_bytes()]
    assert kept == []

    # Once it is here, nothing is asked any more.
    asked = len(hub.asked)
    for name, value in hub.environment(tmp_path / "cache").items():
        monkeypatch.setenv(name, value)
    assert describe("user/model", "sd15").text.startswith("On this machine already: ")
    assert any("On this machine already" in line for line in plan_lines(folder.read_job(run)))
    assert fetch(given, "user/model") == [["", "True"]]
    assert len(hub.asked) == asked


def test_a_vae_from_an_id_is_fetched_before_anything_is_loaded_and_to_be_stopped(
    hub: Hub, tiny_model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with safe_open(tiny_model / "vae" / VAE, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 it is no dict
    save_file(tensors, tmp_path / VAE, {"format": "pt", "long": os.urandom(MANY_BYTES // 2).hex()})
    config = (tiny_model / "vae" / "config.json").read_bytes()
    files = {"config.json": config, VAE: (tmp_path / VAE).read_bytes()}
    hub.repositories["user/vae"] = {**files, "README.md": b"", "sdxl_vae.safetensors": b"", "model.bin": b""}
    run, given = folder.create(tmp_path / "out", "tiny"), environment(hub, tmp_path)
    folder.write_job(run, tiny.job(tmp_path, tiny_model, {"model": {"vae": "user/vae"}}), {})

    hub.bytes_per_s = 4 * 10**6
    begun = trainer("resume", run.path, given)
    until(lambda: any(stage["done"] >= 2 for stage in told(run, "stage")))
    folder.request(run, "stop")
    assert begun.wait(timeout=300) == 0
    assert told(run, "stopped")
    assert "fetching user/vae: 1" in told(run, "stage")[-1]["text"]

    hub.bytes_per_s = 0.0
    assert trainer("resume", run.path, given).wait(timeout=300) == 0
    assert told(run, "finished")
    assert set(hub.fetched()) == set(files)
    ranges = [asked[2] for asked in hub.asked if asked[0] == "GET" and asked[1].endswith("elsewhere/" + VAE)]
    assert int(ranges[-1].removeprefix("bytes=").rstrip("-")) >= 10**6

    # Once it is here, nothing is asked any more.
    asked = len(hub.asked)
    assert fetch(given, "user/vae", what="fetch_vae") == [["", "True"]]
    assert len(hub.asked) == asked


def test_of_a_vae_and_a_tokenizer_only_what_is_one_is_fetched(
    hub: Hub, model: dict[str, bytes], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = checkpoints.write(tmp_path / "a.safetensors", checkpoints.SD15, size_bytes=MANY_BYTES).read_bytes()
    hub.repositories = {
        "user/model": model,
        "user/lora": {"a.safetensors": other.replace(b"first_stage_model.decoder.", b"first_stage_model.unknown.")},
        "user/two": {"a.safetensors": b"", "b.safetensors": b"b"},
        "user/none": {"a.bin": b""},
        "user/words": {"vocab.json": b"{}", "merges.txt": b"", "pytorch_model.bin": b""},
    }
    given = environment(hub, tmp_path)
    vaes = ("user/model", "user/lora", "user/two", "user/none", "user/two/b.safetensors")
    found = fetch(given, *vaes, what="fetch_vae")
    assert [key for key, _ in found] == ["", "hub_no_vae", "hub_several", "hub_no_vae", ""]
    assert set(hub.fetched()) == {"vae/config.json", f"vae/{VAE}", "a.safetensors", "b.safetensors"}
    assert all(asked[2] for asked in hub.asked if asked[0] == "GET" and asked[1].endswith("elsewhere/a.safetensors"))
    found = fetch(given, "user/words", "user/model", "user/none", what="fetch_tokenizer")
    assert [key for key, _ in found] == ["", "", "tokenizer_missing"]
    assert "pytorch_model.bin" not in hub.fetched()

    asked = len(hub.asked)
    for name, value in hub.environment(tmp_path / "cache").items():
        monkeypatch.setenv(name, value)
    assert len(clip("user/model")) > 1
    with pytest.raises(Trouble, match="has not been fetched yet"):
        clip("user/none")
    assert len(hub.asked) == asked


def test_a_killed_fetch_and_a_broken_connection_go_on_where_they_were(
    hub: Hub, model: dict[str, bytes], tmp_path: pathlib.Path
) -> None:
    content = model[WEIGHTS]
    checkpoint = checkpoints.write(tmp_path / "a.safetensors", checkpoints.SD15, size_bytes=MANY_BYTES).read_bytes()
    hub.repositories["user/one"] = {"a.safetensors": checkpoint, "README.md": content}
    given, part = environment(hub, tmp_path), tmp_path / "cache" / "models--user--one" / "blobs"

    hub.bytes_per_s = 4 * 10**6
    killed = subprocess.Popen([sys.executable, "-c", FETCH, "fetch", "user/one"], env=given)
    until(lambda: any(path.stat().st_size >= 3 * 10**6 for path in part.glob("*.part")))
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    hub.bytes_per_s, hub.break_after_bytes, before = 0.0, 4 * 10**6, len(hub.asked)
    assert fetch(given, "user/one/a.safetensors", "user/one") == [["", "True"], ["", "True"]]
    starts = [
        int(asked[2][6:-1])
        for asked in hub.asked[before:]
        if asked[0] == "GET" and "/elsewhere/" in asked[1] and asked[2].endswith("-")
    ]
    assert len(starts) == 2
    assert 3 * 10**6 <= starts[0] < starts[1] < MANY_BYTES
    files = [path.read_bytes() for path in (tmp_path / "cache").rglob("a.safetensors")]
    assert files == [checkpoint]


def test_what_cannot_be_fetched_is_said_in_a_sentence(hub: Hub, tmp_path: pathlib.Path) -> None:
    whole = {"a.safetensors": b"", "b.safetensors": b""}
    flux = {"model_index.json": b'{"_class_name": "FluxPipeline"}'}
    refiner = checkpoints.write(tmp_path / "r.safetensors", checkpoints.REFINER, size_bytes=MANY_BYTES).read_bytes()
    hub.repositories = {
        "user/gated": whole,
        "user/theirs": whole,
        "user/two": whole,
        "user/pickles": {"a.ckpt": b""},
        "user/flux": flux,
        "user/bins": {"model_index.json": b"{}", "unet/config.json": b"{}"},
        "user/refiner": {"r.safetensors": refiner},
    }
    hub.gated, hub.forbidden = {"user/gated"}, {"user/theirs"}
    expected = {
        "user/gated": ("hub_gated", f"Agree at {hub.address}/user/gated"),
        "user/theirs": ("hub_refused", "with an account that may see it"),
        "user/none": ("hub_not_found", "no model user/none on the hub, or it is private"),
        "user/two": ("hub_several", "for example user/two/a.safetensors"),
        "user/two/c.safetensors": ("hub_no_file", "has no file c.safetensors"),
        "user/pickles": ("hub_no_model", "neither a diffusers model nor"),
        "user/flux": ("hub_other_kind", "is a FLUX model"),
        "user/bins": ("hub_incomplete", "unet/diffusion_pytorch_model.safetensors, vae/config.json"),
        "user/refiner": ("hub_other_kind", "is the refiner of SDXL"),
    }
    found = fetch(environment(hub, tmp_path), *expected)
    for (base, (key, words)), (found_key, sentence) in zip(expected.items(), found, strict=True):
        assert found_key == key, (base, sentence)
        assert words in sentence, base
    # A kind that cannot be trained is found by the header alone, before gigabytes are fetched.
    assert all(asked[2] for asked in hub.asked if asked[0] == "GET" and asked[1].endswith("r.safetensors"))


def test_a_file_that_arrives_damaged_is_thrown_away(hub: Hub, model: dict[str, bytes], tmp_path: pathlib.Path) -> None:
    hub.repositories["user/model"] = model
    hub.damaged = True
    given = environment(hub, tmp_path)
    assert [key for key, _ in fetch(given, "user/model")] == ["hub_damaged"]
    assert not list((tmp_path / "cache").rglob("*.part"))
    hub.damaged = False
    assert fetch(given, "user/model") == [["", "True"]]


@pytest.mark.parametrize(("offline", "key"), [("1", "hub_offline"), ("0", "hub_unreachable")])
def test_without_a_network_it_says_so(tmp_path: pathlib.Path, offline: str, key: str) -> None:
    given = environment(Hub(address="http://127.0.0.1:9"), tmp_path, HF_HUB_OFFLINE=offline)
    [(found, sentence)] = fetch(given, "user/model")
    assert found == key
    assert "user/model is not on this machine" in sentence


def test_a_full_disk_is_noticed_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = fetching.Plan("user/model", "abc", {"a.safetensors": 6 * 10**9}, 9 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**10, 10**10, 10**9))
    with pytest.raises(Trouble, match=r"6\.0 GB are to be fetched .* 1\.0 GB are free") as trouble:
        fetching._check_space(plan)
    assert "set HF_HUB_CACHE to a folder on another disk" in trouble.value.advice
