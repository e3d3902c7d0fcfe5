"""The small HTTP routes by which the page follows runs: they read run folders and change nothing.

A run is named by its key, and a file by its name inside one folder of that run. Both are looked up in what is there;
nothing that a client sends ever becomes part of a path.
"""

import contextlib
import hashlib
import io
import json
import mimetypes
import os
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any

import fastapi
from fastapi.responses import FileResponse, PlainTextResponse, Response
from PIL import Image

from app import interruption, places, watch
from trainer.dataset.pictures import opened
from trainer.run.folder import RunFolder

ISLANDS = pathlib.Path(__file__).parent / "islands"
THUMBNAIL_PX = (96, 192, 384, 768, 1536)
SAMPLE_TYPES = (".png", ".webp", ".jpg")
FRESH: Mapping[str, str] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
# The address of a sample carries its version, so what was once sent stays true.
KEPT: Mapping[str, str] = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}

router = fastapi.APIRouter()


def key_of(run: RunFolder) -> str:
    """The name of `run` in addresses: the same for the same folder, on every page and after every restart."""
    return _key(run.path, os.path.realpath(run.path.parent))


def _key(path: pathlib.Path, parent: str) -> str:
    real = os.path.realpath(path) if os.path.islink(path) else os.path.join(parent, path.name)
    return hashlib.blake2s(os.fsencode(real), digest_size=10).hexdigest()


def find(key: str) -> RunFolder | None:
    """The run of this key among all runs in the output folders in use, None where there is none."""
    # At each poll of a page: hundreds of other runs must not be looked into.
    for folder in places.output_folders():
        with contextlib.suppress(OSError):
            parent = os.path.realpath(folder)
            runs = (RunFolder(path) for path in folder.iterdir() if _key(path, parent) == key)
            if found := next((run for run in runs if run.job.is_file()), None):
                return found
    return None


@router.get("/runs")
def runs() -> Response:
    """All runs, newest first: their overview with `key` and `folder`."""
    known = places.runs()
    parents = {path: os.path.realpath(path) for path in {run.path.parent for run in known}}
    described = [_described(run, _key(run.path, parents[run.path.parent])) for run in known]
    found = sorted(described, key=lambda run: (run["created"], run["name"]), reverse=True)
    return as_json({"runs": found})


@router.get("/live/{key}")
def live(key: str, since: int = 0) -> Response:
    """The overview of a run and its updates since an offset."""
    run = _known(key)
    return as_json({"run": _described(run, key), **watch.updates(run, since)})


@router.get("/interrupted/{key}")
def interrupted(key: str) -> Response:
    """Why a run probably has ended without a word, and what resuming it does."""
    return as_json(interruption.told(_known(key)))


@router.get("/samples/{key}")
def samples(key: str, known: str = "") -> Response:
    """The overview and the sample table of a run; `table` is None when `known` is its version already."""
    run = _known(key)
    table = watch.sample_table(run)
    changed = table if table["version"] != known else None
    return as_json({"run": _described(run, key), "table": changed})


@router.get("/sample/{key}/{file}")
def sample(key: str, file: str, w: Annotated[int, fastapi.Query(ge=0)] = 0) -> Response:
    """One sample picture as it was made, or, with `w`, a WebP at least that wide where the picture is wider."""
    path = _inside(_known(key).samples, file, SAMPLE_TYPES)
    width = next((width for width in THUMBNAIL_PX if w and width >= w), 0)
    return shrunk(path, width)


def shrunk(path: pathlib.Path, width: int) -> Response:
    """The picture as WebP, `width` px wide; as it is where that is 0, or it is not wider; 404 for what is none."""
    try:
        small = _thumbnail(path, width) if width else None
        # Not left to a FileResponse, which fails aloud where the run is removed before it is sent.
        content = path.read_bytes() if small is None else small
    except Exception:  # noqa: BLE001 damaged files make Pillow raise anything from SyntaxError to struct.error
        return Response(status_code=404)
    known = mimetypes.guess_type(path)[0] if small is None else None
    return Response(content, media_type=known or "image/webp", headers=KEPT)


@router.get("/weights/{key}/{file}")
def weights(key: str, file: str) -> Response:
    """One LoRA file, as a download."""
    path = _inside(_known(key).weights, file, (".safetensors",))
    return FileResponse(path, filename=path.name, media_type="application/octet-stream", headers=FRESH)


@router.get("/log/{key}")
def log(key: str, lines: Annotated[int, fastapi.Query(ge=1, le=2000)] = 200) -> Response:
    """The end of the trainer's log, as plain text."""
    return PlainTextResponse(watch.log_tail(_known(key), lines), headers=FRESH)


@router.get("/islands/{file}")
def island_part(file: str) -> Response:
    """A JavaScript module or a style sheet that islands share."""
    path = _inside(ISLANDS, file, (".js", ".css"))
    kind = "text/javascript" if path.suffix == ".js" else "text/css"
    return FileResponse(path, media_type=kind, headers={"Cache-Control": "no-cache"})


def as_json(value: Any) -> Response:
    """`value` as JSON, with a ? for half a character: on Linux a file's name may be any bytes."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), media_type="application/json", headers=FRESH)


def _described(run: RunFolder, key: str) -> dict[str, Any]:
    return {"key": key, "folder": str(run.path), **watch.overview(run)}


def _known(key: str) -> RunFolder:
    run = find(key)
    if run is None:
        raise fastapi.HTTPException(404)
    return run


def _inside(folder: pathlib.Path, name: str, suffixes: tuple[str, ...]) -> pathlib.Path:
    """The file `name` directly inside `folder`. Raises a 404 for everything else, links leading out included."""
    there = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    path = there.get(name)
    if path is None or path.suffix.lower() not in suffixes or not path.is_file():
        raise fastapi.HTTPException(404)
    if path.resolve().parent != folder.resolve():
        raise fastapi.HTTPException(404)
    return path


def _thumbnail(path: pathlib.Path, width: int) -> bytes | None:
    """The picture as WebP, `width` px wide; None where it is not wider than that."""
    with opened(path) as picture:
        if picture.width <= width:
            return None
        small = picture.convert("RGB")
        small.thumbnail((width, 4 * width), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "WEBP", quality=88, method=2)
    return stream.getvalue()
