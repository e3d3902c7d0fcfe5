"""CLIP text encoders as the families read them: tokens, hidden states, and the part of them that is trained."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from trainer.families.base import Component

ATTENTION, MLP = frozenset({"CLIPAttention"}), frozenset({"CLIPMLP"})


def tokens(tokenizer: CLIPTokenizer, captions: Sequence[str], device: torch.device) -> Tensor:
    """[B, tokens] on the device: padded to the length that the model takes, what goes beyond it cut off."""
    length = tokenizer.model_max_length
    found = tokenizer(list(captions), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    return found.input_ids.to(device)


def text_model(encoder: CLIPTextModel) -> nn.Module:
    """The module with `embeddings`, `encoder` and `final_layer_norm`; transformers 5.6 dropped a wrapper around it."""
    return getattr(encoder, "text_model", encoder)


def text_component(name: str, module: nn.Module, learning_rate: float) -> Component:
    """A CLIP text encoder (see `text_model`) as something to adapt."""
    return Component(name, module, ATTENTION | MLP, frozenset(), learning_rate, ATTENTION, MLP)
