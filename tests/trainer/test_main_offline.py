"""A training with a model on this machine asks nobody for anything."""

import json
import os
import pathlib
import subprocess
import sys

from tests.trainer import tiny

LISTENING = """
import sys

def heard(event, given):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.sendto"):
        print("ASKED", event, ascii(given), file=sys.stderr, flush=True)

sys.addaudithook(heard)
from trainer.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_training_with_a_local_model_opens_no_socket(tmp_path: pathlib.Path) -> None:
    """Also where nothing in the environment forbids it."""
    tiny.pictures(tmp_path / "data", 2)
    changes = {"training": {"epochs": 0, "steps": 1, "text_encoder": False}, "adapter": {"rank": 1, "alpha": 1}}
    job = tiny.job(tmp_path, tiny.model(tmp_path / "model"), changes)
    (tmp_path / "job.json").write_text(json.dumps(job.model_dump(mode="json")))
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "GRADIO_"))}
    command = [sys.executable, "-c", LISTENING, "run", str(tmp_path / "job.json")]
    root = pathlib.Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env=own, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "ASKED" not in done.stderr, done.stderr
