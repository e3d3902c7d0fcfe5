"""The hashes by which a LoRA file names the base model that it was trained on, where that is one file."""

import contextlib
import hashlib
import os
import pathlib
import threading
from collections.abc import Callable, Mapping

from trainer.formats.hashes import legacy_hash_of_file
from trainer.job.base_model import describe

_CHUNK_BYTES = 4 * 2**20


def hashing(base: str) -> Callable[[], Mapping[str, str]]:
    """Begins to hash the base model's file and returns what waits for the end of it and gives the metadata.

    A sha256 of several GB takes seconds; on a thread of its own, which does not keep the program from ending, training
    does not wait for them. Nothing is found where `base` is no file or cannot be read.
    """
    found: dict[str, str] = {}
    path = describe(base, "").path if base else None
    if path is None or not os.path.isfile(path):
        return lambda: found
    thread = threading.Thread(target=_hash, args=(path, found), daemon=True)
    thread.start()

    def result() -> Mapping[str, str]:
        thread.join()
        return found

    return result


def _hash(path: pathlib.Path, found: dict[str, str]) -> None:
    digest = hashlib.sha256()
    with contextlib.suppress(OSError):
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
        legacy = legacy_hash_of_file(path)
        found.update({"ss_sd_model_hash": legacy, "ss_new_sd_model_hash": digest.hexdigest()})
