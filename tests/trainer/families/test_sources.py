"""One checkpoint file gives the weights it was written from, at a small size and, on request, at full size."""

import json
import pathlib
import shutil
import socket

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from tests.trainer import ldm, tiny
from trainer.engine.loop import train
from trainer.families import sources
from trainer.families.sources import TextSource
from trainer.job.settings import Model
from trainer.job.trouble import Trouble
from trainer.run import events, folder

TEXTS = (TextSource("text_encoder", "tokenizer", CLIPTextModel),)
SMALL = {
    "unet": {
        "block_out_channels": [8, 8, 16, 16],
        "cross_attention_dim": 16,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    },
    "vae": {"block_out_channels": [8, 8, 8, 8], "norm_num_groups": 4},
    "text_encoder": {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
}


@pytest.fixture
def small_configs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The layout of SD 1.5 with few channels, in the place of the real configs."""
    configs = tmp_path / "configs"
    shutil.copytree(sources.CONFIGS, configs)
    for part, changes in SMALL.items():
        path = configs / "sd15" / part / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    monkeypatch.setattr(sources, "CONFIGS", configs)
    return configs / "sd15"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection is an error of the test."""

    def refuse(_: socket.socket, address: object) -> None:
        pytest.fail(f"a connection to {address} was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("no_network")
def test_a_checkpoint_file_holds_what_was_put_in(tmp_path: pathlib.Path, small_configs: pathlib.Path) -> None:
    models = ldm.random_models(small_configs)
    path = ldm.write(tmp_path / "small.safetensors", *models)
    loaded = sources.load(Model(base=str(path)), TEXTS)
    assert len(loaded.tokenizers[0]) == loaded.text_encoders[0].config.vocab_size == 49408
    for ours, theirs in zip(models, (loaded.unet, loaded.vae, *loaded.text_encoders), strict=True):
        expected, found = ours.state_dict(), theirs.state_dict()
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_the_names_of_older_anime_models_are_known(tmp_path: pathlib.Path, small_configs: pathlib.Path) -> None:
    models = ldm.random_models(small_configs)
    path = ldm.write(tmp_path / "small.safetensors", *models)
    save_file({name.replace(".text_model.", "."): tensor for name, tensor in load_file(path).items()}, path)
    found, expected = sources.load(Model(base=str(path)), TEXTS).text_encoders[0].state_dict(), models[2].state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_numbers_of_eight_bits_are_read(tmp_path: pathlib.Path, small_configs: pathlib.Path) -> None:
    path = ldm.write(tmp_path / "small.safetensors", *ldm.random_models(small_configs))
    small = {name: tensor.to(torch.float8_e4m3fn) for name, tensor in load_file(path).items()}
    save_file(small, path)
    found = sources.load(Model(base=str(path)), TEXTS).unet.state_dict()["conv_in.weight"]
    assert torch.equal(found, small["model.diffusion_model.input_blocks.0.0.weight"].float())


def test_without_a_tokenizer_it_says_what_to_do(tmp_path: pathlib.Path, small_configs: pathlib.Path) -> None:
    path = ldm.write(tmp_path / "small.safetensors", *ldm.random_models(small_configs))
    with pytest.raises(Trouble, match="Leave Tokenizer empty"):
        sources.load(Model(base=str(path), tokenizer=str(tmp_path / "none")), TEXTS)


def test_a_checkpoint_that_lacks_a_part_is_refused(tmp_path: pathlib.Path, small_configs: pathlib.Path) -> None:
    path = ldm.write(tmp_path / "small.safetensors", *ldm.random_models(small_configs))
    tensors = {name: tensor for name, tensor in load_file(path).items() if not name.startswith("cond_stage_model")}
    save_file(tensors, path)
    with pytest.raises(Trouble, match="could not be loaded"):
        sources.load(Model(base=str(path)), TEXTS)


def test_a_hub_id_that_was_not_fetched_says_so() -> None:
    with pytest.raises(Trouble, match="nobody/nothing has not been fetched") as base:
        sources.load(Model(base="nobody/nothing"), TEXTS)
    assert base.value.key == "model_not_here"


def test_a_vae_that_cannot_take_the_place_of_the_models_own_is_refused(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    with pytest.raises(Trouble, match="nobody/nothing has not been fetched") as absent:
        sources.load(Model(base=str(tiny_model), vae="nobody/nothing"), TEXTS)
    assert absent.value.key == "vae_not_here"
    other = tmp_path / "vae"
    AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=8).save_pretrained(other)
    with pytest.raises(
        Trouble, match=r"could not be loaded: its latent_channels is 8, but this family's is 4"
    ) as misfit:
        sources.load(Model(base=str(tiny_model), vae=str(other)), TEXTS)
    assert misfit.value.advice.startswith("Check the path and that it is a VAE of a Stable Diffusion 1.x model")


@pytest.mark.full_size
def test_three_steps_at_full_size(tmp_path: pathlib.Path) -> None:
    path = ldm.write(tmp_path / "sd15.safetensors", *ldm.random_models(sources.CONFIGS / "sd15"))
    tiny.tokenizer(tmp_path / "tokenizer")
    model = {"base": str(path), "tokenizer": str(tmp_path / "tokenizer")}
    training = {"steps": 3, "epochs": 0, "batch_size": 1, "learning_rate": 1e-4}
    job = tiny.job(tmp_path, path, {"model": model, "training": training, "adapter": {"rank": 4, "alpha": 4}})
    run = folder.create(tmp_path / "out", "tiny")
    seen: list[events.Event] = []
    train(job, run, seen.append)
    assert isinstance(seen[-1], events.Finished)
    assert sum(name.endswith(".alpha") for name in load_file(run.path / seen[-1].file)) == 192 + 72


@pytest.mark.parametrize(("name", "value"), [("beta_schedule", "squaredcos_cap_v2"), ("prediction_type", "sample")])
def test_a_noise_schedule_that_is_not_known_is_refused(
    name: str, value: str, tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    model = tmp_path / "odd"
    shutil.copytree(tiny_model, model)
    path = model / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), name: value}), encoding="utf-8")
    with pytest.raises(Trouble, match=value):
        sources.load(Model(base=str(model)), TEXTS)
