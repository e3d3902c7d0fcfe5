"""Files with the headers of real checkpoints; the tensors' bytes are a hole in the file, or nothing."""

import json
import math
import pathlib
from collections.abc import Mapping

Shapes = Mapping[str, tuple[int, ...]]
UNET = "model.diffusion_model."
_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1}
_COMMON: Shapes = {
    UNET + "input_blocks.0.0.weight": (2, 4, 3, 3),
    UNET + "middle_block.1.proj_in.weight": (2, 2),
    "first_stage_model.decoder.conv_in.weight": (2, 4, 3, 3),
}
ATTENTION = UNET + "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
LABELS = UNET + "label_emb.0.0.weight"
SD15: Shapes = {
    **_COMMON,
    ATTENTION: (2, 768),
    "cond_stage_model.transformer.text_model.embeddings.position_ids": (1, 2),
}
SD2: Shapes = {**_COMMON, ATTENTION: (2, 1024), "cond_stage_model.model.transformer.resblocks.0.ln_1.bias": (2,)}
SDXL: Shapes = {
    **_COMMON,
    ATTENTION: (2, 2048),
    LABELS: (2, 2816),
    "conditioner.embedders.0.transformer.text_model.final_layer_norm.bias": (2,),
    "conditioner.embedders.1.model.ln_final.bias": (2,),
}
REFINER: Shapes = {
    **_COMMON,
    ATTENTION: (2, 1280),
    LABELS: (2, 2560),
    "conditioner.embedders.0.model.ln_final.bias": (2,),
}


def many(count: int) -> Shapes:
    """A Stable Diffusion 1.x of this many tensors."""
    return {**SD15, **{f"{UNET}output_blocks.{number}.0.in_layers.2.weight": (8, 8, 3, 3) for number in range(count)}}


def write(
    path: pathlib.Path,
    shapes: Shapes,
    dtype: str = "F16",
    size_bytes: int = 0,
    metadata: Mapping[str, str] | None = None,
) -> pathlib.Path:
    """Writes the file; one more tensor of the denoiser fills it up to `size_bytes`."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + math.prod(shape) * _BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    if size_bytes:
        begin, end = end, size_bytes
        shape = ((end - begin) // _BYTES[dtype],)
        header[UNET + "out.2.weight"] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + end)
    return path
