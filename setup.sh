#!/usr/bin/env bash
# Sets LoRA Atelier up in .venv beside this file; with --test also runs the whole test suite.
# Written for bash 3.2 (macOS) and later.
set -u
unset CDPATH
cd "$(dirname "$0")" || exit 1
here=$(pwd -P)
venv=.venv
log=$venv/setup.log
torch=torch==2.13.0
cpu_index=https://download.pytorch.org/whl/cpu
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0 PIP_PROGRESS_BAR=off

usage() {
  cat <<'TEXT'
usage: ./setup.sh                        set up, or bring up to date, what LoRA Atelier needs
       ./setup.sh --test [PYTEST ARGS]   the same with the test tools, then ruff, mypy and the tests
       ./setup.sh --if-needed            as the first, silent when there is nothing to do

Everything goes into the folder .venv; deleting it undoes the set-up.
The Python that is used can be chosen: PYTHON=/path/to/python3.12 ./setup.sh
TEXT
}

fail() {
  printf '\n%s\n' "$*" >&2
  exit 1
}

# ---------------------------------------------------------------- one line a stage, the rest in the log

ticker=
stop_ticker() {
  [ -z "$ticker" ] || { kill "$ticker" && wait "$ticker"; } 2>/dev/null
  ticker=
}
trap stop_ticker EXIT
trap 'exit 130' INT TERM

# stage TITLE COMMAND…: runs the command with its output in the log; ends the script where it fails.
stage() {
  local title=$1 began=$SECONDS status=0
  shift
  printf '  %s …' "$title"
  if [ -t 1 ]; then
    (while sleep 1; do printf '\r  %s … %d s' "$title" $((SECONDS - began)); done) &
    ticker=$!
  fi
  printf '\n== %s\n' "$title" >>"$log"
  "$@" >>"$log" 2>&1 </dev/null || status=$?
  stop_ticker
  [ -t 1 ] && printf '\r  %s …' "$title"
  if [ "$status" -ne 0 ]; then
    printf ' failed after %d s\n\n' $((SECONDS - began))
    tail -n 20 "$log"
    fail "$(advice)$(see_the_doctor)"
  fi
  printf ' %d s\n' $((SECONDS - began))
}

# see_the_doctor: a sentence on the one who looks at this machine, once there is a Python for him.
see_the_doctor() {
  [ ! -x "$venv/bin/python" ] || printf '\nWhat is wrong on this machine, and what to do, says: %s -m trainer.doctor' "$venv/bin/python"
}

# advice: one sentence on what to do about the end of the log.
advice() {
  local end
  end=$(tail -n 60 "$log")
  case $end in
    *'No space left'*) echo "The disk is full: free about 6 GB, then run this again." ;;
    *'name resolution'* | *'Name or service'* | *'nodename nor servname'* | *'Connection'* | *'timed out'* | *'SSLError'*)
      echo "The package index could not be reached: check the internet connection (behind a proxy, set HTTPS_PROXY), then run this again; it goes on where it stopped." ;;
    *'No matching distribution'*)
      echo "A package has no build for this system or this Python: try another one with PYTHON=/path/to/python3.12 ./setup.sh" ;;
    *) echo "Run this again; if it stops at the same place, delete the folder .venv and try once more. The whole log is $here/$log" ;;
  esac
}

# ---------------------------------------------------------------- Python

right_version() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' >/dev/null 2>&1 </dev/null
}

can_make_environments() {
  "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 </dev/null
}

how_to_get_python() {
  if [ "$(uname -s)" = Darwin ]; then
    echo "Install it with 'brew install python@3.12' or from https://www.python.org/downloads/, then run this again."
  elif command -v apt-get >/dev/null 2>&1; then
    echo "Install it with 'sudo apt install python3 python3-venv' (on Ubuntu 22.04: python3.11 python3.11-venv), then run this again."
  elif command -v dnf >/dev/null 2>&1; then
    echo "Install it with 'sudo dnf install python3.12', then run this again."
  elif command -v pacman >/dev/null 2>&1; then
    echo "Install it with 'sudo pacman -S python', then run this again."
  elif command -v zypper >/dev/null 2>&1; then
    echo "Install it with 'sudo zypper install python312', then run this again."
  else
    echo "Install it from https://www.python.org/downloads/, then run this again."
  fi
}

# find_python: sets `python` to the first suitable one; otherwise says what to install and ends.
find_python() {
  local name without=
  # A name alone proves nothing: version managers leave stubs that only print an error.
  for name in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python python3.14; do
    [ -n "$name" ] && right_version "$name" || continue
    if can_make_environments "$name"; then
      python=$name
      return
    fi
    without=${without:-$name}
  done
  [ -z "$without" ] || fail "This Python cannot make virtual environments yet. On Debian and Ubuntu, \
'sudo apt install python$(version_of "$without")-venv' mends that; then run this again."
  fail "LoRA Atelier needs Python 3.11 or newer (up to 3.14), and none was found. $(how_to_get_python)"
}

version_of() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'
}

make_environment() {
  mkdir -p "$venv"
  if right_version "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1 </dev/null; then
    printf 'Set-up of %s\n' "$(date)" >"$log"
    return
  fi
  find_python
  case "$(uname -s) $("$python" -c 'import platform; print(platform.machine())')" in
    'Darwin x86_64') fail "PyTorch is no longer made for Intel Macs (or for Python under Rosetta): an Apple silicon Mac with its own Python is needed." ;;
  esac
  rm -rf "$venv" && mkdir "$venv" || fail "The folder $here/$venv cannot be written."
  printf 'Set-up of %s\n' "$(date)" >"$log"
  stage "Making the environment with Python $(version_of "$python")" "$python" -m venv "$venv"
}

# ---------------------------------------------------------------- packages

pip_install() {
  "$venv/bin/python" -m pip install "$@"
}

answers() {
  # The alarm covers name resolution too, which urlopen's timeout does not.
  "$venv/bin/python" -c 'import signal, sys, urllib.request as web
signal.alarm(5)
web.urlopen(web.Request(sys.argv[1], method="HEAD"), timeout=4)' "$1" >/dev/null 2>&1 </dev/null
}

# has_torch: whether the environment holds the right PyTorch, in a build that this machine can use.
has_torch() {
  "$venv/bin/python" -c 'import importlib.metadata, sys
number, _, build = importlib.metadata.version("torch").partition("+")
sys.exit("torch==" + number != sys.argv[1] or (sys.argv[2] == "nvidia" and build == "cpu"))' "$torch" "$machine" >/dev/null 2>&1
}

install_torch() {
  case $machine in
    nvidia)
      "$venv/bin/python" -m pip uninstall -y torch
      pip_install "$torch" ;;
    cpu)
      # PyTorch's own index has a build a tenth of the size; a local version such as +cpu counts as the newer one.
      if answers "$cpu_index/torch/" && pip_install --extra-index-url "$cpu_index" "$torch"; then return; fi
      pip_install "$torch" ;;
    *) pip_install "$torch" ;;
  esac
}

# detect_machine: sets `machine` to nvidia, apple or cpu, and `machine_words` to how that is called.
detect_machine() {
  if [ "$(uname -s)" = Darwin ]; then
    machine=apple machine_words="Apple silicon"
  elif command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi >/dev/null 2>&1 </dev/null; then
    machine=nvidia machine_words="NVIDIA graphics cards, about 3 GB"
  else
    machine=cpu machine_words="the processor, about 200 MB"
  fi
}

check_nvidia() {
  "$venv/bin/python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' >>"$log" 2>&1 </dev/null && return
  echo "  The NVIDIA driver is too old for PyTorch: update it to 580 or newer; until then training uses the processor.$(see_the_doctor)"
}

# The folder counts because an installed copy remembers where it lies.
fingerprint() {
  printf '%s %s\n' "$(cksum <pyproject.toml)" "$here"
}

# up_to_date STAMP: whether the set-up that the stamp stands for was finished for this pyproject.toml.
up_to_date() {
  [ -x "$venv/bin/python" ] && [ -f "$venv/$1" ] && [ "$(cat "$venv/$1")" = "$(fingerprint)" ]
}

# set_up STAMP WHAT TITLE: brings the environment to where `pip install -e WHAT` is done.
set_up() {
  local began=$SECONDS machine machine_words
  echo "Setting up LoRA Atelier; this happens once and takes a few minutes."
  make_environment
  rm -f "$venv/ready" "$venv/ready-test"
  detect_machine
  if ! has_torch; then
    stage "Installing PyTorch for $machine_words" install_torch
    [ "$machine" != nvidia ] || check_nvidia
  fi
  stage "$3" pip_install -e "$2"
  fingerprint >"$venv/ready"
  fingerprint >"$venv/$1"
  echo "Ready after $((SECONDS - began)) s."
}

# ---------------------------------------------------------------- tests

has_chromium() {
  local name
  for name in chromium chromium-browser google-chrome google-chrome-stable \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" /Applications/Chromium.app/Contents/MacOS/Chromium; do
    # Where a system ships Chromium as a snap, the name may be a stub that only says so.
    "$name" --version >/dev/null 2>&1 </dev/null && return
  done
  return 1
}

install_chromium() {
  local root=
  [ "$(id -u)" = 0 ] || root="sudo -n"
  export DEBIAN_FRONTEND=noninteractive
  $root apt-get update || true
  # The fonts only make Japanese text in screenshots readable.
  $root apt-get install -y --no-install-recommends chromium fonts-noto-cjk || $root apt-get install -y --no-install-recommends chromium || true
}

get_chromium() {
  has_chromium && return
  if command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" = 0 ] || sudo -n true >/dev/null 2>&1; }; then
    stage "Installing Chromium" install_chromium
    has_chromium && return
  fi
  echo "  No Chromium or Chrome was found, so the tests in the browser are left out; install one (Debian: sudo apt install chromium) to run them."
}

# run_suite [PYTEST ARGS]: exit status 0 only if all three found nothing; pytest comes last, so its closing line does too.
# One test file a processor at a time, each on one thread: models this small are slower on several.
run_suite() {
  local status=0
  export OMP_NUM_THREADS=1
  "$venv/bin/python" -m ruff check . </dev/null || status=1
  "$venv/bin/python" -m mypy </dev/null || status=1
  [ "$status" = 0 ] || echo "ruff or mypy found something (above): the whole run counts as failed."
  "$venv/bin/python" -m pytest --numprocesses=auto --dist=loadfile "$@" </dev/null || status=$?
  return "$status"
}

case ${1:-} in
  '' | --if-needed)
    if ! up_to_date ready; then
      set_up ready . "Installing LoRA Atelier"
    elif [ -z "${1:-}" ]; then
      echo "LoRA Atelier is set up; ./gui.sh starts it."
    fi
    ;;
  --test)
    shift
    up_to_date ready-test || set_up ready-test '.[test]' "Installing LoRA Atelier and the test tools"
    get_chromium
    run_suite "$@"
    ;;
  -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
