"""CLIP text encoders as the families read them: tokens, hidden states, and the part of them that is trained."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from trainer.families.base import Component

ATTENTION, MLP = frozenset({"CLIPAttention"}), frozenset({"CLIPMLP"})


PIECE_TOKENS = 75
"""The tokens of a caption that CLIP takes at once, between the one that begins and the one that ends it."""


def tokens(tokenizer: CLIPTokenizer, captions: Sequence[str], device: torch.device, most: int = PIECE_TOKENS) -> Tensor:
    """[B · pieces, tokens] on the device: up to `most` tokens of each caption, every 75 as a text of its own.

    Each piece is padded to the length that the model takes, what goes beyond `most` is cut off.
    """
    length = tokenizer.model_max_length
    if most <= PIECE_TOKENS:
        found = tokenizer(list(captions), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        return found.input_ids.to(device)
    said = tokenizer(list(captions), add_special_tokens=False, truncation=True, max_length=most).input_ids
    pieces = [own[at : at + PIECE_TOKENS] for own in said for at in range(0, most, PIECE_TOKENS)]
    rows = [[tokenizer.bos_token_id, *piece, tokenizer.eos_token_id] for piece in pieces]
    return torch.tensor([row + [tokenizer.pad_token_id] * (length - len(row)) for row in rows], device=device)


def joined(states: Tensor, most: int) -> Tensor:
    """[B, most + 2, width] of the states of pieces [B · pieces, tokens, width]; one piece as it is.

    As in Kohya's scripts, the tokens that begin and end a piece stay only at both ends of the whole.
    """
    pieces = most // PIECE_TOKENS
    if pieces <= 1:
        return states
    apart = states.unflatten(0, (-1, pieces))
    return torch.cat([apart[:, 0, :1], apart[:, :, 1:-1].flatten(1, 2), apart[:, -1, -1:]], dim=1)


def text_model(encoder: CLIPTextModel) -> nn.Module:
    """The module with `embeddings`, `encoder` and `final_layer_norm`; transformers 5.6 dropped a wrapper around it."""
    return getattr(encoder, "text_model", encoder)


def text_component(name: str, module: nn.Module, learning_rate: float) -> Component:
    """A CLIP text encoder (see `text_model`) as something to adapt."""
    return Component(name, module, ATTENTION | MLP, frozenset(), learning_rate, ATTENTION, MLP)
