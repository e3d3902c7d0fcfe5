"""From what was measured of driver, torch, card and bitsandbytes to a verdict on each. Nothing here measures.

Which builds there are, and for which cards: the tables of PyTorch's releases 2.11 to 2.14 (pytorch, RELEASE.md;
pytorch/pytorch#178665, #190385). A driver runs every CUDA of its own major version or an older one (NVIDIA, CUDA
Compatibility).
"""

import dataclasses
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.doctor.child import Outcome
from trainer.doctor.installed import install_torch, pip
from trainer.doctor.line import Line, line
from trainer.job.words import say

GIB = 2**30
NEWEST_BUILD, LEGACY_BUILD = "cu130", "cu126"
_FIRST_OF_NEWEST, _FIRST_OF_LEGACY, _LAST_OF_LEGACY = (7, 5), (5, 0), (9, 0)
_DRIVERS = {13: "580", 12: "525"}
"""The first driver for each major version of CUDA (CUDA Toolkit, release notes)."""
_ERROR = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 1e-1}
_SMALL_GIB = 4
_CROWDED = 0.25

Capability = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Machine:
    """All that was measured, and what kind of system this is."""

    smi: Outcome
    torch: Outcome
    eight_bit: Outcome
    system: str = sys.platform
    is_wsl: bool = "microsoft" in platform.release().lower()
    visible: str | None = None
    """What CUDA_VISIBLE_DEVICES says."""

    @property
    def capabilities(self) -> list[Capability]:
        """Of every NVIDIA card that torch or the driver names."""
        cards = [tuple(card["capability"]) for card in self.torch.facts.get("cards", [])]
        if cards and not self.torch.facts.get("hip"):
            return [(major, minor) for major, minor in cards]
        told = [text.partition(".") for text in self.smi.facts.get("capabilities", [])]
        return [(int(major), int(minor)) for major, _, minor in told if major.isdecimal() and minor.isdecimal()]

    @property
    def names(self) -> str:
        """The NVIDIA cards that the driver knows."""
        return ", ".join(self.smi.facts.get("names", []))

    @property
    def cuda_of_driver(self) -> Capability:
        """The highest version of CUDA that the driver supports; (0, 0) where that is not known."""
        return _version(str(self.smi.facts.get("cuda", "")))


def _version(text: str) -> Capability:
    major, _, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)


# ---- the driver ----


def driver(machine: Machine) -> Line | None:
    """The verdict on the NVIDIA driver; None where it has no business."""
    facts, ended = machine.smi.facts, machine.smi.ended
    if machine.system == "darwin":
        return None
    if ended == "late":
        return line("driver", "no", "driver_hangs")
    if ended != "well":
        return line("driver", "note", "driver_unknown", reason=machine.smi.words)
    if problem := facts.get("problem"):
        key = "driver_mismatch" if "mismatch" in problem[0] else "driver_broken"
        return line("driver", "no", key, reason=problem[0], how=_how_to_update(machine))
    if "driver" in facts:
        return line("driver", "yes", "driver", version=facts["driver"], cuda=facts.get("cuda") or "?")
    if "nvidia" in facts.get("vendors", []):
        return line("driver", "no", "driver_missing", how=_how_to_update(machine))
    return line("driver", "yes", "driver_none")


def _how_to_update(machine: Machine) -> str:
    return say(f"doctor_how_{'wsl' if machine.is_wsl else 'windows' if machine.system == 'win32' else 'linux'}")


# ---- torch ----


def torch(machine: Machine) -> Line:
    """The verdict on torch: whether it can be loaded, and whether its build is for this driver and this card."""
    facts = machine.torch.facts
    if "torch" not in facts:
        return _unloaded(machine)
    values = {"version": facts["torch"], "build": build(facts)}
    if facts.get("hip"):
        return line("torch", "yes" if facts.get("kind") == "cuda" else "no", _hip_key(facts), **values)
    if not facts.get("cuda"):
        return _processor_build(machine, values)
    if facts.get("kind") != "cuda":
        return _blind(machine, values)
    unsupported = [card for card in facts.get("cards", []) if not runs_on(card["capability"], facts.get("arch", []))]
    if unsupported:
        about = {**values, "card": unsupported[0]["name"], "capability": _dotted(unsupported[0]["capability"])}
        return _other_build(machine, "torch_other_card", about)
    return line("torch", "yes", "torch", **values)


def _hip_key(facts: Mapping[str, Any]) -> str:
    return "torch" if facts.get("kind") == "cuda" else "torch_hip_blind"


def build(facts: Mapping[str, Any]) -> str:
    """What a build of torch is for."""
    if facts.get("hip"):
        return f"ROCm {facts['hip']}"
    if facts.get("cuda"):
        return f"CUDA {facts['cuda']}"
    return "Metal" if facts.get("kind") == "mps" else "CPU"


def _unloaded(machine: Machine) -> Line:
    """Why torch could not be loaded."""
    outcome, again = machine.torch, install_torch(index_for(machine) or "cpu")
    if machine.system == "darwin":
        again = pip("install", "--force-reinstall", "torch")
    if outcome.ended == "late":
        return line("torch", "no", "torch_late")
    if outcome.words == "SIGILL" or "illegal" in outcome.words:
        return line("torch", "no", "torch_illegal")
    if outcome.ended == "crashed":
        return line("torch", "no", "torch_crashed", again, reason=outcome.words)
    if "No module named 'torch'" in outcome.words:
        return line("torch", "no", "torch_missing", again)
    if "WinError 1455" in outcome.words:
        return line("torch", "no", "torch_paging", reason=outcome.words)
    if "WinError 126" in outcome.words or "c10.dll" in outcome.words:
        return line("torch", "no", "torch_runtime", reason=outcome.words)
    return line("torch", "no", "torch_broken", again, reason=outcome.words or "?")


def _processor_build(machine: Machine, values: Mapping[str, Any]) -> Line:
    facts = machine.torch.facts
    if machine.names:
        return _other_build(machine, "torch_cpu_build", {**values, "card": machine.names})
    if machine.system == "darwin" and facts.get("kind") != "mps":
        return line("torch", "note", "torch_no_metal", **values)
    if "amd" in machine.smi.facts.get("vendors", []) and machine.system.startswith("linux"):
        return line("torch", "note", "torch_amd", **values)
    return line("torch", "yes", "torch", **values)


def _blind(machine: Machine, values: Mapping[str, Any]) -> Line:
    """A build for CUDA that sees no card."""
    needs, has = _version(machine.torch.facts["cuda"]), machine.cuda_of_driver
    if not machine.names:
        return line("torch", "yes", "torch_no_card", **values)
    if machine.visible is not None and machine.visible.strip() in ("", "-1"):
        return line("torch", "note", "torch_hidden", **values, visible=machine.visible)
    about = {**values, "card": machine.names, "driver": machine.smi.facts.get("driver", "?")}
    if has[0] and needs[0] > has[0]:
        about |= {
            "cuda": machine.smi.facts["cuda"],
            "first": _DRIVERS.get(needs[0], "?"),
            "how": _how_to_update(machine),
        }
        legacy = bool(machine.capabilities) and has[0] == 12 and _all_legacy(machine.capabilities)
        key = "torch_old_driver_legacy" if legacy else "torch_old_driver"
        return line("torch", "no", key, install_torch(LEGACY_BUILD) if legacy else "", **about)
    reason = machine.torch.facts.get("no_card") or machine.torch.words or "?"
    return line("torch", "no", "torch_blind", **about, reason=reason)


def _other_build(machine: Machine, key: str, values: Mapping[str, Any]) -> Line:
    """That another build of torch is needed, and which."""
    index = index_for(machine)
    if not index:
        return line("torch", "no", f"{key}_none", **values)
    newest = index == NEWEST_BUILD and 0 < machine.cuda_of_driver[0] < 13
    about = {**values, "first": _DRIVERS[13], "how": _how_to_update(machine)}
    return line("torch", "no", f"{key}_driver" if newest else key, install_torch(index), **about)


def index_for(machine: Machine) -> str:
    """Which of PyTorch's builds fits all NVIDIA cards and the driver; "" where none fits, or there is no card."""
    cards = machine.capabilities
    if not machine.names or any(card < _FIRST_OF_LEGACY for card in cards):
        return ""
    if any(card < _FIRST_OF_NEWEST for card in cards):
        return LEGACY_BUILD if _all_legacy(cards) else ""
    old_driver = 0 < machine.cuda_of_driver[0] < 13
    return LEGACY_BUILD if old_driver and cards and _all_legacy(cards) else NEWEST_BUILD


def _all_legacy(cards: Sequence[Capability]) -> bool:
    return all(_FIRST_OF_LEGACY <= card <= _LAST_OF_LEGACY for card in cards)


def runs_on(capability: Sequence[int], arch: Sequence[str]) -> bool:
    """Whether a build with the code `arch` (sm_80, compute_90, …) runs on a card of this compute capability.

    Machine code runs on cards of its major version from its minor version on, PTX code on every later card.
    """
    major, minor = capability
    for name in arch:
        kind, _, digits = name.partition("_")
        if not digits.isdecimal():  # sm_90a runs on nothing but that
            if digits.rstrip("af") == f"{major}{minor}":
                return True
            continue
        code = (int(digits[:-1]), int(digits[-1]))
        if (kind == "sm" and code[0] == major and code[1] <= minor) or (kind == "compute" and code <= (major, minor)):
            return True
    return not arch


def _dotted(capability: Sequence[int]) -> str:
    return ".".join(map(str, capability))


# ---- the card ----


def card(machine: Machine) -> Line:
    """The verdict on what training runs on, and on the room in its memory."""
    facts = machine.torch.facts
    if "kind" not in facts:
        return line("card", "note", "card_unknown")
    if facts["kind"] == "mps":
        return line("card", "yes", "card_apple")
    cards = facts.get("cards", [])
    if not cards:
        return line("card", "note", "card_none")
    said = "; ".join(_said(each) for each in cards)
    users = _users(machine)
    if any("problem" in each for each in cards):
        return line(
            "card", "no", "card_failing", cards=said, reason=next(c["problem"] for c in cards if "problem" in c)
        )
    if all(each["total"] < _SMALL_GIB * GIB for each in cards):
        return line("card", "note", "card_small", cards=said)
    if any(each["free"] < (1 - _CROWDED) * each["total"] for each in cards):
        return line("card", "note", "card_crowded" if users else "card_crowded_unknown", cards=said, users=users)
    return line("card", "yes", "card", cards=said)


def _said(card: Mapping[str, Any]) -> str:
    free = f"{card['free'] / GIB:.1f}" if "free" in card else "?"
    return f"{card['name']} ({_dotted(card['capability'])}), {free} / {card['total'] / GIB:.1f} GB"


def _users(machine: Machine) -> str:
    found: dict[str, int] = {}
    for name, used_mib in machine.smi.facts.get("users", []):
        found[name] = found.get(name, 0) + used_mib
    largest = sorted(found.items(), key=lambda each: -each[1])[:5]
    return ", ".join(f"{name} ({mib / 1024:.1f} GB)" if mib else name for name, mib in largest)


# ---- what it computes ----


def computation(machine: Machine) -> Line:
    """The verdict on a product and its gradients in each precision."""
    facts, outcome = machine.torch.facts, machine.torch
    if "kind" not in facts:
        return line("computation", "note", "computation_unknown")
    found = {name: facts[name] for name in _ERROR if name in facts}
    bad = [name for name, error in found.items() if not _right(name, error)]
    if outcome.ended != "well":
        after = ", ".join(name for name in found if name not in bad) or "–"
        key = "computation_late" if outcome.ended == "late" else "computation_crashed"
        return line("computation", "no", key, after=after, reason=outcome.words)
    if "fp32" in bad:
        return line("computation", "no", "computation_wrong", precision="fp32", reason=_shown(found["fp32"]))
    if bad:
        reason = _shown(found[bad[0]])
        return line("computation", "note", "computation_partly", precision=", ".join(bad), reason=reason)
    errors = ", ".join(f"{name} {error:.0e}" for name, error in found.items())
    return line("computation", "yes", "computation", errors=errors)


def _right(precision: str, error: float | str) -> bool:
    # NaN is below no limit.
    return not isinstance(error, str) and error <= _ERROR[precision]


def _shown(error: float | str) -> str:
    return error if isinstance(error, str) else f"{error:.2g}"


def bitsandbytes(machine: Machine) -> Line:
    """The verdict on 8-bit optimizers; nothing about them is wrong as long as others can be chosen."""
    facts, outcome = machine.eight_bit.facts, machine.eight_bit
    if machine.system == "darwin":
        return line("bitsandbytes", "yes", "bnb_apple")
    if "No module named 'bitsandbytes'" in outcome.words:
        return line("bitsandbytes", "note", "bnb_missing", pip("install", "bitsandbytes"))
    if "torch" not in machine.torch.facts:
        return line("bitsandbytes", "note", "bnb_unknown")
    if outcome.ended == "late":
        return line("bitsandbytes", "note", "bnb_late")
    if outcome.ended != "well" or not facts.get("finite"):
        reason = facts.get("problem") or outcome.words or "no numbers"
        again = pip("install", "--force-reinstall", "--no-deps", "bitsandbytes")
        return line("bitsandbytes", "note", "bnb_broken", again, reason=reason)
    return line("bitsandbytes", "yes", "bnb", version=facts["version"], device=facts["kind"])
