"""CLIP's tokenizer, from the vocabulary that comes with the program or from a folder or hub id."""

import gzip
import pathlib

from transformers import CLIPTokenizer

from trainer.job.hub_names import cached_tokenizer, of_hub
from trainer.job.trouble import Trouble
from trainer.job.words import say

_MERGES = pathlib.Path(__file__).parent / "configs" / "clip" / "merges.txt.gz"
_MAX_TOKENS = 77
_START, _END = "<|startoftext|>", "<|endoftext|>"
_PRINTABLE = (*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1))


def clip(source: str = "", pad_token: str = _END) -> CLIPTokenizer:
    """The tokenizer of `source`, a folder (of it or of a whole model) or a hub id; of CLIP itself when that is "".

    Shorter texts are padded with `pad_token`: the end token in Stable Diffusion 1.x, "!", which is token 0, in what
    OpenCLIP has trained. Raises Trouble when there is no tokenizer.
    """
    tokenizer = _from(source) if source else _shipped()
    # Given to the constructor it would become a special token, and a "!" in a caption would turn into padding.
    tokenizer.pad_token = pad_token
    return tokenizer


def _shipped() -> CLIPTokenizer:
    with gzip.open(_MERGES, "rt", encoding="utf-8") as stream:
        merges = [tuple(line.split()) for line in stream]
    # The letters that stand for the 256 bytes, in the order of GPT-2 (bytes_to_unicode).
    letters = [*map(chr, _PRINTABLE), *(chr(256 + number) for number in range(256 - len(_PRINTABLE)))]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges), _START, _END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=_MAX_TOKENS)


def _from(source: str) -> CLIPTokenizer:
    name = of_hub(source)
    folder = cached_tokenizer(name) if name else pathlib.Path(source).expanduser()
    if folder is None or not folder.exists():
        reason = say("tokenizer_not_here" if name else "tokenizer_none")
        raise Trouble("tokenizer_missing", source=source, reason=reason)
    subfolder = "tokenizer" if (folder / "tokenizer").is_dir() else ""
    try:
        return CLIPTokenizer.from_pretrained(str(folder), subfolder=subfolder, model_max_length=_MAX_TOKENS)
    except (OSError, ValueError) as error:
        raise Trouble("tokenizer_missing", source=source, reason=str(error).strip().partition("\n")[0]) from error
