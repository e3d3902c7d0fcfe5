"""`python -m app`: the GUI on this machine."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import uvicorn  # noqa: E402

from app.main import create_app  # noqa: E402

uvicorn.run(create_app(), host="127.0.0.1", port=7860, log_level="warning")
