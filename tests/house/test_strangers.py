"""What comes from elsewhere is never run: no code of a model's, no pickle that acts, no text as a program."""

import ast
from collections.abc import Iterator

from tests.house.tree import ROOT, parsed, sources

NEVER = frozenset(
    {"eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "yaml.load", "marshal.loads"}
)


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call in the program, with where it stands."""
    for path in sources("trainer", "app"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def given(call: ast.Call, name: str) -> str:
    """The argument `name` of a call as it is written, "" where it is not given."""
    return next((ast.unparse(word.value) for word in call.keywords if word.arg == name), "")


def test_no_model_brings_code_of_its_own() -> None:
    assert not [place for place, call in calls() if given(call, "trust_remote_code") not in ("", "False")]
    words = [path for path in sources("trainer", "app") if "custom_pipeline" in path.read_text(encoding="utf-8")]
    assert not words


def test_tensors_are_read_as_tensors_alone() -> None:
    loads = [(place, call) for place, call in calls() if ast.unparse(call.func) == "torch.load"]
    assert len(loads) > 2
    assert not [place for place, call in loads if given(call, "weights_only") != "True"]


def test_no_text_becomes_a_program() -> None:
    assert not [place for place, call in calls() if ast.unparse(call.func) in NEVER]
    assert not [place for place, call in calls() if given(call, "shell") not in ("", "False")]
