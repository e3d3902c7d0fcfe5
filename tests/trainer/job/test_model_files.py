"""Out of everything that a repository holds, what one training needs: one kind of weights and no second copy."""

import pytest

from trainer.job.model_files import checkpoints, needed, needed_of_vae, single_file

SMALL = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    *(f"{part}/config.json" for part in ("unet", "vae", "text_encoder")),
    *(f"tokenizer/{name}" for name in ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")),
)
WEIGHTS = (
    "unet/diffusion_pytorch_model",
    "vae/diffusion_pytorch_model",
    "text_encoder/model",
)
WHOLE = tuple(f"{stem}.safetensors" for stem in WEIGHTS)
HALF = tuple(f"{stem}.fp16.safetensors" for stem in WEIGHTS)
CLUTTER = (
    "README.md",
    "v1-5-pruned.ckpt",
    "v1-5-pruned.safetensors",
    "safety_checker/model.safetensors",
    "feature_extractor/preprocessor_config.json",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "text_encoder/flax_model.msgpack",
    "text_encoder/openvino_model.bin",
    "unet/model.onnx",
)


@pytest.mark.parametrize(
    ("given", "chosen"), [(WHOLE + HALF, WHOLE), (WHOLE, WHOLE), (HALF, HALF), ((*WHOLE[:1], *HALF[1:]),) * 2]
)
def test_whole_weights_are_taken_and_half_ones_only_in_their_place(
    given: tuple[str, ...], chosen: tuple[str, ...]
) -> None:
    found = needed(frozenset((*SMALL, *CLUTTER, *given)))
    assert set(found.files) == {*SMALL, *chosen}
    assert found.missing == ()


def test_weights_in_several_parts_count_when_all_parts_are_there() -> None:
    parts = [f"unet/diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = "unet/diffusion_pytorch_model.safetensors.index.json"
    assert set(needed(frozenset((*SMALL, *WHOLE[1:], *parts, index))).files) == {*SMALL, *WHOLE[1:], *parts, index}
    assert needed(frozenset((*SMALL, *WHOLE[1:], parts[0], index))).missing == (WHOLE[0],)


def test_a_second_text_encoder_is_needed_where_there_is_one() -> None:
    second = ("text_encoder_2/config.json", "tokenizer_2/vocab.json", "text_encoder_2/model.safetensors")
    assert set(second) <= set(needed(frozenset((*SMALL, *WHOLE, *second))).files)
    assert needed(frozenset((*SMALL, *WHOLE, *second[:2]))).missing == (second[2],)


def test_what_lacks_is_named() -> None:
    assert needed(frozenset()).missing == (
        "unet/config.json",
        WHOLE[0],
        "vae/config.json",
        WHOLE[1],
        "text_encoder/config.json",
        WHOLE[2],
        "scheduler/scheduler_config.json",
        "tokenizer/vocab.json",
    )


@pytest.mark.parametrize(
    ("files", "meant"),
    [
        (("a.safetensors", "README.md", "a.ckpt"), "a.safetensors"),
        (("a.safetensors", "a_lora.safetensors", "sdxl_vae.safetensors", "vae/b.safetensors"), "a.safetensors"),
        (("a.safetensors", "b.safetensors"), ""),
        (("a_lora.safetensors",), ""),
        ((), ""),
    ],
)
def test_a_repository_of_one_checkpoint_means_that_one(files: tuple[str, ...], meant: str) -> None:
    assert single_file(frozenset(files)) == meant


def test_checkpoints_are_those_at_the_top() -> None:
    assert checkpoints({"b.safetensors": 1, "a.safetensors": 1, "c/d.safetensors": 1, "e.ckpt": 1}) == [
        "a.safetensors",
        "b.safetensors",
    ]


VAE, CONFIG = "diffusion_pytorch_model.safetensors", "config.json"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ((CONFIG, VAE, "diffusion_pytorch_model.fp16.safetensors", "sdxl_vae.safetensors", "vae/x"), (CONFIG, VAE)),
        ((CONFIG, "diffusion_pytorch_model.fp16.safetensors"), (CONFIG, "diffusion_pytorch_model.fp16.safetensors")),
        ((*SMALL, *WHOLE, *CLUTTER), (f"vae/{CONFIG}", f"vae/{VAE}")),
        (("README.md", "a.ckpt", "a.safetensors"), ("a.safetensors",)),
        (("a.safetensors", "b.safetensors"), ()),
        ((CONFIG, "diffusion_pytorch_model.bin"), ()),
    ],
)
def test_of_a_vae_it_is_one_kind_of_weights_too(files: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert needed_of_vae(frozenset(files)) == found
