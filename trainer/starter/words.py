"""The starter model's tokenizer: CLIP's layout, one token for each word of the world, byte pieces for the rest."""

import json
from collections.abc import Sequence
from pathlib import Path

from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
MAX_TOKENS = 77


def byte_letters() -> list[str]:
    """Returns the 256 printable letters that stand for the bytes, in GPT-2's order (bytes_to_unicode)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + n) for n in range(len(rest))]


def merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """Returns the pieces with each occurrence of the pair joined."""
    out: list[str] = []
    for piece in pieces:
        if out and (out[-1], piece) == pair:
            out[-1] += piece
        else:
            out.append(piece)
    return out


def merges_for(words: Sequence[str]) -> list[tuple[str, str]]:
    """Returns merges by which byte-pair encoding makes one token of each word.

    A word's own merges come after all earlier ones, so they cannot change how an earlier word is joined.
    """
    merges: list[tuple[str, str]] = []
    for word in words:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        for pair in merges:
            pieces = merged(pieces, pair)
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces = merged(pieces, merges[-1])
    return merges


def write_tokenizer(folder: Path, words: Sequence[str]) -> None:
    """Writes vocab.json, merges.txt and the two configs that make CLIPTokenizer load the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    letters, merges = byte_letters(), merges_for(words)
    entries = [
        *letters,
        *(f"{letter}</w>" for letter in letters),
        *dict.fromkeys("".join(pair) for pair in merges),
        START,
        END,
    ]
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    config = {
        **special,
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": MAX_TOKENS,
        "do_lower_case": True,
        "add_prefix_space": False,
        "errors": "replace",
    }
    lines = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)])
    for name, text in (
        ("vocab.json", json.dumps({entry: n for n, entry in enumerate(entries)}, ensure_ascii=False)),
        ("merges.txt", f"{lines}\n"),
        ("special_tokens_map.json", json.dumps(special, indent=2)),
        ("tokenizer_config.json", json.dumps(config, indent=2)),
    ):
        (folder / name).write_text(text, encoding="utf-8")


def read_tokenizer(folder: Path) -> CLIPTokenizer:
    """Returns the tokenizer of a folder."""
    return CLIPTokenizer.from_pretrained(folder)
