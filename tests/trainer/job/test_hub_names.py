"""Names on the hub in all the ways in which people write them, and what of them lies on this machine."""

import pathlib

import pytest

from trainer.job.hub_names import HubName, cache_folder, cached, hub_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("user/model", HubName("user/model")),
        (" user/model-1.5_x ", HubName("user/model-1.5_x")),
        ("user/model/a.safetensors", HubName("user/model", "a.safetensors")),
        ("user/model/sub/a b.safetensors", HubName("user/model", "sub/a b.safetensors")),
        ("https://huggingface.co/user/model", HubName("user/model")),
        ("https://huggingface.co/user/model/tree/main", HubName("user/model")),
        ("https://huggingface.co/user/model/blob/main/a.safetensors", HubName("user/model", "a.safetensors")),
        (
            "https://huggingface.co/user/model/resolve/main/a.safetensors?download=true",
            HubName("user/model", "a.safetensors"),
        ),
        ("user/model/blob/main/a.safetensors", HubName("user/model", "a.safetensors")),
        ("user", None),
        ("user/model/a.ckpt", None),
        ("user/model/sub", None),
        ("folder/model.safetensors", None),
        ("../model", None),
        ("user/../a.safetensors", None),
        ("user/model/../../a.safetensors", None),
        ("https://example.org/user/model", None),
        ("C:\\models/a", None),
        ("", None),
    ],
)
def test_a_name_is_read(text: str, name: HubName | None) -> None:
    assert hub_name(text) == name


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/b", "HF_HOME": "/c"}, "/b"),
        ({"HF_HOME": "/c"}, "/c/hub"),
        ({"XDG_CACHE_HOME": "/d"}, "/d/huggingface/hub"),
        ({"HF_HOME": "~"}, str(pathlib.Path.home() / "hub")),
        ({}, str(pathlib.Path.home() / ".cache/huggingface/hub")),
    ],
)
def test_the_cache_lies_where_the_hubs_client_looks(environment: dict[str, str], folder: str) -> None:
    assert cache_folder(environment) == pathlib.Path(folder)


def test_half_a_model_is_not_here_yet(tmp_path: pathlib.Path) -> None:
    here, name = {"HF_HUB_CACHE": str(tmp_path)}, HubName("user/model")
    assert cached(name, here) is None
    snapshot = tmp_path / "models--user--model" / "snapshots" / "abc"
    (snapshot / "unet").mkdir(parents=True)
    for file in ("model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"):
        (snapshot / file).touch()
    assert cached(name, here) is None
    (tmp_path / "models--user--model" / "refs").mkdir()
    (tmp_path / "models--user--model" / "refs" / "main").write_text("abc", encoding="utf-8")
    assert cached(name, here) is None
    for part in ("vae", "text_encoder", "tokenizer", "scheduler"):
        (snapshot / part).mkdir()
    for file in (
        "vae/config.json",
        "text_encoder/config.json",
        "tokenizer/vocab.json",
        "scheduler/scheduler_config.json",
    ):
        (snapshot / file).touch()
    (snapshot / "vae" / "diffusion_pytorch_model.fp16.safetensors").touch()
    assert cached(name, here) is None
    (snapshot / "text_encoder" / "model.safetensors").touch()
    assert cached(name, here) == snapshot
