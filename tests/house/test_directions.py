"""Who may import whom. Each test is one direction of the house; a failure names file and line."""

import ast
import pathlib
import sys

from tests.house.tree import HEAVY, LIGHT, ROOT, Import, importing, imports, module_name, parsed, running, sources
from trainer.job.facts import FAMILIES

LIGHT_PACKAGES = ("trainer.job", "trainer.dataset", "trainer.run")
LIGHT_LIBRARIES = frozenset({"annotated_types", "numpy", "PIL", "pydantic", "pydantic_core", "typing_extensions"})
OPTIMIZERS = ROOT / "trainer/job/optimizers.py"
LOOP = "trainer/engine/loop.py"


def none(wrong: list[Import]) -> None:
    """Fails with one line for each import that should not be."""
    assert not wrong, "\n".join(map(str, wrong))


def test_there_is_code_to_check() -> None:
    assert sources("trainer")
    assert sources("app")


def test_the_trainer_knows_no_gui() -> None:
    none([i for i in imports("trainer") if i.under("app", "gradio", "gradio_client", "fastapi")])


def test_the_light_half_uses_only_light_libraries() -> None:
    def allowed(found: Import) -> bool:
        top = found.module.partition(".")[0]
        return (
            top in sys.stdlib_module_names
            or top in LIGHT_LIBRARIES
            or found.under(*LIGHT_PACKAGES)
            # An optimizer is one class with its build(): the one place where a library is imported only when used.
            or (found.path == OPTIMIZERS and found.inside_function)
        )

    none([i for i in imports(*LIGHT) if not allowed(i)])


def test_importing_the_light_half_loads_nothing_heavy() -> None:
    modules = [module_name(path) for path in sources(*LIGHT)]
    assert not importing(modules) & (HEAVY | {"gradio", "app"})


def test_the_command_line_starts_without_anything_heavy() -> None:
    assert not running("trainer", "--help") & (HEAVY | {"gradio", "app"})


def test_the_app_knows_only_the_light_half() -> None:
    def wrong(found: Import) -> bool:
        # The package itself is empty; where it lies is where a trainer can be started.
        of_trainer = found.under("trainer") and found.name != "trainer"
        return found.under(*HEAVY, "safetensors") or (of_trainer and not found.under(*LIGHT_PACKAGES))

    none([i for i in imports("app") if wrong(i)])


def test_the_gui_process_never_holds_torch() -> None:
    assert not importing([module_name(path) for path in sources("app") if path.stem != "__main__"]) & HEAVY


def test_no_window_of_the_machine_is_ever_opened() -> None:
    """The browser may be on another machine, and the program in a container."""
    none([i for i in imports("trainer", "app") if i.under("tkinter", "easygui", "PyQt5", "PyQt6", "PySide6", "wx")])


def test_tabs_do_not_know_each_other() -> None:
    none([i for i in imports("app/tabs") if i.under("app.tabs")])


def test_families_know_neither_each_other_nor_loop_adapters_and_formats() -> None:
    families = tuple(f"trainer.families.{name}" for name in FAMILIES)
    forbidden = (*families, "trainer.engine.loop", "trainer.adapters", "trainer.formats")
    none([i for i in imports("trainer/families") if i.under(*forbidden)])


def test_adapters_know_neither_families_nor_formats_nor_the_loop() -> None:
    others = ("trainer.families", "trainer.formats", "trainer.engine.loop")
    none([i for i in imports("trainer/adapters") if i.under(*others)])


def test_formats_know_neither_families_nor_adapters_nor_the_loop() -> None:
    others = ("trainer.families", "trainer.adapters", "trainer.engine.loop")
    none([i for i in imports("trainer/formats") if i.under(*others)])


def test_tools_work_on_files_alone() -> None:
    """They know formats and words; what trains knows nothing of them, and the command line only their arguments."""
    others = ("trainer.families", "trainer.adapters", "trainer.engine", "trainer.dataset", "trainer.run")
    none([i for i in imports("trainer/tools") if i.under(*others)])
    knowing = [
        i for i in imports("trainer") if i.under("trainer.tools") and ROOT / "trainer/tools" not in i.path.parents
    ]
    none([i for i in knowing if not (i.module == "trainer.tools.arguments" and i.path == ROOT / "trainer/__main__.py")])


def test_only_the_loop_knows_families_adapters_and_formats() -> None:
    """Their Protocols, in base.py, may be known anywhere in the heavy half."""
    seams: dict[str, set[str]] = {}
    for found in imports("trainer"):
        parts = found.name.split(".")
        if len(parts) > 2 and parts[1] in ("families", "adapters", "formats") and parts[2] != "base":
            seams.setdefault(str(found.path.relative_to(ROOT)), set()).add(parts[1])
    assert {path for path, known in seams.items() if len(known) > 1} <= {LOOP}


def test_nothing_is_imported_inside_a_function() -> None:
    """But by optimizers, and where a process becomes heavy: a command line answers before it loads anything."""
    doors = {ROOT / place for place in ("trainer/__main__.py", "trainer/carry_out.py", "app/__main__.py")}
    none([i for i in imports("trainer", "app") if i.inside_function and i.path not in {OPTIMIZERS, *doors}])


def test_nothing_is_inherited_but_fields_and_protocols() -> None:
    """A base class of our own is a Protocol or holds fields only: what is to be shared is a function."""
    classes = {f"{module_name(p)}.{c.name}": c for p in sources("trainer", "app") for c in _classes(p)}
    wrong = []
    for path in sources("trainer", "app"):
        known = {i.name.rpartition(".")[2]: i.name for i in imports(str(path.relative_to(ROOT)))}
        known |= {c.name: f"{module_name(path)}.{c.name}" for c in _classes(path)}
        pairs = [(c, known.get(ast.unparse(base), "")) for c in _classes(path) for base in c.bases]
        inheriting = [(c, base) for c, base in pairs if base in classes and _shares_methods(classes[base])]
        wrong += [f"{path.relative_to(ROOT)}:{c.lineno} {c.name} inherits methods of {base}" for c, base in inheriting]
    assert not wrong, "\n".join(wrong)


def _classes(path: pathlib.Path) -> list[ast.ClassDef]:
    return [node for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef)]


def _shares_methods(node: ast.ClassDef) -> bool:
    protocol = any(ast.unparse(base).endswith("Protocol") for base in node.bases)
    return not protocol and any(isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) for member in node.body)
