"""The small HTTP routes by which the page follows runs: they read run folders and change nothing.

A run is named by its key, and a file by its name inside one folder of that run. Both are looked up in what is there;
nothing that a client sends ever becomes part of a path.
"""

import contextlib
import functools
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
from pydantic_core import to_json

from app import interruption, run_list, watch
from app.thumbs import decoded, fitted
from trainer.run.folder import RunFolder

ISLANDS = pathlib.Path(__file__).parent / "islands"
THUMBNAIL_PX = (96, 192, 384, 768, 1536)
SAMPLE_TYPES = (".png", ".webp", ".jpg")
MOST_BYTES = 128 * 2**20
FRESH: Mapping[str, str] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
# The address of a sample carries its version, so what was once sent stays true.
KEPT: Mapping[str, str] = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}

router = fastapi.APIRouter()


@router.get("/runs")
def runs(known: str = "") -> Response:
    """What is said of all runs, newest first; of the version `known` only what may change without a new one."""
    return as_json(run_list.overviews(known))


@router.get("/live/{key}")
def live(key: str, since: int = 0) -> Response:
    """The overview of a run and its updates since an offset."""
    run = _known(key)
    return as_json({"run": run_list.described(key, watch.look(str(run.path))), **watch.updates(run, since)})


@router.get("/interrupted/{key}")
def interrupted(key: str) -> Response:
    """Why a run probably has ended without a word, and what resuming it does."""
    return as_json(interruption.told(_known(key)))


@router.get("/samples/{key}")
def samples(key: str, known: str = "") -> Response:
    """The overview and the sample table of a run; `table` is None when `known` is its version already."""
    run = _known(key)
    version = watch.sample_version(run)
    table = {"version": version, **watch.sample_table(run)} if version != known else None
    return as_json({"run": run_list.described(key, watch.look(str(run.path))), "table": table})


@router.get("/sample/{key}/{file}")
def sample(key: str, file: str, w: Annotated[int, fastapi.Query(ge=0)] = 0) -> Response:
    """One sample picture as it was made, or, with `w`, a WebP at least that wide where the picture is wider."""
    run = _known(key)
    path = _inside(run.path, run.samples, file, SAMPLE_TYPES)
    width = next((width for width in THUMBNAIL_PX if w and width >= w), 0)
    return shrunk(path, width)


def shrunk(path: pathlib.Path, width: int) -> Response:
    """The picture as WebP, `width` px wide; as it is where that is 0, or it is not wider; 404 for what is none."""
    try:
        small = decoded(path, functools.partial(_thumbnail, width)) if width else None
        # Not left to a FileResponse, which fails aloud where the run is removed before it is sent.
        content = _content(path) if small is None else small
    except Exception:  # noqa: BLE001 damaged files make Pillow raise anything from SyntaxError to struct.error
        return Response(status_code=404)
    known = mimetypes.guess_type(path)[0] if small is None else None
    return Response(content, media_type=known or "image/webp", headers=KEPT)


def _content(path: pathlib.Path) -> bytes:
    """What is in a file. Raises ValueError for one larger than any sample, which may be all hole, and OSError."""
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(path)
    return content


@router.get("/weights/{key}/{file}")
def weights(key: str, file: str) -> Response:
    """One LoRA file, as a download."""
    run = _known(key)
    path = _inside(run.path, run.weights, file, (".safetensors",))
    return FileResponse(path, filename=path.name, media_type="application/octet-stream", headers=FRESH)


@router.get("/log/{key}")
def log(key: str, lines: Annotated[int, fastapi.Query(ge=1, le=2000)] = 200) -> Response:
    """The end of the trainer's log, as plain text."""
    return PlainTextResponse(watch.log_tail(_known(key), lines), headers=FRESH)


@router.get("/islands/{file}")
def island_part(file: str) -> Response:
    """A JavaScript module or a style sheet that islands share."""
    path = _inside(ISLANDS, ISLANDS, file, (".js", ".css"))
    kind = "text/javascript" if path.suffix == ".js" else "text/css"
    return FileResponse(path, media_type=kind, headers={"Cache-Control": "no-cache"})


def as_json(value: Any) -> Response:
    """`value` as JSON, with a ? for half a character: on Linux a file's name may be any bytes."""
    with contextlib.suppress(ValueError):  # in a fifth of the time, but not of half a character
        return Response(to_json(value, inf_nan_mode="null"), media_type="application/json", headers=FRESH)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), media_type="application/json", headers=FRESH)


def _known(key: str) -> RunFolder:
    """The run of this key. Raises a 404 where there is none, or its events are a link out of it."""
    run = run_list.find(key)
    if run is None or not watch.is_inside(run.events, run.path):
        raise fastapi.HTTPException(404)
    return run


def _inside(root: pathlib.Path, folder: pathlib.Path, name: str, suffixes: tuple[str, ...]) -> pathlib.Path:
    """The file `name` directly inside `folder`.

    Raises a 404 for everything else, also where the file is a link out of the folder, or the folder one out of `root`.
    """
    # A list of thousands of names is one quick question, and paths of them all would not be.
    there = os.listdir(folder) if folder.is_dir() else []
    if name not in there:
        raise fastapi.HTTPException(404)
    path = folder / name
    if path.suffix.lower() not in suffixes or not path.is_file():
        raise fastapi.HTTPException(404)
    if path.resolve().parent != folder.resolve() or not watch.is_inside(path, root):
        raise fastapi.HTTPException(404)
    return path


def _thumbnail(width: int, picture: Image.Image) -> bytes | None:
    """The picture as WebP, `width` px wide; None where it is not wider than that."""
    if picture.width <= width:
        return None
    small = fitted(picture, (width, 4 * width), 2.0).convert("RGB")
    stream = io.BytesIO()
    small.save(stream, "WEBP", quality=88, method=0)  # hundreds at once are waited for, and fetched from this machine
    return stream.getvalue()
