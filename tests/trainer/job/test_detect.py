"""The kind of a checkpoint is told by its names, shapes and metadata; what cannot be trained is called by its name."""

import pathlib

import numpy as np
import pytest

from tests.trainer.job import checkpoints
from tests.trainer.job.checkpoints import ATTENTION, LABELS, REFINER, SD2, SD15, SDXL, UNET, Shapes
from trainer.job.detect import Detected, of_file, of_folder
from trainer.job.header import read_header
from trainer.job.words import say

FIRST = UNET + "input_blocks.0.0.weight"
OTHER_KINDS: dict[str, Shapes] = {
    "refiner": REFINER,
    "inpainting": SD15 | {FIRST: (2, 9, 3, 3)},
    "pix2pix": SD15 | {FIRST: (2, 8, 3, 3)},
    "depth": SD2 | {FIRST: (2, 5, 3, 3)},
    "upscaler": SD2 | {FIRST: (2, 7, 3, 3)},
    "unclip": SD2 | {LABELS: (2, 2048)},
    "edm": SDXL | {"edm_mean": (4,), "edm_std": (4,)},
    "scaled_fp8": SDXL | {"scaled_fp8": (2,)},
    "small_sdxl": {name: shape for name, shape in SDXL.items() if "middle_block" not in name},
    "no_vae": {name: shape for name, shape in SD15.items() if not name.startswith("first_stage_model")},
    "no_text_encoder": {name: shape for name, shape in SDXL.items() if not name.startswith("conditioner")},
    "sd3": {UNET + "joint_blocks.0.context_block.adaLN_modulation.1.bias": (2,)},
    "flux": {"double_blocks.0.img_attn.norm.key_norm.scale": (2,)},
    "cascade": {"clip_txt_mapper.weight": (2,)},
    "controlnet": {"control_model.input_blocks.0.0.weight": (2,)},
    "video": SD15 | {UNET + "input_blocks.1.1.time_stack.0.attn2.to_k.weight": (2,)},
    "transformer": {UNET + "layers.0.attention.out.weight": (2,), "text_encoders.a.text_model.b": (2,)},
    "diffusers_unet": {"down_blocks.0.resnets.0.time_emb_proj.weight": (2,), "conv_in.weight": (2,)},
    "bare_unet": {"input_blocks.0.0.weight": (2, 4, 3, 3)},
    "text_encoder": {"text_model.embeddings.token_embedding.weight": (2,)},
    "vae": {"decoder.up.0.block.0.conv1.weight": (2,)},
    "embedding": {"emb_params": (4, 768)},
    "lora": {"lora_unet_mid_block_attentions_0_proj_in.lora_up.weight": (2,)},
    "unknown": {"weight": (2,)},
}


def found(folder: pathlib.Path, shapes: Shapes, name: str = "model", **more: object) -> Detected:
    path = checkpoints.write(folder / f"{name}.safetensors", shapes, **more)  # type: ignore[arg-type]
    return of_file(path, read_header(path))


@pytest.mark.parametrize(("kind", "shapes"), OTHER_KINDS.items(), ids=OTHER_KINDS)
def test_what_cannot_be_trained_has_a_name(tmp_path: pathlib.Path, kind: str, shapes: Shapes) -> None:
    assert found(tmp_path, shapes).other_kind == kind
    assert kind == "lora" or say(f"kind_{kind}")


@pytest.mark.parametrize(("family", "shapes"), [("sd15", SD15), ("sd2", SD2), ("sdxl", SDXL)])
@pytest.mark.parametrize("width", [0, 16])
def test_families_are_told_by_the_width_of_the_text_and_else_by_their_encoders(
    tmp_path: pathlib.Path, family: str, shapes: Shapes, width: int
) -> None:
    assert found(tmp_path, shapes | ({ATTENTION: (2, width)} if width else {})).family == family


def test_what_a_file_says_of_its_prediction_counts(tmp_path: pathlib.Path) -> None:
    own = found(tmp_path, SDXL | {"v_pred": (0,), "ztsnr": (0,)})
    assert (own.prediction, own.zero_terminal_snr, own.guessed) == ("v", True, "")
    for metadata, prediction in (
        ({"modelspec.prediction_type": "v"}, "v"),
        ({"modelspec.prediction_type": "epsilon"}, "epsilon"),
        ({"modelspec.architecture": "stable-diffusion-v2-768-v"}, "v"),
        ({"modelspec.architecture": "stable-diffusion-v2-512"}, "epsilon"),
    ):
        said = found(tmp_path, SD2, "v2-1_768-ema-pruned" if prediction == "epsilon" else "model", metadata=metadata)
        assert (said.prediction, said.guessed) == (prediction, "")


@pytest.mark.parametrize(
    ("name", "shapes", "prediction", "guessed"),
    [
        ("v2-1_768-ema-pruned", SD2, "v", "name"),
        ("768-v-ema", SD2, "v", "name"),
        ("512-base-ema", SD2, "", ""),
        ("some_vpred-10", SDXL, "v", "name"),
        ("some-xl", SDXL, "epsilon", ""),
        ("v2-1_768", SD15, "epsilon", ""),
    ],
)
def test_the_name_of_a_file_is_a_hint(
    tmp_path: pathlib.Path, name: str, shapes: Shapes, prediction: str, guessed: str
) -> None:
    said = found(tmp_path, shapes, name)
    assert (said.prediction, said.guessed) == (prediction, guessed)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize(("spread", "prediction"), [(0.12, "v"), (0.05, "epsilon")])
def test_one_tensor_of_a_2x_model_betrays_its_prediction(
    tmp_path: pathlib.Path, dtype: str, spread: float, prediction: str
) -> None:
    shapes = SD2 | {UNET + "output_blocks.11.1.transformer_blocks.0.norm1.bias": (320,)}
    path = checkpoints.write(tmp_path / "a.safetensors", shapes, dtype)
    values = np.tile(np.float32([spread, -spread]), 160)
    stored = (
        (values.view("<u4") >> 16).astype("<u2") if dtype == "BF16" else values.astype(f"<f{2 + 2 * (dtype == 'F32')}")
    )
    with path.open("r+b") as stream:
        stream.seek(-stored.nbytes, 2)
        stream.write(stored.tobytes())
    said = of_file(path, read_header(path))
    assert (said.prediction, said.guessed) == (prediction, "weights")


@pytest.mark.parametrize(
    ("dtype", "precision"), [("F32", "fp32"), ("F16", "fp16"), ("BF16", "bf16"), ("F8_E4M3", "fp8")]
)
def test_the_precision_is_that_of_the_denoiser(tmp_path: pathlib.Path, dtype: str, precision: str) -> None:
    assert found(tmp_path, SD15, dtype=dtype).precision == precision


@pytest.mark.parametrize(
    ("configs", "kind"),
    [
        ({"model_index": '{"_class_name": "FluxPipeline"}'}, "flux"),
        ({"model_index": '{"_class_name": "StableDiffusion3Pipeline"}'}, "sd3"),
        ({"model_index": '{"_class_name": "PixArtAlphaPipeline"}'}, "unknown"),
        ({"unet/config": '{"in_channels": 9, "cross_attention_dim": 768}'}, "inpainting"),
        ({"unet/config": '{"cross_attention_dim": 1280, "addition_embed_type": "text_time"}'}, "refiner"),
        ({"unet/config": '{"class_embed_type": "projection", "cross_attention_dim": 1024}'}, "unclip"),
        ({"unet/config": '{"mid_block_type": null, "cross_attention_dim": 2048}'}, "small_sdxl"),
        ({"unet/config": '{"in_channels": 8, "out_channels": 8}'}, ""),
    ],
)
def test_a_folder_is_told_by_its_configs(tmp_path: pathlib.Path, configs: dict[str, str], kind: str) -> None:
    for name, text in configs.items():
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    said = of_folder(tmp_path)
    assert said is not None
    assert said.other_kind == kind


def test_a_folder_of_anything_else_is_no_model(tmp_path: pathlib.Path) -> None:
    assert of_folder(tmp_path) is None
