"""From what was measured of memory, disks, network and other processes to a verdict on each. Nothing here measures."""

import errno
import os
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.doctor.child import Outcome
from trainer.doctor.installed import pip
from trainer.doctor.line import Line, line, shown
from trainer.run.room import shown as size_shown

GIB = 2**30
MIB = 2**20
_FULL = 200 * MIB
_ROOM = {"home": 0, "outputs": 5 * GIB, "cache": 15 * GIB, "temp": 1 * GIB}
"""With less than this it is worth knowing how much is left: an epoch's files, a model of the hub, a download."""
_SLOW_S = 2.0
_LOW_MEMORY, _LOW_FREE, _LOW_PAGING = 7.5 * GIB, 2 * GIB, 16 * GIB
_DAY_S = 86_400
_FAR_S = 600


def unmeasured(name: str, outcome: Outcome) -> Line:
    """That a probe has ended before it had told enough."""
    key = {"late": "late", "crashed": "crashed"}.get(outcome.ended, "failed")
    return line(name, "note", f"unmeasured_{key}", reason=outcome.words or "?")


def memory(outcome: Outcome, system: str) -> Line:
    """The verdict on main memory and the page file or swap space."""
    facts = outcome.facts
    if "total" not in facts:
        return unmeasured("memory", outcome)
    values = {name: f"{facts[name] / GIB:.1f}" for name in ("total", "free", "swap")}
    if system == "win32" and facts["total"] + facts["swap"] < _LOW_PAGING + _LOW_MEMORY and facts["swap"] < _LOW_PAGING:
        return line("memory", "note", "memory_paging", **values)
    if facts["total"] < _LOW_MEMORY:
        return line("memory", "note", "memory_small", **values)
    if facts["free"] < _LOW_FREE:
        return line("memory", "note", "memory_used", **values)
    return line("memory", "yes", "memory", **values)


def disk(name: str, outcome: Outcome) -> Line:
    """The verdict on the folder `name`: home, outputs, cache or temp."""
    facts = outcome.facts
    if outcome.ended == "late":
        return line(name, "no", "disk_hangs", path=facts.get("path", "?"))
    if "path" not in facts or (outcome.ended != "well" and "free" not in facts):
        return unmeasured(name, outcome)
    values = {"path": facts["path"], "free": size_shown(facts.get("free", 0)), "reason": facts.get("problem", "")}
    trouble = _trouble(facts)
    if trouble:
        return line(name, "no", trouble, _command(trouble, facts), **values)
    if not facts.get("locks"):
        return line(name, "note" if name in ("cache", "temp") else "no", "disk_no_locks", **values)
    if facts["free"] < _ROOM[name]:
        return line(name, "note", f"disk_low_{name}", **values)
    if facts.get("wrote_s", 0) > _SLOW_S:
        return line(name, "note", "disk_slow", **values, seconds=f"{facts['wrote_s']:.0f}")
    return line(name, "yes", "disk" if facts["exists"] else "disk_later", **values)


def _trouble(facts: Mapping[str, Any]) -> str:
    """What is wrong with a folder, as a key of words."""
    number = facts.get("number")
    if not facts.get("is_folder", True):
        return "disk_no_folder"
    if number == errno.ENOSPC or number == errno.EDQUOT or facts.get("free", _FULL) < _FULL:
        return "disk_full"
    if number in (errno.EACCES, errno.EPERM):
        return "disk_forbidden"
    if number == errno.EROFS:
        return "disk_read_only"
    if "problem" in facts:
        return "disk_failing"
    return "" if facts.get("whole", True) else "disk_lies"


def _command(trouble: str, facts: Mapping[str, Any]) -> str:
    if trouble != "disk_forbidden" or os.name == "nt":
        return ""
    return f'sudo chown -R "$(id -u):$(id -g)" {shown(facts["path"])}' if facts.get("exists") else ""


def traces(outcome: Outcome, system: str) -> list[Line]:
    """The verdicts on other open programs of this home, and on what a kill has left."""
    facts = outcome.facts
    if "open" not in facts or "unfinished" not in facts:
        return [unmeasured("open", outcome), unmeasured("leftovers", outcome)]
    at = ", ".join(str(port) for port in facts["open"])
    count = len(facts["open"])
    key = "open_several" if count > 1 else "open_one" if count else "open_none"
    found = line("open", "note" if count > 1 else "yes", key, ports=at)
    if not facts["unfinished"]:
        return [found, line("leftovers", "yes", "leftovers_none")]
    values = {"count": facts["unfinished"], "size": size_shown(facts["size"]), "folders": ", ".join(facts["folders"])}
    return [found, line("leftovers", "note", "leftovers", _removal(facts["folders"], system), **values)]


def _removal(folders: Sequence[str], system: str) -> str:
    if system == "win32":
        named = ",".join(shown(folder) for folder in folders)
        old = "Where-Object LastWriteTime -lt (Get-Date).AddMinutes(-10)"
        return f"Get-ChildItem {named} -Recurse -Depth 2 -Force -Filter .*.new | {old} | Remove-Item -Force"
    return f"find {' '.join(shown(folder) for folder in folders)} -maxdepth 3 -name '.*.new' -mmin +10 -delete"


def clock(now_s: float, made_s: float, latest_s: float, ahead_s: float | None) -> Line:
    """The verdict on the clock, against when the program was installed, when a run was last written, and the hub's.

    The first three in seconds since 1970; the last is how far this clock is ahead of the hub's, where that was asked.
    """
    if now_s < made_s - _DAY_S:
        return line("clock", "no", "clock_behind", days=f"{(made_s - now_s) / _DAY_S:.0f}")
    if ahead_s is not None and abs(ahead_s) > _FAR_S:
        return line("clock", "no" if abs(ahead_s) > _DAY_S else "note", "clock_off", minutes=f"{abs(ahead_s) / 60:.0f}")
    if latest_s > now_s + _FAR_S:
        return line("clock", "note", "clock_jumped")
    return line("clock", "yes", "clock")


def hub(outcome: Outcome | None, offline: str) -> Line:
    """The verdict on the Hugging Face hub; `outcome` is None where it was not to be asked, `offline` HF_HUB_OFFLINE."""
    if offline.upper() in ("1", "ON", "YES", "TRUE"):
        return line("hub", "note", "hub_offline_set")
    if outcome is None:
        return line("hub", "yes", "hub_unasked")
    facts = outcome.facts
    if outcome.ended != "well" and "status" not in facts and "problem" not in facts:
        return line("hub", "note", "hub_late") if outcome.ended == "late" else unmeasured("hub", outcome)
    address = _without_secret(facts["address"])
    if "problem" in facts:
        keys = {"name": "hub_name", "certificate": "hub_certificate", "time": "hub_late"}
        return line("hub", "note", keys.get(facts["problem"], "hub_refused"), address=address, reason=facts["words"])
    if facts["status"] == 407 or facts["status"] >= 500:
        return line("hub", "note", "hub_refused", address=address, reason=facts["status"])
    return line("hub", "yes", "hub", address=address)


def _without_secret(address: str) -> str:
    """An address without a user and a password in it."""
    before, at, host = address.rpartition("@")
    return f"{before.partition('://')[0]}://{host}" if at else address


def proxy(proxies: Mapping[str, str], spares_local: bool) -> Line:
    """The verdict on proxy variables; `spares_local` says whether this machine itself is excepted."""
    used = {name: address for name, address in proxies.items() if name in ("http", "https", "all", "socks")}
    if any(address.startswith("socks") for address in used.values()):
        return line("proxy", "note", "proxy_socks", pip("install", "httpx[socks]"))
    if used and not spares_local:
        command = (
            "setx NO_PROXY localhost,127.0.0.1,::1" if os.name == "nt" else "export NO_PROXY=localhost,127.0.0.1,::1"
        )
        return line("proxy", "note", "proxy_local", command, names=", ".join(f"{name}_proxy" for name in sorted(used)))
    return line(
        "proxy", "yes", "proxy" if used else "proxy_none", names=", ".join(f"{name}_proxy" for name in sorted(used))
    )
