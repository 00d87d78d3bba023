"""The layer table of the design: imports go to a lower layer, or stay inside one's own folder."""

import ast
import functools
import gc
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "cspine_bench"

LAYERS = {
    "errors": 0,
    "seeding": 0,
    "anatomy": 0,
    "schema": 1,
    "recipe": 1,
    "results": 1,
    "imaging": 1,
    "provenance": 1,
    "citation": 1,
    "dataset": 2,
    "augment": 2,
    "sources": 3,
    "features": 3,
    "metrics": 3,
    "measurement": 4,
    "page": 5,
    "ddpm": 6,
    "release": 6,
    "evaluate": 6,
    "baselines": 6,
    "study": 6,
    "report": 7,
    "cli": 8,
    "__main__": 9,
}

# A drawer takes anything, so it ends up with everything.
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "core", "base", "shared", "tools", "stuff"}
CLASS_ENDINGS = ("Manager", "Handler", "Helper", "Processor", "Service", "Factory", "Util", "Utils")
MAX_LINES = 400

MODULES = sorted(PACKAGE.rglob("*.py"))
LIBRARY = [path for path in MODULES if path.relative_to(PACKAGE).parts[0] != "cli"]
SOURCES = sorted(
    path for folder in ("cspine_bench", "tests", "benchmarks", "generation") for path in (ROOT / folder).rglob("*.py")
)


class Seen(NamedTuple):
    """What these tests ask of a module; its tree is not kept, as a million nodes would slow down all tests after it.

    Attributes:
        own: (module, line, inside a function) of each import of this package.
        others: first part of the name of everything that is imported.
        loaded: what is imported when the module is.
        broad: lines that catch every exception.
    """

    own: tuple[tuple[str, int, bool], ...]
    others: frozenset[str]
    loaded: tuple[str, ...]
    broad: tuple[int, ...]


@functools.cache
def read(path: Path) -> Seen:
    return look_at(path.read_text())


def look_at(source: str) -> Seen:
    own: list[tuple[str, int, bool]] = []
    others: set[str] = set()
    broad: list[int] = []
    # The collector would go through all nodes again and again, and there is nothing to collect.
    gc.disable()
    try:
        tree = ast.parse(source)
        loaded = tuple(iter_loaded(tree.body))
        nodes: list[tuple[ast.AST, bool]] = [(tree, False)]
        while nodes:
            node, late = nodes.pop()
            names = list_names(node)
            own += [(name, node.lineno, late) for name in names if name.split(".")[0] == "cspine_bench"]
            others |= {name.split(".")[0] for name in names}
            if isinstance(node, ast.ExceptHandler) and catches_all(node):
                broad.append(node.lineno)
            late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if not isinstance(node, ast.expr):
                nodes += [(child, late) for child in ast.iter_child_nodes(node)]
    finally:
        gc.enable()
    return Seen(tuple(sorted(own, key=lambda found: found[1])), frozenset(others), loaded, tuple(broad))


def iter_loaded(body: list[ast.stmt]) -> Iterator[str]:
    """Names that are imported when a module is, functions and type checking left out."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.If | ast.Try | ast.With) and "TYPE_CHECKING" not in ast.unparse(node).split("\n")[0]:
            yield from iter_loaded([*node.body, *getattr(node, "orelse", ()), *getattr(node, "finalbody", ())])


def list_names(node: ast.AST) -> list[str]:
    """What a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level:
        raise AssertionError(f"line {node.lineno}: relative import; spell the whole name")
    if isinstance(node, ast.ImportFrom) and node.module == "cspine_bench":
        return [f"cspine_bench.{alias.name}" for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def catches_all(node: ast.ExceptHandler) -> bool:
    return node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def find_faulty(paths: list[Path], find: Callable[[Path], object]) -> dict[str, object]:
    """What is wrong, by file: one test for all files, as a test for each takes longer than to look at it."""
    return {name_of(path): faults for path in paths if (faults := find(path))}


def top_module(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def find_layer_faults(path: Path, seen: Seen) -> list[str]:
    own = top_module(path)
    if own == "__init__":
        return [f"{line}: {name}" for name, line, _ in seen.own]
    faults = []
    for name, line, _ in seen.own:
        parts = name.split(".")
        if len(parts) == 1 or not ((PACKAGE / parts[1]).is_dir() or (PACKAGE / f"{parts[1]}.py").is_file()):
            continue  # the package itself: its version
        if parts[1] != own and LAYERS.get(parts[1], 99) >= LAYERS[own]:
            faults.append(f"{line}: {own} (layer {LAYERS[own]}) imports {name} (layer {LAYERS.get(parts[1])})")
    return faults


def collect_imports() -> dict[str, set[str]]:
    """Of each module in the table, the others that it imports."""
    found: dict[str, set[str]] = {name: set() for name in LAYERS}
    for path in MODULES:
        names = {name.split(".")[1] for name, _, _ in read(path).own if "." in name}
        found.get(top_module(path), set()).update(names & set(LAYERS) - {top_module(path)})
    return found


@pytest.mark.slow  # parses every module anew
def test_the_drawing_of_the_architecture_is_the_code() -> None:
    spec = importlib.util.spec_from_file_location("build_architecture", ROOT / "docs" / "build_architecture.py")
    assert spec is not None and spec.loader is not None
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    imports = collect_imports()
    assert imports["cli"] >= {"study", "release"} and imports["errors"] == set()
    # An arrow that is not drawn is implied by those that are.
    picture = drawing.PICTURE.read_text()
    shown = {(found[1], found[2]) for found in re.finditer(r'data-from="(\w+)" data-to="(\w+)"', picture)}
    reached = set(shown)
    for _ in LAYERS:
        reached |= {(upper, lower) for upper, middle in reached for other, lower in shown if middle == other}
    assert {(name, other) for name in imports for other in imports[name]} <= reached
    assert all(other in imports[name] for name, other in shown)
    assert picture == drawing.draw(LAYERS, imports), "run `make docs`"
    assert drawing.PAGE.read_text() == drawing.build_page(LAYERS, imports), "run `make docs`"


def test_modules_are_in_the_layer_table() -> None:
    assert len(MODULES) > 300 and len(SOURCES) > 500, "nothing is tested otherwise"
    strangers = [name_of(path) for path in MODULES if top_module(path) not in {*LAYERS, "__init__"}]
    assert strangers == [], "belongs to no layer; add it to the design first"


def test_imports_go_down() -> None:
    assert find_faulty(MODULES, lambda path: find_layer_faults(path, read(path))) == {}


@pytest.mark.parametrize(
    ("where", "source", "fault"),
    [
        ("anatomy/x.py", "from cspine_bench.schema import Record", True),
        ("anatomy/x.py", "def f():\n    import cspine_bench.cli.demo", True),
        ("schema.py", "import cspine_bench.recipe", True),  # same layer, another module
        ("dataset/x.py", "from cspine_bench import sources", True),
        ("dataset/x.py", "from cspine_bench.dataset.read import open_dataset", False),
        ("dataset/x.py", "from cspine_bench import errors", False),
        ("provenance.py", "from cspine_bench import __version__", False),
        ("__init__.py", "from cspine_bench.errors import DataError", True),
    ],
)
def test_the_import_check_itself(where: str, source: str, fault: bool) -> None:
    assert bool(find_layer_faults(PACKAGE / where, look_at(source))) is fault


def test_only_commands_import_this_package_late() -> None:
    # Heavy libraries may be imported late anywhere; our own modules late are a hidden cycle.
    def find_late(path: Path) -> list[str]:
        return [f"{line}: {name}" for name, line, inside in read(path).own if inside]

    assert find_faulty(LIBRARY, find_late) == {}


def test_a_reader_of_releases_never_imports_their_writer() -> None:
    for path in (PACKAGE / "release").glob("*validate*.py"):
        names = [name for name, _, _ in read(path).own]
        assert not [name for name in names if "build" in name]


def find_bad_names_and_sizes(path: Path) -> list[str]:
    text, faults = path.read_text(), []
    if DRAWERS & set(path.relative_to(ROOT).with_suffix("").parts):
        faults.append("a module is named after its one job")
    for name in re.findall(r"^ *class (\w+)", text, flags=re.M):
        if name.endswith(CLASS_ENDINGS):
            faults.append(f"{name}: a class is named after what it is")
    too_long = len(text.splitlines()) > MAX_LINES
    if too_long and not re.search(r"\bLong because\b", ast.get_docstring(ast.parse(text)) or ""):
        faults.append(f"over {MAX_LINES} lines: split it, or defend it in its docstring: 'Long because ...'")
    return faults


def test_names_and_sizes() -> None:
    assert find_faulty(SOURCES, find_bad_names_and_sizes) == {}


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=name_of)
def test_command_bodies_are_short(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and any("command" in ast.unparse(item) for item in node.decorator_list):
            body = node.body[1:]
            assert body[-1].end_lineno - body[0].lineno < 25, f"{node.name}: build, call one function, print"


def find_terminal_tools(path: Path) -> set[str]:
    return {"click", "rich", "tqdm"} & read(path).others


def test_the_library_does_not_use_terminal_tools() -> None:
    assert find_faulty(LIBRARY, find_terminal_tools) == {}
    assert find_terminal_tools(PACKAGE / "cli" / "__init__.py")


def test_broad_excepts_only_at_the_boundary() -> None:
    assert list(find_faulty(MODULES, lambda path: read(path).broad)) == ["cspine_bench/cli/__init__.py"]


HEAVY = ("torch", "starlette", "uvicorn", "ray", "datasets", "pandas", "pyarrow", "numpy", "pydicom", "click", "rich")


def modules_after(code: str) -> set[str]:
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(ast.literal_eval(result.stdout))


def test_import_of_the_package_is_light() -> None:
    assert not modules_after("import cspine_bench") & set(HEAVY)


def test_help_does_not_load_the_heavy_libraries() -> None:
    assert not modules_after("import cspine_bench.cli") & set(HEAVY) - {"click", "numpy"}


def test_reading_a_dataset_does_not_load_torch() -> None:
    assert "torch" not in modules_after("import cspine_bench.dataset.read, cspine_bench.dataset.verify")


def find_way(start: str, goal: str) -> list[str]:
    """Modules from one of ours to a library that it loads, each imported by the one before; empty: there is none."""
    ways, waiting = {start: [start]}, [start]
    while waiting:
        name = waiting.pop()
        if name.split(".")[0] == goal:
            return ways[name]
        place = ROOT / name.replace(".", "/")
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if name.startswith("cspine_bench") and path.is_file():
            found = [*read(path).loaded, *([name.rpartition(".")[0]] if "." in name else [])]
            waiting += [other for other in found if other not in ways]
            ways |= {other: [*ways[name], other] for other in found if other not in ways}
    return []


COMMANDS_WITH_TORCH = {
    "baseline", "baseline_annotate", "baseline_leaderboard", "baseline_screen", "baseline_submit", "baseline_train",
    "dataset", "ddpm", "evaluate", "report",
}  # fmt: skip


def test_commands_without_a_network_start_without_torch() -> None:
    # It takes two of the four seconds until a command begins. Read, not run: to import them all would cost as much.
    found = set()
    for path in (PACKAGE / "cli").glob("*.py"):
        modules = {name for name, _, _ in read(path).own if not name.startswith("cspine_bench.cli")}
        if any(find_way(name, "torch") for name in modules):
            found.add(path.stem)
    assert found == COMMANDS_WITH_TORCH
    assert find_way("cspine_bench.features.encoder", "torch")
    loaded_by_dataset = {name for name, _, _ in read(PACKAGE / "cli" / "dataset.py").own}
    assert [name for name in sorted(loaded_by_dataset) if find_way(name, "torch")] == ["cspine_bench.sources.phantom"]
