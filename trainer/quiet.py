"""Silences, by name, messages of libraries that a user of this program can do nothing about."""

import logging
import os
import warnings

from trainer.run.process import NO_TELEMETRY


class _Without(logging.Filter):
    def __init__(self, *beginnings: str) -> None:
        super().__init__()
        self._beginnings = beginnings

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record does not begin with one of the texts."""
        return not record.getMessage().startswith(self._beginnings)


def quieten() -> None:
    """To be called before the heavy libraries are imported; a message that is not named here still appears."""
    os.environ.update(NO_TELEMETRY)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    # bitsandbytes offers faster CPU kernels from a hub; its own run just as well.
    for name in ("bitsandbytes", "bitsandbytes.backends.cpu.ops", "bitsandbytes.cextension"):
        logging.getLogger(name).addFilter(_Without("Failed to load CPU gemm_4bit_forward", "Failed to load"))
    # Image processors are imported but never used here.
    logging.getLogger("transformers.utils.import_utils").addFilter(_Without("`"))
    # diffusers asks the hub in the words of its older versions, and hands tensors to numpy 2 in the way of numpy 1.
    warnings.filterwarnings("ignore", message="The `local_dir_use_symlinks` argument", category=UserWarning)
    warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
