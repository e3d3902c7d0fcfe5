"""Fetches models from the Hugging Face hub: only what is needed, in sight, and to be stopped at any time.

The hub's own client asks, downloads and keeps the cache. By itself it begins a file anew after each interruption
(huggingface_hub, file_download._download_to_tmp_and_move), so large files are put into its cache from here.
"""

import dataclasses
import errno
import hashlib
import pathlib
import re
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers, disable_progress_bars

from trainer.job import vae_files
from trainer.job.base_model import describe, problem_with
from trainer.job.detect import Detected, of_file, of_folder
from trainer.job.header import Entry, Header
from trainer.job.hub_names import HubName, cached_tokenizer, cached_vae, hub_name, of_hub
from trainer.job.model_files import checkpoints, needed, needed_of_tokenizer, needed_of_vae, single_file
from trainer.job.trouble import Trouble
from trainer.job.words import say
from trainer.run.events import Stage
from trainer.run.room import free_bytes, shown

_LARGE_BYTES = 8 * 2**20
_CHUNK_BYTES = 2**20
_SPARE_BYTES = 256 * 2**20
_LOOKS_PER_S = 4
_MB = 10**6
_Choose = Callable[[HubName, Mapping[str, int]], tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The files of a repository to fetch, with their sizes in bytes, smallest first, and the size of all there is."""

    repository: str
    commit: str
    files: Mapping[str, int]
    repository_bytes: int


@dataclasses.dataclass
class _State:
    """What the thread that fetches and the one that tells of it know of each other."""

    stop: threading.Event
    plan: Plan | None = None
    fetched_bytes: int = 0
    partial: pathlib.Path | None = None
    error: Exception | None = None

    @property
    def done_bytes(self) -> int:
        """How much is here so far."""
        try:
            return self.fetched_bytes + (self.partial.stat().st_size if self.partial else 0)
        except OSError:  # just moved to where it belongs
            return self.fetched_bytes


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """Which files of a repository are wanted, and what raises Trouble before large ones of another kind are fetched."""

    name: HubName
    choose: _Choose
    check: Callable[[Plan], None]


class _StopAsked(Exception):
    """Ends a download from within."""


def fetch(base: str, family: str, tell: Callable[[Stage], None], stop: Callable[[], bool]) -> bool:
    """Fetches what this machine lacks of `base`; True when all is here, False when `stop` said so before.

    Nothing is asked of the network when all is here already. Raises Trouble.
    """
    found, name = describe(base, family), hub_name(base)
    if found.kind != "hub" or found.path is not None or name is None:
        return True
    return _fetch(_Wanted(name, _choose, partial(_check_kind, name=name, family=family)), tell, stop)


def fetch_vae(vae: str, tell: Callable[[Stage], None], stop: Callable[[], bool]) -> bool:
    """Fetches what this machine lacks of the VAE `vae`, as `fetch` does. Raises Trouble."""
    name = of_hub(vae)
    if name is None or cached_vae(name) is not None:
        return True
    return _fetch(_Wanted(name, _choose_vae, _check_vae), tell, stop)


def fetch_tokenizer(tokenizer: str, tell: Callable[[Stage], None], stop: Callable[[], bool]) -> bool:
    """Fetches what this machine lacks of the tokenizer `tokenizer`, as `fetch` does. Raises Trouble."""
    name = of_hub(tokenizer)
    if name is None or cached_tokenizer(name) is not None:
        return True
    return _fetch(_Wanted(name, _choose_tokenizer, lambda plan: None), tell, stop)


def _fetch(wanted: _Wanted, tell: Callable[[Stage], None], stop: Callable[[], bool]) -> bool:
    name = wanted.name
    disable_progress_bars()
    # As it is the client shows a sign of life every 10 MiB, which is long on a slow line.
    constants.DOWNLOAD_CHUNK_SIZE = min(constants.DOWNLOAD_CHUNK_SIZE, _CHUNK_BYTES)
    state = _State(threading.Event())
    # A thread of its own, because a network may be silent for long and a stop is to be heard meanwhile.
    worker = threading.Thread(target=_work, args=(wanted, state), daemon=True, name="hub")
    worker.start()
    while worker.is_alive():
        tell(_stage(name, state))
        if stop():
            state.stop.set()
            worker.join(timeout=2)
            return False
        worker.join(timeout=1 / _LOOKS_PER_S)
    if state.error is not None:
        raise _understood(state.error, name) from state.error
    tell(_stage(name, state))
    return True


def _stage(name: HubName, state: _State) -> Stage:
    if state.plan is None:
        return Stage(text=say("hub_asking", repository=name.repository))
    size = sum(state.plan.files.values())
    sizes = {"size": shown(size), "all": shown(state.plan.repository_bytes)}
    text = say("hub_fetching", repository=name.repository, **sizes)
    return Stage(text=text, done=state.done_bytes // _MB, total=max(1, size // _MB))


def _work(wanted: _Wanted, state: _State) -> None:
    try:
        plan = state.plan = make_plan(wanted.name, wanted.choose)
        _check_space(plan)
        judged = False
        for file, size in plan.files.items():
            if state.stop.is_set():
                return
            if size > _LARGE_BYTES and not judged:
                judged = True
                wanted.check(plan)
            if size > _LARGE_BYTES:
                _fetch_large(plan, file, state)
            hf_hub_download(plan.repository, file)
            state.fetched_bytes, state.partial = state.fetched_bytes + size, None
    except _StopAsked:
        return
    except Exception as error:  # noqa: BLE001 it is raised again by the thread that waits
        state.error = error


def make_plan(name: HubName, choose: _Choose) -> Plan:
    """What to fetch of `name`, out of all files as `choose` says, which takes one request.

    Raises Trouble and the client's errors.
    """
    info = HfApi().model_info(name.repository, files_metadata=True, timeout=30)
    files = {each.rfilename: each.size or 0 for each in info.siblings or ()}
    chosen = sorted(choose(name, files), key=lambda file: (files[file], file))
    sizes = {file: files[file] for file in chosen}
    return Plan(name.repository, info.sha or constants.DEFAULT_REVISION, sizes, sum(files.values()))


def _choose(name: HubName, files: Mapping[str, int]) -> tuple[str, ...]:
    if name.file:
        if name.file not in files:
            raise Trouble("hub_no_file", repository=name.repository, file=name.file)
        return (name.file,)
    if "model_index.json" in files:
        found = needed(files)
        if found.missing:
            if "unet/config.json" not in files:
                _refuse_other_kinds(_kind_of_model(name.repository), name, "")
            raise Trouble("hub_incomplete", repository=name.repository, missing=", ".join(found.missing))
        return found.files
    if file := single_file(files):
        return (file,)
    raise _one_of_several(name, files) or Trouble("hub_no_model", repository=name.repository)


def _choose_vae(name: HubName, files: Mapping[str, int]) -> tuple[str, ...]:
    if name.file:
        return _choose(name, files)
    if found := needed_of_vae(files):
        return found
    raise _one_of_several(name, files) or Trouble("hub_no_vae", repository=name.repository)


def _choose_tokenizer(name: HubName, files: Mapping[str, int]) -> tuple[str, ...]:
    if found := needed_of_tokenizer(files):
        return found
    raise Trouble("tokenizer_missing", source=name.repository, reason=say("tokenizer_none"))


def _one_of_several(name: HubName, files: Mapping[str, int]) -> Trouble | None:
    several = checkpoints(files)
    if not several:
        return None
    shown = ", ".join(several[:5]) + (", …" if len(several) > 5 else "")
    return Trouble("hub_several", repository=name.repository, files=shown, first=several[0])


def _check_space(plan: Plan) -> None:
    lacking = sum(size - _here(plan, file) for file, size in plan.files.items())
    folder = pathlib.Path(constants.HF_HUB_CACHE)
    free = free_bytes(folder)
    if lacking + _SPARE_BYTES > free:
        raise Trouble("hub_disk", needed=shown(lacking), free=shown(free), folder=folder)


def _here(plan: Plan, file: str) -> int:
    """Bytes of a file that are in the cache already."""
    return plan.files[file] if isinstance(try_to_load_from_cache(plan.repository, file), str) else 0


def _check_kind(plan: Plan, name: HubName, family: str) -> None:
    """Raises Trouble before gigabytes are fetched of what cannot be trained."""
    detected = _kind_of_model(plan.repository) if len(plan.files) > 1 else _kind_of_file(plan)
    _refuse_other_kinds(detected, name, family)


def _refuse_other_kinds(detected: Detected | None, name: HubName, family: str) -> None:
    problem = problem_with(detected, name.repository, family) if detected else ""
    if problem:
        raise Trouble("hub_other_kind", reason=problem)


def _kind_of_model(repository: str) -> Detected | None:
    return of_folder(pathlib.Path(hf_hub_download(repository, "model_index.json")).parent)


def _check_vae(plan: Plan) -> None:
    weights = [file for file in plan.files if file.endswith(".safetensors")]
    if len(weights) == 1:  # of several parts each holds only some of the tensors
        found = HfApi().parse_safetensors_file_metadata(plan.repository, weights[0])
        if not vae_files.is_vae(found.tensors):
            raise Trouble("hub_no_vae", repository=plan.repository)


def _kind_of_file(plan: Plan) -> Detected:
    file = next(iter(plan.files))
    found = HfApi().parse_safetensors_file_metadata(plan.repository, file)
    entries = {name: Entry(str(t.dtype), tuple(t.shape), *t.data_offsets) for name, t in found.tensors.items()}
    return of_file(pathlib.Path(file), Header(entries, dict(found.metadata or {}), 0))


def _fetch_large(plan: Plan, file: str, state: _State) -> None:
    """Puts a file among the blobs of the client's cache, from where an earlier try has left off."""
    if _here(plan, file):
        return
    url = hf_hub_url(plan.repository, file, revision=plan.commit)
    about = get_hf_file_metadata(url)
    if about.etag is None:
        return  # without a name for its contents the client has to fetch it
    cache = pathlib.Path(constants.HF_HUB_CACHE)
    folder = repo_folder_name(repo_id=plan.repository, repo_type="model")
    blob, lock = cache / folder / "blobs" / about.etag, cache / ".locks" / folder / f"{about.etag}.lock"
    for parent in (blob.parent, lock.parent):
        parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if blob.exists():
            return
        state.partial = blob.with_name(f"{about.etag}.part")
        with state.partial.open("ab", buffering=0) as stream:
            size = plan.files[file]
            if stream.tell() > size:
                stream.truncate(0)
            http_get(
                url,
                stream,  # type: ignore[arg-type]
                resume_size=stream.tell(),
                headers=build_hf_headers(),
                expected_size=size,
                tqdm_class=_bar(state.stop),
            )
        _check_contents(state.partial, about.etag, plan.repository)
        state.partial.replace(blob)


def _check_contents(path: pathlib.Path, etag: str, repository: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{64}", etag):
        return
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != etag:
        path.unlink()
        raise Trouble("hub_damaged", repository=repository)


def _bar(stop: threading.Event) -> Any:
    """What the client takes for a progress bar: it shows nothing and ends the download when asked to."""

    class Bar:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, _: float | None = None) -> None:
            if stop.is_set():
                raise _StopAsked

    return Bar


def _understood(error: Exception, name: HubName) -> Trouble:
    """An error of the client as what happened and what to do."""
    about = {"repository": name.repository, "page": f"{constants.ENDPOINT}/{name.repository}"}
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    status = error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else 0
    if isinstance(error, Trouble):
        return error
    if isinstance(error, GatedRepoError):
        return Trouble("hub_gated", **about)
    if isinstance(error, RepositoryNotFoundError):
        return Trouble("hub_not_found", **about)
    if isinstance(error, OfflineModeIsEnabled):
        return Trouble("hub_offline", **about)
    if status in (401, 403):
        return Trouble("hub_refused", **about)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Trouble("disk", reason=error)
    if isinstance(error, EntryNotFoundError) and status == 404:
        return Trouble("hub_no_file", file=name.file or "model_index.json", **about)
    return Trouble("hub_unreachable", reason=reason, **about)
