"""What must not change under one's hands, and what must not be asked: jobs, modules, and a family's name."""

import ast
import pathlib
import re
from collections.abc import Iterator

import pydantic

from tests.house.tree import ROOT, parsed, sources
from trainer.job.facts import FAMILIES
from trainer.job.settings import Job

MUTABLE_CALLS = frozenset(
    {"bytearray", "collections.Counter", "collections.OrderedDict", "collections.defaultdict", "collections.deque"}
    | {"Counter", "OrderedDict", "defaultdict", "deque", "dict", "list", "set"}
)
MUTATORS = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse"}
    | {"setdefault", "sort", "update"}
)
# Where a family's name is looked up: its row, its settings, and files of older versions.
MAY_NAME_A_FAMILY = ("trainer/job/facts.py", "trainer/job/presets.py")
# Families to come count too: nobody needs to be the first to ask for one by name.
FAMILY_NAMES = frozenset(FAMILIES) | {"sd15", "sd2", "sdxl", "sd3", "flux", "causal_lm"}


def at(path: pathlib.Path, node: ast.AST, text: str) -> str:
    """One line of a failure."""
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)} {text}"


def models_of(model: type[pydantic.BaseModel]) -> Iterator[type[pydantic.BaseModel]]:
    """The model and every model that its fields hold."""
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, pydantic.BaseModel):
            yield from models_of(field.annotation)


def test_a_job_is_frozen_and_refuses_unknown_names() -> None:
    configs = {model.__name__: model.model_config for model in models_of(Job)}
    assert len(configs) > 5
    assert not [name for name, config in configs.items() if not config.get("frozen") or config.get("extra") != "forbid"]


def test_no_module_holds_anything_that_changes() -> None:
    wrong = [line for path in sources("trainer", "app") for line in changing(path)]
    assert not wrong, "\n".join(wrong)


def changing(path: pathlib.Path) -> list[str]:
    """Every module-level list, dict or set that is no CONSTANT, every constant that is changed, every `global`."""
    tree = parsed(path)
    holders = {name: node for node in tree.body for name in _mutable_names(node)}
    loose = {name: node for name, node in holders.items() if not name.isupper() and name != "__all__"}
    wrong = [at(path, n, f"{name} can change: tuple, frozenset, MappingProxyType cannot") for name, n in loose.items()]
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            wrong.append(at(path, node, "global " + ", ".join(node.names)))
        elif name := _changed_name(node):
            wrong += [at(path, node, f"changes the constant {name}")] if name in holders and name.isupper() else []
    return wrong


def _mutable_names(node: ast.stmt) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    if targets and _is_mutable(getattr(node, "value", None)):
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def _is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func) in MUTABLE_CALLS
    return isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def _changed_name(node: ast.AST) -> str | None:
    """The name whose contents the node changes, as in NAME.append(…), NAME[…] = … or del NAME[…]."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if method in MUTATORS:
            return name
        case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
            return name
        case ast.AugAssign(target=ast.Name(id=name)):
            return name
    return None


def test_no_code_asks_which_family_it_has() -> None:
    files = [path for path in sources("trainer", "app") if str(path.relative_to(ROOT)) not in MAY_NAME_A_FAMILY]
    nodes = [(path, node) for path in files for node in ast.walk(parsed(path))]
    wrong = [at(path, node, ast.unparse(node)) for path, node in nodes if _asks_family(node)]
    assert not wrong, "ask for a capability instead:\n" + "\n".join(wrong)


def _asks_family(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
        return any(isinstance(text, str) and text in FAMILY_NAMES for text in texts)
    if isinstance(node, ast.MatchValue):
        return isinstance(node.value, ast.Constant) and node.value.value in FAMILY_NAMES
    name = getattr(node, "id", None) or getattr(node, "arg", None) or getattr(node, "attr", None)
    return isinstance(name, str) and re.fullmatch(rf"(is|not|for|has)_({'|'.join(FAMILY_NAMES)})", name) is not None
