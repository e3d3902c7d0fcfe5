"""Whether the Hugging Face hub answers."""

import email.utils
import os
import socket
import ssl
import time
import urllib.error
import urllib.request

from trainer.doctor.probes.tell import tell
from trainer.job.trouble import first_line

LIMIT_S = 5
DEFAULT = "https://huggingface.co"


def main() -> None:
    """Tells the status of the answer, or which step towards it failed."""
    address = os.environ.get("HF_ENDPOINT") or DEFAULT
    tell(address=address)
    try:
        asked = urllib.request.Request(address, method="HEAD", headers={"User-Agent": "lora-atelier"})
        with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:
            _answered(answer.status, answer.headers.get("Date", ""))
    except urllib.error.HTTPError as error:
        _answered(error.code, error.headers.get("Date", ""))
    except (OSError, ValueError) as error:
        cause = getattr(error, "reason", error)
        tell(problem=_step(cause), words=first_line(cause if isinstance(cause, BaseException) else error))


def _answered(status: int, date: str) -> None:
    parsed = email.utils.parsedate_tz(date)
    # Behind a proxy that keeps pages, the date may be hours old.
    ahead_s = time.time() - email.utils.mktime_tz(parsed) if parsed else 0.0
    tell(status=status, ahead_s=ahead_s)


def _step(cause: object) -> str:
    if isinstance(cause, socket.gaierror):
        return "name"
    if isinstance(cause, ssl.SSLError):
        return "certificate"
    return "time" if isinstance(cause, TimeoutError) else "other"


if __name__ == "__main__":
    main()
