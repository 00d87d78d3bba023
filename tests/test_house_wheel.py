"""The wheel is whole: built from this checkout, and used without it."""

import ast
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def release_check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_check", ROOT / ".ci" / "release_check.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_wheel_holds_the_package_and_nothing_else(wheel: Path, release_check: ModuleType) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "cspine_bench").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == ours
    assert "cspine_bench/py.typed" in names
    data = {f"cspine_bench/{name}" for name in release_check.list_data()}
    expected = (
        "CITATION.cff",
        "study/recipes/quartet.yaml",
        "study/app/static/index.html",
        "release/templates/README.md.j2",
    )
    assert {f"cspine_bench/{name}" for name in (*expected, "page/templates/base.html.j2")} <= data <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"cspine_bench"}


def test_recipes_come_with_the_wheel(wheel: Path, tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(wheel)!r}); import cspine_bench.study.shipped as s"
    code += "; print([(name, s.open_recipe(name).model_dump()) for name in s.list_recipes()])"
    run = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    names = sorted(path.stem for path in (ROOT / "benchmarks" / "reader-study").glob("*.yaml"))
    assert [name for name, _ in ast.literal_eval(run.stdout)] == names


def test_command_line_runs_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    # -I: neither this folder nor PYTHONPATH lend it a file.
    code = f"import sys; sys.path.insert(0, {str(wheel)!r}); import cspine_bench.cli as c; print(c.__file__); c.main()"
    run = subprocess.run([sys.executable, "-I", "-c", code, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    first, *rest = run.stdout.splitlines()
    assert first.startswith(str(wheel))
    assert "dataset" in "".join(rest)
