#!/usr/bin/env bash
# Starts LoRA Atelier in the browser; the first start sets it up. Options go to the app: ./gui.sh --help
set -eu
unset CDPATH
cd "$(dirname "$0")"
bash ./setup.sh --if-needed
exec .venv/bin/python -m app "$@"
