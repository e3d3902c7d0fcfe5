"""The hashes by which a LoRA file names the models that it was trained with, where they are single files."""

import contextlib
import hashlib
import os
import pathlib
import threading
from collections.abc import Callable, Mapping, Sequence

from trainer.formats.hashes import legacy_hash_of_file
from trainer.job.base_model import describe
from trainer.job.settings import Job

_BASE, _VAE = ("ss_sd_model_hash", "ss_new_sd_model_hash"), ("ss_vae_hash", "ss_new_vae_hash")


def hashing(job: Job) -> Callable[[], Mapping[str, str]]:
    """Begins to hash the files of the base model and the VAE; returns what waits for the end and gives the metadata.

    A sha256 of several GB takes seconds; on a thread of its own, which does not keep the program from ending, training
    does not wait for them. Nothing is found of what is no file or cannot be read.
    """
    found: dict[str, str] = {}
    keys = {describe(job.model.base, "").path: _BASE}
    if job.model.vae:
        keys[pathlib.Path(os.path.expanduser(job.model.vae))] = _VAE
    files = [(path, both) for path, both in keys.items() if path and os.path.isfile(path)]
    if not files:
        return lambda: found
    thread = threading.Thread(target=_hash, args=(files, found), daemon=True)
    thread.start()

    def result() -> Mapping[str, str]:
        thread.join()
        return found

    return result


def _hash(files: Sequence[tuple[pathlib.Path, tuple[str, str]]], found: dict[str, str]) -> None:
    for path, (short, whole) in files:
        with contextlib.suppress(OSError), path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            found.update({short: legacy_hash_of_file(path), whole: digest})
