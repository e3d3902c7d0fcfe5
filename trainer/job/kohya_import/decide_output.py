"""Decisions about what comes out: the files, and the pictures made while it learns."""

import dataclasses
import re
import types
from collections.abc import Mapping

from trainer.job import fields
from trainer.job.kohya_import.decide_data import is_file_name, path_verdict
from trainer.job.kohya_import.rows import PURPOSE, Case, Verdict, choice, direct, lack, skip, stays, take
from trainer.job.prompts import read_prompt
from trainer.job.words import say

SAMPLERS: Mapping[str, tuple[str, bool]] = types.MappingProxyType(
    {
        # what it is here, and whether that is the same
        "k_euler": ("euler", True),
        "k_euler_a": ("euler_a", True),
        "dpmsolver++": ("dpmpp_2m", True),
        "dpmsolver": ("dpmpp_2m", False),
        "dpmsingle": ("dpmpp_2m", False),
        "dpm_2": ("dpmpp_2m", False),
        "k_dpm_2": ("dpmpp_2m", False),
        "dpm_2_a": ("euler_a", False),
        "k_dpm_2_a": ("euler_a", False),
    }
)
PRECISIONS = types.MappingProxyType({"float": "fp32", "float32": "fp32", "no": "fp32"})
_OPTIONS = re.compile(r"\s--(?=\w+(?:\s|$))")
_LONGEST_NAME_BYTES = 200
SAID = ("title", "author", "description", "license", "tags", "usage_hint")


def output(case: Case) -> Mapping[str, Verdict]:
    """The folder, the name and the precision of the files, and what they say of themselves."""
    precision = case.words("save_precision").lower()
    return {
        "output_dir": path_verdict(case, "output_dir", "output.folder"),
        "output_name": _file_name(case),
        **{f"metadata_{name}": _said(case, f"metadata_{name}", f"output.{name}") for name in SAID},
        "training_comment": _comment(case),
        "save_precision": direct("output.save_precision", PRECISIONS.get(precision, case.raw("save_precision"))),
    }


def _said(case: Case, name: str, path: str) -> Verdict:
    """A text of the file's metadata, cut to the length that it may have."""
    text = case.words(name)
    if not text:
        return stays(say("kohya_was_empty"))
    longest = fields.specs()[path].longest
    return take({path: text}) if len(text) <= longest else lack("cut_text", {path: text[:longest]}, limit=longest)


def _comment(case: Case) -> Verdict:
    """A comment says what a preset is for; in the file it is the description, where there is no other."""
    text = case.words("training_comment")
    if not text:
        return stays(say("kohya_was_empty"))
    if case.gives("metadata_description"):
        return take({PURPOSE: text})
    said = _said(case, "training_comment", "output.description")
    return dataclasses.replace(said, to={PURPOSE: text, **said.to})


def _file_name(case: Case) -> Verdict:
    verdict = direct("output.name", case.raw("output_name"))
    name = str(verdict.to.get("output.name", ""))
    plain = re.sub(r'[/\\:*?"<>|\x00-\x1f]+', "-", name).strip(". ")
    plain = plain.encode()[:_LONGEST_NAME_BYTES].decode(errors="ignore").strip(". ")
    if verdict.heading != "taken" or plain == name:
        return verdict
    return lack("file_name", {"output.name": plain} if plain else {})


def samples(case: Case) -> Mapping[str, Verdict]:
    """Which pictures are made, how often, and how."""
    epochs, steps = case.number("sample_every_n_epochs"), case.number("sample_every_n_steps")
    found = {
        "sample_prompts": _prompts(case),
        "sample_sampler": _sampler(case),
        "sample_every_n_epochs": direct("samples.every_epochs", case.raw("sample_every_n_epochs")),
        "sample_every_n_steps": direct("samples.every_steps", case.raw("sample_every_n_steps")),
    }
    if steps and epochs:
        found["sample_every_n_steps"] = skip("decided_by", name="sample_every_n_epochs")
    elif steps:
        verdict = direct("samples.every_steps", case.raw("sample_every_n_steps"))
        found["sample_every_n_steps"] = Verdict(verdict.heading, {**verdict.to, "samples.every_epochs": 0}, verdict.why)
        if epochs == 0:
            found["sample_every_n_epochs"] = skip("decided_by", name="sample_every_n_steps")
    return found


def _sampler(case: Case) -> Verdict:
    name = case.words("sample_sampler").lower()
    if not name:
        return stays(say("kohya_was_empty"))
    same = choice("samples.sampler", name)
    nearest, exact = SAMPLERS.get(name, ("euler", False))
    to = {"samples.sampler": same or nearest}
    return take(to) if same or exact else lack("sampler", to, sampler=nearest)


def _prompts(case: Case) -> Verdict:
    text = case.words("sample_prompts")
    if not text:
        return stays(say("kohya_was_empty"))
    if is_file_name(text):
        return lack("prompt_file")
    lines, left_out = [], []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            prompt, unread = usable(line)
            lines += [prompt] if prompt else []
            left_out += unread
    to = {"samples.prompts": lines} if lines else {}
    if left_out:
        return lack("prompt_options", to, options=", ".join(dict.fromkeys(left_out)))
    return take(to) if lines else stays(say("kohya_was_empty"))


def usable(line: str) -> tuple[str, list[str]]:
    """A prompt's line with only what can be used here ("" when that is nothing), and the options left out of it."""
    text, *options = _OPTIONS.split(" " + line.strip())
    kept, left_out = text.strip(), []
    for option in options:
        letter = option.strip().partition(" ")[0]
        longer = f"{kept or 'x'} --{option.strip()}"
        if _is_read(longer, letter):
            kept = longer if kept else ""
        else:
            left_out.append(f"--{letter}")
    return kept, left_out


def _is_read(line: str, letter: str) -> bool:
    try:
        return letter in ("n", "w", "h", "d", "l", "s") and bool(read_prompt(line))
    except ValueError:
        return False
