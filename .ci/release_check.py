"""The wheel alone: built, installed without this checkout in an environment of its own, used from an empty folder.

    python .ci/release_check.py [--env FOLDER] [--command "demo --quick --out demo"]

With --env the environment is kept there, and used again with the new wheel; otherwise it is made and removed. Network:
what `pip install -c constraints.txt` fetches, nothing else.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO = "demo --quick --out demo"

HELP_OF_ALL = """
import click
from cspine_bench.cli import cli

def walk(command, words):
    context = click.Context(command, info_name=" ".join(words))
    assert command.get_help(context).startswith("Usage: " + " ".join(words)), words
    number = 1
    for name, child in getattr(command, "commands", {}).items():
        number += walk(child, [*words, name])
    return number

print(walk(cli, ["cspine-bench"]), "helps")
"""

RECIPES_OF_ALL = """
import cspine_bench.baselines.shipped as baselines
import cspine_bench.ddpm.shipped as ddpm
import cspine_bench.study.shipped as study
from cspine_bench.baselines.registry import TASKS

names = [ddpm.open_recipe(name) and name for name in ddpm.list_recipes()]
names += [study.open_recipe(name) and name for name in study.list_recipes()]
names += [baselines.open_recipe(task, name) and name for task in TASKS for name in baselines.list_recipes(task)]
assert len(names) > 20, names
print(len(names), "recipes")
"""


@contextmanager
def stage(text: str) -> Iterator[None]:
    """Say what is done, and how long it took."""
    begin = time.monotonic()
    print(f"{text} ...", flush=True)
    yield
    print(f"  {time.monotonic() - begin:.0f} s", flush=True)


def run(command: list[str | Path], folder: Path, *, shown: bool = False) -> str:
    """A command in an environment that lends it nothing of this checkout.

    Raises:
        SystemExit: it failed; its output is printed.
    """
    lent = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    answer = subprocess.run(
        command, cwd=folder, env=lent, text=True, stdout=None if shown else subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if answer.returncode:
        print(answer.stdout or "", file=sys.stderr)
        raise SystemExit(f"release check failed: {shlex.join(map(str, command))} ended with {answer.returncode}")
    return answer.stdout or ""


def list_data() -> set[str]:
    """What must come with the wheel beside modules, below `cspine_bench/`: templates, pages, recipes, citation."""
    package = ROOT / "cspine_bench"
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source, target in wheel["force-include"].items():
        inside, place = Path(target).relative_to("cspine_bench"), ROOT / source
        files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
        found |= {str(inside / path.relative_to(place)) for path in files if "__pycache__" not in path.parts}
    return found


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder], ROOT)
    [wheel] = folder.glob("*.whl")
    return wheel


def install(wheel: Path, environment: Path) -> Path:
    """The wheel with what it needs and no more; its folder inside the environment."""
    if not (environment / "bin" / "python").exists():
        venv.create(environment, with_pip=True)
    pip: list[str | Path] = [
        environment / "bin" / "python",
        "-m",
        "pip",
        "install",
        "-qq",
        "--disable-pip-version-check",
    ]
    run([*pip, "-c", ROOT / "constraints.txt", wheel], environment)
    run([*pip, "--force-reinstall", "--no-deps", wheel], environment)  # where an older build of this version lies
    [package] = environment.glob("lib/python3*/site-packages/cspine_bench")
    return package


def check(place: Path, environment: Path, command: str) -> None:
    """Build, install, use."""
    with stage("build the wheel"):
        wheel = build_wheel(place)
    with stage(f"install {wheel.name} into {environment}"):
        package = install(wheel, environment)
    with stage("files"):
        missing = sorted(name for name in list_data() if not (package / name).is_file())
        if missing:
            raise SystemExit(f"release check failed: the wheel lacks {', '.join(missing)}")
        print(f"  {len(list_data())} templates, pages, recipes and papers")
    outside = place / "outside"
    outside.mkdir()
    python, tool = environment / "bin" / "python", environment / "bin" / "cspine-bench"
    with stage("commands and recipes"):
        version = run([tool, "--version"], outside).strip()
        where = run([python, "-c", "import cspine_bench; print(cspine_bench.__file__)"], outside).strip()
        if Path(where).parent != package or not version.endswith(wheel.name.split("-")[1]):
            raise SystemExit(f"release check failed: {version} runs from {where}")
        told = [run([python, "-c", code], outside).strip() for code in (HELP_OF_ALL, RECIPES_OF_ALL)]
        run([tool, "cite"], outside)
        print(f"  {version}: {', '.join(told)}")
    with stage(f"cspine-bench {command}"):
        run([tool, *shlex.split(command)], outside, shown=True)
    print("release check passed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, help="environment to keep and use again")
    parser.add_argument("--command", default=DEMO, help=f"what is run at last from an empty folder  [{DEMO}]")
    arguments = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="cspine-release-"))
    try:
        check(place, (arguments.env or place / "env").absolute(), arguments.command)
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
