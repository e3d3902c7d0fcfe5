"""What a job costs at the real size of its family, counted on torch's meta device, which has shapes and no numbers.

The file's size is exact but for its metadata. The memory is an estimate: the frozen model, what learns with its
gradient and the optimizer's state, the most that is alive at once in one step as torch's operations allocate it
(attention as a card computes it, without its matrix), and 1 GB for the driver, the kernels and what lies between.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.trainer.allocator import Allocator
from trainer.adapters.base import Target, adapter
from trainer.adapters.places import places
from trainer.families import clip_text, latent_diffusion, sources
from trainer.formats import layouts
from trainer.formats.names import to_kohya
from trainer.job.facts import FAMILIES
from trainer.job.settings import Job

GB = 1e9
_REST_BYTES = 1.0 * GB
_STATE_BYTES = {"AdamW": 8, "AdamW8bit": 2}
_KEPT_BYTES = 2  # fp16
_FACTOR = 8
_TOKENS = 77


def models(family: str) -> dict[str, nn.Module]:
    """The UNet and the text encoders of a family on the meta device."""
    with torch.device("meta"):
        found: dict[str, nn.Module] = {"unet": UNet2DConditionModel.from_config(_config(family, "unet"))}
        found["text_encoder"] = CLIPTextModel(CLIPTextConfig(**_config(family, "text_encoder")))
        if "text_encoder_2" in FAMILIES[family].capabilities:
            config = CLIPTextConfig(**_config(family, "text_encoder_2"))
            found["text_encoder_2"] = CLIPTextModelWithProjection(config)
    return found


def _config(family: str, part: str) -> dict[str, Any]:
    return json.loads((sources.CONFIGS / family / part / "config.json").read_text(encoding="utf-8"))


def targets(job: Job, found: dict[str, nn.Module]) -> list[Target]:
    """What adapters are put into."""
    components: list[Any] = [latent_diffusion.unet_component(found["unet"], 1.0)]
    if job.training.text_encoder:
        texts = [(name, module) for name, module in found.items() if name != "unet"]
        components += [
            clip_text.text_component(f"{name}.text_model", clip_text.text_model(module), 1.0) for name, module in texts
        ]
    return components


def file_bytes(job: Job, found: dict[str, nn.Module]) -> int:
    """The size of the file without its metadata."""
    layout, header, size = layouts.layout(job.model.family), {}, 0
    for target in targets(job, found):
        for place in places(target, job.adapter):
            weight: Any = place.module.weight
            inner, name = list(weight.shape[1:]), to_kohya(f"{target.name}.{place.path}", layout)
            up = [weight.shape[0], place.rank, *[1] * (len(inner) - 1)]
            for ending, shape in ((".lora_down.weight", [place.rank, *inner]), (".lora_up.weight", up), (".alpha", [])):
                end = size + _KEPT_BYTES * torch.Size(shape).numel()
                header[name + ending] = {"dtype": "F16", "shape": shape, "data_offsets": [size, end]}
                size = end
    return size + len(json.dumps(header, separators=(",", ":")))


def memory_bytes(job: Job, found: dict[str, nn.Module]) -> float:
    """The estimate of what a training needs on the card, in a step or while it draws samples (on a Mac: of all memory).

    Pictures are encoded while the UNet is not on the card, which needs less.
    """
    half = torch.float32 if job.training.precision == "no" else torch.bfloat16
    for module in found.values():
        module.requires_grad_(False).to(half)
    learned, parts = 0, targets(job, found)
    for layer in adapter(job.adapter.type).inject(parts, job.adapter, 0).layers.values():
        for tensor in layer.tensors.values():
            learned += tensor.numel()
            tensor.data = tensor.data.to(half)  # what autocast makes of it in each step
    if job.training.gradient_checkpointing:
        found["unet"].enable_gradient_checkpointing()  # type: ignore[operator]
    captions_vary = job.dataset.shuffle_captions or job.dataset.tag_dropout > 0 or job.dataset.wildcards
    texts = job.training.text_encoder or captions_vary
    one_memory = job.training.precision == "no"
    frozen = sum(map(_bytes, found.values() if texts or one_memory else [found["unet"]]))
    state = learned * (4 + 4 + _STATE_BYTES[job.training.optimizer])
    decoder, decoding = decoding_bytes(job)
    step = alive_bytes(job, found, half) + (decoder if one_memory else 0)
    return frozen + state + max(step, decoder + decoding) + _REST_BYTES


def _bytes(module: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.parameters())


def decoding_bytes(job: Job) -> tuple[int, int]:
    """The autoencoder's own, and the most that is alive while it decodes a sample."""
    with torch.device("meta"):
        decoder = AutoencoderKL.from_config(_config(job.model.family, "vae"))
    side = (job.samples.width_px or job.dataset.resolution) // _FACTOR
    with torch.no_grad(), attention_of_a_card(), Allocator() as alive:
        decoder.decode(torch.empty(1, 4, side, side, device="meta"))
    return _bytes(decoder), alive.most


def alive_bytes(job: Job, found: dict[str, nn.Module], half: torch.dtype) -> int:
    """The most bytes of a step's own tensors that are alive at once: forward and backward through UNet and texts."""
    batch, side = job.training.batch_size, job.dataset.resolution // _FACTOR
    config: Any = found["unet"].config
    meta = torch.device("meta")
    added = {}
    if config.addition_embed_type:
        width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        added["text_embeds"] = torch.empty(batch, width, device=meta, dtype=half)
        added["time_ids"] = torch.empty(batch, 6, device=meta, dtype=half)
    noisy = torch.empty(batch, 4, side, side, device=meta, dtype=half)
    steps = torch.empty(batch, device=meta)
    with attention_of_a_card(), Allocator() as alive:
        states = _states(job, found, batch, half, config.cross_attention_dim)
        found["unet"].train()
        predicted = found["unet"](noisy, steps, states, added_cond_kwargs=added).sample
        predicted.float().square().mean().backward()
    return alive.most


def _states(job: Job, found: dict[str, nn.Module], batch: int, half: torch.dtype, width: int) -> Tensor:
    if not job.training.text_encoder or len(found) > 2:
        return torch.empty(batch, _TOKENS, width, device="meta", dtype=half)
    numbers = torch.zeros(batch, _TOKENS, device="meta", dtype=torch.long)
    return found["text_encoder"](numbers).last_hidden_state


class _Attention(torch.autograd.Function):
    """Keeps what a card's attention keeps: query, key, value and result."""

    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        result = torch.empty_like(query)
        context.save_for_backward(query, key, value, result)
        return result

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.empty_like(tensor) for tensor in context.saved_tensors[:3])


@contextlib.contextmanager
def attention_of_a_card() -> Iterator[None]:
    """On the meta device attention would make its matrix, which no card does."""
    before: Callable[..., Tensor] = functional.scaled_dot_product_attention

    def instead(query: Tensor, key: Tensor, value: Tensor, *given: Any, **settings: Any) -> Tensor:
        return _Attention.apply(query, key, value)

    functional.scaled_dot_product_attention = instead
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = before
