"""Decisions about pictures and captions: where they are, how large they are learned, what is masked."""

import math
import pathlib
import re
from collections.abc import Mapping

from trainer.job.kohya_import import values
from trainer.job.kohya_import.read import Given
from trainer.job.kohya_import.rows import Case, Verdict, direct, lack, skip, stays, take
from trainer.job.kohya_import.values import Unusable
from trainer.job.words import say

_BUCKET_GRAIN_PX = 8
_SQUARE_GRAIN_PX = 64
_MOST_SUBSETS = 200


def decide(case: Case) -> Mapping[str, Verdict]:
    """Folders, resolution, captions' ending, masks."""
    found = {**_folders(case), **_regularisation(case), **_masks(case)}
    found["max_resolution"] = _resolution(case)
    found["caption_extension"] = _ending(case)
    found["bucket_reso_steps"] = _bucket_step(case)
    found["is_reg"] = skip("is_reg") if case.on("is_reg") else stays()
    read = case.source.kind == "dataset" or case.gives("image_dir")
    found["dataset_config"] = skip("was_read") if read else lack("dataset_config")
    if not case.gives("dataset_config"):
        found["dataset_config"] = stays()
    return found


def notes(case: Case) -> tuple[str, ...]:
    """That the pictures are still to be chosen, where the input names none."""
    placeholder = values.is_placeholder(case.raw("train_data_dir"))
    if case.gives("image_dir") or (case.gives("train_data_dir") and not placeholder):
        return ()
    return (say("kohya_note_no_folder"),)


def path_verdict(case: Case, name: str, path: str) -> Verdict:
    """A path as it is, unless it is only a place to write one."""
    return skip("placeholder") if values.is_placeholder(case.raw(name)) else direct(path, case.raw(name))


# ---- folders ----


def _folders(case: Case) -> dict[str, Verdict]:
    """The folder of the pictures; that of a dataset_config wins."""
    if not case.gives("image_dir"):
        return {
            "train_data_dir": path_verdict(case, "train_data_dir", "dataset.folder"),
            "num_repeats": direct("dataset.default_repeats", case.raw("num_repeats")),
            "class_tokens": _class_words(case, ""),
        }
    outer = skip("decided_by", name="dataset_config") if case.gives("train_data_dir") else stays()
    folder = together(case)
    name = _last(str(case.raw("image_dir")))
    return {
        "train_data_dir": outer,
        "image_dir": _parent(folder) if folder else direct("dataset.folder", case.raw("image_dir")),
        "num_repeats": _repeats(case, name),
        "class_tokens": _class_words(case, name),
    }


def together(case: Case) -> str:
    """The one folder whose sub-folders all subsets are, "" where there is none or only one subset."""
    folders = list(case.subset_folders.values())
    if not 1 < len(folders) <= _MOST_SUBSETS:
        return ""
    parents = {re.split(r"[\\/](?=[^\\/]+[\\/]?$)", folder.strip())[0] for folder in folders}
    parent = parents.pop() if len(parents) == 1 else ""
    return "" if re.fullmatch(r"[A-Za-z]:|[\\/]*", parent) else parent


def _parent(folder: str) -> Verdict:
    return take({"dataset.folder": folder}, say("kohya_parent"))


def spare(one: Given, first: Given, case: Case) -> Verdict:
    """The verdict on a key of a further subset: a folder beside the first one is used as well."""
    folder = together(case)
    own = _last(case.subset_folders.get(one.key.rpartition(".")[0], ""))
    if folder and one.name == "image_dir":
        return _parent(folder)
    if folder and one.name == "num_repeats" and values.same(one.value, repeats_in(own)):
        return stays(say("kohya_in_name"))
    if folder and one.name == "class_tokens" and values.same(one.value, _words_in(own)):
        return stays()
    if values.same(one.value, first.value):
        return skip("as_first")
    return lack("one_folder" if one.name == "image_dir" else "only_first")


def _words_in(name: str) -> str:
    return re.sub(r"^\s*\d+_", "", name).strip()


def _last(folder: str) -> str:
    return re.split(r"[\\/]", folder.strip().rstrip("\\/"))[-1]


def repeats_in(name: str) -> int | None:
    """The repeats that a folder's name gives, None where it gives none."""
    found = re.match(r"\s*(\d+)(?:_|$)", name)
    return int(found[1]) if found else None


def _repeats(case: Case, name: str) -> Verdict:
    number, named = case.number("num_repeats"), repeats_in(name)
    if named is None or number is None:
        return direct("dataset.default_repeats", case.raw("num_repeats"))
    return stays(say("kohya_in_name")) if number == named else lack("name_counts", repeats=named)


def _class_words(case: Case, name: str) -> Verdict:
    words = case.words("class_tokens")
    return stays() if not words or words == _words_in(name) else lack("class_words")


def _regularisation(case: Case) -> dict[str, Verdict]:
    path = "dataset.regularisation_folder"
    reg = direct(path, case.raw("reg_image_dir"), why="no_regularisation")
    outer = path_verdict(case, "reg_data_dir", path)
    if outer.heading == "unsupported":
        outer = direct(path, case.raw("reg_data_dir"), why="no_regularisation")
    if case.gives("reg_image_dir") and case.gives("reg_data_dir"):
        outer = skip("decided_by", name="dataset_config")
    repeats = case.number("reg_num_repeats")
    named = repeats_in(_last(str(case.raw("reg_image_dir"))))
    same = repeats is None or repeats == (1 if named is None else named)
    return {"reg_data_dir": outer, "reg_image_dir": reg, "reg_num_repeats": stays() if same else lack("reg_repeats")}


def _masks(case: Case) -> dict[str, Verdict]:
    folder = direct("dataset.mask_folder", case.raw("conditioning_data_dir"), why="no_masks")
    if case.on("alpha_mask"):
        mask = direct("dataset.masked_loss", "alpha", why="no_masks")
    elif case.on("masked_loss") and case.gives("conditioning_data_dir"):
        mask = direct("dataset.masked_loss", "folder", why="no_masks")
    elif case.on("masked_loss"):
        mask = lack("masks_unnamed")
    else:
        mask = stays()
    return {
        "conditioning_data_dir": folder,
        "masked_loss": mask if case.on("masked_loss") else stays(),
        "alpha_mask": mask if case.on("alpha_mask") else stays(),
    }


# ---- sizes ----


def _resolution(case: Case) -> Verdict:
    raw = case.raw("max_resolution")
    if values.is_empty(raw):
        return stays(say("kohya_was_empty"))
    try:
        parts = raw if isinstance(raw, list) else re.split(r"[,x×;\s]+", values.text(raw).lower())
        sides = [values.whole(side) for side in parts]
    except Unusable as error:
        return Verdict("unsupported", why=say("kohya_unusable", reason=error))
    if len(sides) > 2 or min(sides) <= 0 or max(sides) > 100_000:
        return Verdict("unsupported", why=say("kohya_unusable", reason=say("kohya_not_possible")))
    if len(set(sides)) == 1:
        return direct("dataset.resolution", sides[0])
    return _with_buckets(case, sides[0] * sides[1]) if _has_buckets(case) else _cropped(sides[0] * sides[1])


def _has_buckets(case: Case) -> bool:
    return case.on("enable_bucket") if case.gives("enable_bucket") else case.source.kind == "gui"


def _with_buckets(case: Case, area: int) -> Verdict:
    """Of both sides only the number of pixels counts there: how many whole squares of the bucket step go into it."""
    verdict = direct("dataset.resolution", math.isqrt(area - 1) + 1)
    side, step = int(verdict.to["dataset.resolution"]), int(case.number("bucket_reso_steps") or _SQUARE_GRAIN_PX)
    same = step > 0 and side * side // step**2 == area // step**2
    why = "not_square" if same else "not_square_nearly"
    return take(verdict.to, say(f"kohya_{why}")) if same else lack(why, verdict.to, side=side)


def _cropped(area: int) -> Verdict:
    side = max(math.isqrt(area) // _SQUARE_GRAIN_PX, 1) * _SQUARE_GRAIN_PX
    verdict = direct("dataset.resolution", side)
    return lack("not_square_cropped", verdict.to, side=verdict.to["dataset.resolution"])


def _bucket_step(case: Case) -> Verdict:
    step = case.number("bucket_reso_steps")
    verdict = direct("dataset.bucket_step_px", case.raw("bucket_reso_steps"))
    if step is None or (step % _BUCKET_GRAIN_PX == 0 and step > 0):
        return verdict
    nearest = direct("dataset.bucket_step_px", max(round(step / _BUCKET_GRAIN_PX), 1) * _BUCKET_GRAIN_PX)
    return lack("bucket_step", nearest.to, step=nearest.to["dataset.bucket_step_px"])


def _ending(case: Case) -> Verdict:
    """Kohya reads files of one ending; .txt, with .caption in its place, is what is read here without being asked."""
    path, ending = "dataset.caption_extension", case.words("caption_extension")
    if not ending or ending.lower() == ".txt":
        return stays(say("kohya_endings"))
    return direct(path, ending if ending.startswith(".") else f".{ending}")


def is_file_name(text: str) -> bool:
    """Whether this is one line that ends like a file's name."""
    return "\n" not in text and pathlib.PurePath(text).suffix.lower() in (".txt", ".toml", ".json")
