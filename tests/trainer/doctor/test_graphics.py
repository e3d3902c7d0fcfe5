"""What is said of driver, PyTorch, card and 8-bit optimizers on machines of every kind, from their facts alone."""

from typing import Any

import pytest

from trainer.doctor import graphics
from trainer.doctor.child import Outcome
from trainer.doctor.graphics import GIB, Machine
from trainer.doctor.line import Line

CU130 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
CU126 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]
CU124 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]
RIGHT = {"fp32": 1e-6, "fp16": 1e-3, "bf16": 1e-2}
WELL = Outcome({"version": "0.50.2", "kind": "cuda", "finite": True})


def smi(name: str = "", capability: str = "", cuda: str = "13.0", driver: str = "580.65", **more: Any) -> Outcome:
    """What the driver says of one card; without a name there is neither."""
    if not name:
        return Outcome({"vendors": []})
    facts = {"vendors": ["nvidia"], "driver": driver, "cuda": cuda, "names": [name], "capabilities": [capability]}
    return Outcome({**facts, "users": [], **more})


def card(name: str, capability: tuple[int, int], total_gib: float = 24, free_gib: float = 23) -> dict[str, Any]:
    return {"name": name, "capability": list(capability), "total": int(total_gib * GIB), "free": int(free_gib * GIB)}


def on_cuda(cuda: str, arch: list[str], *cards: dict[str, Any], **more: Any) -> Outcome:
    facts = {"torch": f"2.13.0+cu{cuda.replace('.', '')}", "cuda": cuda, "hip": None, "kind": "cuda", "arch": arch}
    return Outcome({**facts, "cards": list(cards), **RIGHT, **more})


def blind(cuda: str, why: str) -> Outcome:
    return Outcome({"torch": "2.13.0", "cuda": cuda, "hip": None, "kind": "cpu", "no_card": why, **RIGHT})


CPU_BUILD = Outcome({"torch": "2.13.0+cpu", "cuda": None, "hip": None, "kind": "cpu", **RIGHT})
METAL = Outcome({"torch": "2.13.0", "cuda": None, "hip": None, "kind": "mps", **RIGHT})
NO_METAL = Outcome({"torch": "2.13.0", "cuda": None, "hip": None, "kind": "cpu", **RIGHT})
ROCM = Outcome(
    {"torch": "2.13.0+rocm7.2", "cuda": None, "hip": "7.2", "kind": "cuda", "arch": [], **RIGHT}
    | {"cards": [card("AMD Radeon RX 7900 XTX", (11, 0))]}
)


def machine(driver: Outcome, torch: Outcome, eight_bit: Outcome = WELL, system: str = "linux", **more: Any) -> Machine:
    return Machine(driver, torch, eight_bit, system, **{"is_wsl": False, **more})


RTX_5090, RTX_4090, GTX_1080 = "NVIDIA GeForce RTX 5090", "NVIDIA GeForce RTX 4090", "NVIDIA GeForce GTX 1080"
OLD_DRIVER = "The NVIDIA driver on your system is too old (found version 12040)."


def check(line: Line | None, said: tuple[str, str, str, str]) -> None:
    """Whether a line has this verdict and these words in its text, its advice and its command."""
    assert line is not None
    ok, text, advice, command = said
    assert line.ok == ok, line
    for part, whole in ((text, line.text), (advice, line.advice), (command, line.command)):
        assert part in whole
    assert bool(advice) == bool(line.advice)
    assert bool(command) == bool(line.command)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            machine(smi(RTX_4090, "8.9"), on_cuda("13.0", CU130, card(RTX_4090, (8, 9)))),
            ("yes", "built for CUDA 13.0", "", ""),
        ),
        (
            machine(smi(RTX_5090, "12.0"), on_cuda("12.4", CU124, card(RTX_5090, (12, 0)))),
            ("no", "has no code for NVIDIA GeForce RTX 5090 (compute capability 12.0)", "Install", "/whl/cu130"),
        ),
        (
            machine(smi(RTX_5090, "12.0", "12.8", "572.16"), on_cuda("12.4", CU124, card(RTX_5090, (12, 0)))),
            ("no", "has no code for NVIDIA GeForce RTX 5090", "First update the driver to 580", "/whl/cu130"),
        ),
        (
            machine(smi(GTX_1080, "6.1"), on_cuda("13.0", CU130, card(GTX_1080, (6, 1)))),
            ("no", "has no code for NVIDIA GeForce GTX 1080", "Install", "/whl/cu126"),
        ),
        (
            machine(smi("NVIDIA GeForce GTX 780", "3.5", "11.4"), CPU_BUILD),
            ("no", "there is no build any more", "processor", ""),
        ),
        (
            machine(smi(RTX_5090, "12.0"), on_cuda("12.6", CU126, card(RTX_5090, (12, 0)), card(GTX_1080, (6, 1)))),
            ("no", "no other build fits all cards", "CUDA_VISIBLE_DEVICES", ""),
        ),
        (
            machine(smi(RTX_4090, "8.9", "12.4", "550.54"), blind("13.0", OLD_DRIVER)),
            ("no", "driver 550.54 supports CUDA only up to 12.4", "Update the driver to 580", "/whl/cu126"),
        ),
        (
            machine(smi(RTX_5090, "12.0", "12.8", "572.16"), blind("13.0", OLD_DRIVER)),
            ("no", "driver 572.16 supports CUDA only up to 12.8", "Update the driver to 580", ""),
        ),
        (
            machine(smi(RTX_4090, "8.9", "12.4", "552.12"), blind("13.0", OLD_DRIVER), system="win32"),
            ("no", "only up to 12.4", "https://www.nvidia.com/drivers", "/whl/cu126"),
        ),
        (
            machine(smi(RTX_4090, "8.9", "12.4", "552.12"), blind("13.0", OLD_DRIVER), is_wsl=True),
            ("no", "only up to 12.4", "on Windows itself", "/whl/cu126"),
        ),
        (
            machine(smi(RTX_4090, "8.9"), CPU_BUILD),
            ("no", "for the processor alone and leaves NVIDIA GeForce RTX 4090 unused", "Install", "/whl/cu130"),
        ),
        (
            machine(smi(RTX_5090, "12.0", "12.8"), CPU_BUILD),
            ("no", "leaves NVIDIA GeForce RTX 5090 unused", "First update the driver", "/whl/cu130"),
        ),
        (
            machine(smi(RTX_4090, "8.9", "12.4"), CPU_BUILD),
            ("no", "leaves NVIDIA GeForce RTX 4090 unused", "Install", "/whl/cu126"),
        ),
        (
            machine(smi(RTX_4090, "8.9"), blind("13.0", "No CUDA GPUs are available"), visible=""),
            ("note", "hides every card", "take the variable away", ""),
        ),
        (
            machine(smi(RTX_4090, "8.9"), blind("13.0", "CUDA unknown error")),
            ("no", "CUDA unknown error", "Restart", ""),
        ),
        (machine(smi(), blind("13.0", "Found no NVIDIA driver")), ("yes", "uses the processor", "", "")),
        (machine(smi(), CPU_BUILD), ("yes", "built for CPU", "", "")),
        (machine(Outcome({"vendors": ["amd"]}), CPU_BUILD), ("note", "AMD card unused", "ROCm", "")),
        (machine(Outcome({"vendors": ["amd"]}), ROCM), ("yes", "built for ROCm 7.2", "", "")),
        (machine(smi(), METAL, system="darwin"), ("yes", "built for Metal", "", "")),
        (machine(smi(), NO_METAL, system="darwin"), ("note", "(Metal)", "macOS 14", "")),
        (
            machine(smi(), Outcome({}, "failed", "ModuleNotFoundError: No module named 'torch'")),
            ("no", "not installed", "Install it", "/whl/cpu"),
        ),
        (
            machine(smi(RTX_4090, "8.9"), Outcome({}, "failed", "ModuleNotFoundError: No module named 'torch'")),
            ("no", "not installed", "Install it", "/whl/cu130"),
        ),
        (
            machine(smi(), Outcome({}, "failed", "ImportError: libcudart.so.13: cannot open shared object file")),
            ("no", "libcudart.so.13", "Install it anew", "--force-reinstall"),
        ),
        (
            machine(smi(), Outcome({}, "failed", "OSError: [WinError 1455] The paging file is too small")),
            ("no", "page file", "Virtual memory", ""),
        ),
        (
            machine(smi(), Outcome({}, "failed", "OSError: [WinError 126] Error loading c10.dll"), system="win32"),
            ("no", "library of Windows", "vc_redist", ""),
        ),
        (machine(smi(), Outcome({}, "crashed", "SIGSEGV")), ("no", "SIGSEGV", "install it anew", "--force-reinstall")),
        (machine(smi(), Outcome({}, "crashed", "SIGILL")), ("no", "illegal instruction", "AVX2", "")),
        (machine(smi(), Outcome({}, "late")), ("no", "90 s", "virus scanner", "")),
    ],
)
def test_torch_is_judged_by_driver_card_and_build(found: Machine, said: tuple[str, str, str, str]) -> None:
    check(graphics.torch(found), said)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (machine(smi(RTX_4090, "8.9"), CPU_BUILD), ("yes", "NVIDIA 580.65, for CUDA up to 13.0", "", "")),
        (machine(smi(), CPU_BUILD), ("yes", "No NVIDIA driver", "", "")),
        (machine(Outcome({"vendors": ["nvidia"]}), CPU_BUILD), ("no", "no driver for it", "Install", "")),
        (
            machine(Outcome({"vendors": [], "problem": ["Failed: Driver/library version mismatch"]}), CPU_BUILD),
            ("no", "mismatch", "Restart", ""),
        ),
        (
            machine(Outcome({"vendors": [], "problem": ["couldn't communicate with the NVIDIA driver"]}), CPU_BUILD),
            ("no", "communicate", "install the driver anew", ""),
        ),
        (machine(Outcome({"vendors": []}, "late"), CPU_BUILD), ("no", "does not answer", "Restart", "")),
        (machine(Outcome({}, "failed", "ParseError: syntax"), CPU_BUILD), ("note", "ParseError", "PyTorch", "")),
    ],
)
def test_the_driver(found: Machine, said: tuple[str, str, str, str]) -> None:
    check(graphics.driver(found), said)


def test_a_mac_has_no_line_on_an_nvidia_driver() -> None:
    assert graphics.driver(machine(smi(), METAL, system="darwin")) is None


USERS = [["chrome.exe", 512], ["python.exe", 9216], ["python.exe", 1024], ["dwm.exe", 0]]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            machine(smi(RTX_4090, "8.9"), on_cuda("13.0", CU130, card(RTX_4090, (8, 9)))),
            ("yes", "RTX 4090 (8.9), 23.0 / 24.0 GB free", "", ""),
        ),
        (
            machine(smi(RTX_4090, "8.9", users=USERS), on_cuda("13.0", CU130, card(RTX_4090, (8, 9), 24, 12))),
            ("note", "python.exe (10.0 GB), chrome.exe (0.5 GB), dwm.exe", "Close", ""),
        ),
        (
            machine(smi(RTX_4090, "8.9"), on_cuda("13.0", CU130, card(RTX_4090, (8, 9), 24, 12))),
            ("note", "Other programs", "Close", ""),
        ),
        (
            machine(smi("GTX 1050", "6.1"), on_cuda("12.6", CU126, card("GTX 1050", (6, 1), 2, 1.9))),
            ("note", "little", "batch size 1", ""),
        ),
        (
            machine(
                smi(RTX_4090, "8.9"),
                on_cuda("13.0", CU130, {"name": RTX_4090, "capability": [8, 9], "total": GIB * 24, "problem": "busy"}),
            ),
            ("no", "busy", "restart", ""),
        ),
        (machine(smi(), CPU_BUILD), ("note", "processor", "starter", "")),
        (machine(smi(), METAL, system="darwin"), ("yes", "Apple", "", "")),
        (machine(smi(), Outcome({}, "crashed", "SIGSEGV")), ("note", "Not known", "PyTorch", "")),
    ],
)
def test_the_card_and_who_uses_its_memory(found: Machine, said: tuple[str, str, str, str]) -> None:
    check(graphics.card(found), said)


NO_KERNEL = "CUDA error: no kernel image is available for execution on the device"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (CPU_BUILD, ("yes", "fp32 1e-06", "", "")),
        (Outcome({**CPU_BUILD.facts, "fp32": 0.5}), ("no", "fp32", "No training", "")),
        (Outcome({**CPU_BUILD.facts, "fp32": float("nan")}), ("no", "nan", "No training", "")),
        (Outcome({**CPU_BUILD.facts, "fp32": NO_KERNEL}), ("no", "no kernel image", "No training", "")),
        (Outcome({**CPU_BUILD.facts, "bf16": "not implemented"}), ("note", "not in bf16", "another precision", "")),
        (
            Outcome({"torch": "2.13.0", "kind": "cuda", "fp32": 1e-6}, "crashed", "SIGSEGV"),
            ("no", "SIGSEGV); right before that: fp32", "Update the driver", ""),
        ),
        (Outcome({"torch": "2.13.0", "kind": "cuda"}, "late"), ("no", "in time", "Restart", "")),
        (Outcome({}, "failed", "ModuleNotFoundError: No module named 'torch'"), ("note", "Not tried", "PyTorch", "")),
    ],
)
def test_the_computation(found: Outcome, said: tuple[str, str, str, str]) -> None:
    check(graphics.computation(machine(smi(), found)), said)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (WELL, ("yes", "0.50.2 takes steps on the device (cuda)", "", "")),
        (
            Outcome({}, "failed", "ModuleNotFoundError: No module named 'bitsandbytes'"),
            ("note", "not installed", "AdamW in place of AdamW8bit", "pip install bitsandbytes"),
        ),
        (Outcome({}, "failed", "OSError: libbitsandbytes"), ("note", "libbitsandbytes", "AdamW", "--no-deps")),
        (Outcome({}, "crashed", "SIGSEGV"), ("note", "SIGSEGV", "AdamW", "--no-deps")),
        (Outcome({}, "late"), ("note", "90 s", "AdamW", "")),
        (
            Outcome({"version": "0.50.2", "kind": "cuda", "problem": "no kernel image"}),
            ("note", "no kernel image", "AdamW", "--no-deps"),
        ),
        (Outcome({"version": "1", "kind": "cuda", "finite": False}), ("note", "no numbers", "AdamW", "--no-deps")),
    ],
)
def test_eight_bit_optimizers_that_fail_can_be_replaced(found: Outcome, said: tuple[str, str, str, str]) -> None:
    check(graphics.bitsandbytes(machine(smi(), CPU_BUILD, found)), said)


def test_bitsandbytes_is_not_expected_on_a_mac() -> None:
    missing = Outcome({}, "failed", "ModuleNotFoundError: No module named 'bitsandbytes'")
    check(graphics.bitsandbytes(machine(smi(), METAL, missing, system="darwin")), ("yes", "not for Macs", "", ""))


@pytest.mark.parametrize(
    ("capability", "arch", "runs"),
    [
        ((8, 9), ["sm_80", "sm_86"], True),  # Ada runs Ampere's code
        ((8, 0), ["sm_86"], False),
        ((12, 0), ["sm_90"], False),
        ((12, 0), ["sm_90", "compute_90"], True),
        ((9, 0), ["sm_90a"], True),
        ((9, 1), ["sm_90a"], False),
        ((12, 1), ["sm_120"], True),
        ((10, 0), ["sm_120"], False),
    ],
)
def test_code_runs_on_cards_of_its_major_version(capability: tuple[int, int], arch: list[str], runs: bool) -> None:
    assert graphics.runs_on(capability, arch) is runs
