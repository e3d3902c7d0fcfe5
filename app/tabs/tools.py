"""The Tools tab: what can be done with LoRA files that exist already."""

from collections.abc import Mapping
from typing import Any

from app import tool_form
from app.forms import Form
from app.islands import island
from app.tooling import Bench

TITLE = "tabs.tools"


def build(form: Form) -> None:
    """Lays out the tab; its tools end when the program that serves the page ends."""
    bench = Bench()
    form.at_end(bench.close)

    def begin(asked: Any) -> dict[str, str]:
        return bench.begin(_tool(asked), _values(asked))

    def state(asked: Any) -> dict[str, Any]:
        return bench.state(_tool(asked), str(asked.get("known")))

    def cancel(asked: Any) -> None:
        bench.cancel(_tool(asked))

    def propose(asked: Any) -> str:
        return tool_form.proposal(_tool(asked), _values(asked))

    def run_files(asked: Any) -> list[dict[str, Any]]:
        return tool_form.run_files()

    def picture(asked: Any) -> str:
        return bench.picture()

    island("tools", None, [begin, state, cancel, propose, run_files, picture])


def _tool(asked: Any) -> str:
    tool = asked.get("tool") if isinstance(asked, dict) else ""
    return tool if isinstance(tool, str) else ""


def _values(asked: Any) -> Mapping[str, Any]:
    values = asked.get("values") if isinstance(asked, dict) else {}
    return values if isinstance(values, dict) else {}
