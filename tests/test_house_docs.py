"""The documents are true: generated pages are fresh, named things exist, commands and code in them run."""

import importlib.util
import inspect
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
import yaml
from click.testing import CliRunner

import cspine_bench
from cspine_bench import errors
from cspine_bench.anatomy.alignment import PARAMETERS
from cspine_bench.cli import cli
from cspine_bench.dataset.verify import RULES
from cspine_bench.recipe import Recipe
from cspine_bench.release.rules import RULES as RELEASE_RULES
from cspine_bench.schema import Record
from cspine_bench.sources.phantom.artefacts import ARTEFACTS

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def name_of(path: Path) -> str:
    return str(path.resolve().relative_to(ROOT))


def load_script(name: str) -> ModuleType:
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    return load_script("build_reference")


def test_reference_pages_are_up_to_date(builder: ModuleType) -> None:
    pages = builder.build_pages()
    folder = ROOT / "docs" / "reference"
    assert sorted(path.name for path in folder.glob("*.md")) == sorted(pages)
    stale = [name for name, text in pages.items() if (folder / name).read_text(encoding="utf-8") != text]
    assert stale == [], "run `make docs`"


def read_reference() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md"))


def iter_verbs(command: click.Command, path: str) -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield path
        return
    for name, child in command.commands.items():
        yield from iter_verbs(child, f"{path} {name}")


def iter_recipes(model: type[Recipe]) -> Iterator[type[Recipe]]:
    for child in model.__subclasses__():
        if child.__module__.startswith("cspine_bench."):
            yield child
        yield from iter_recipes(child)


def test_the_reference_names_everything_public(builder: ModuleType) -> None:
    text = read_reference()
    kinds = [name for name, value in vars(errors).items() if inspect.isclass(value)]
    named = [*Record.model_fields, *RULES, *PARAMETERS, *iter_verbs(cli, "cspine-bench"), *kinds]
    missing = [recipe for recipe in iter_recipes(Recipe) if recipe not in builder.RECIPES]
    assert missing == [], "a recipe that no page describes"
    named += [name for recipe in builder.RECIPES for name in recipe.model_fields]
    named += [*ARTEFACTS, *RELEASE_RULES]
    assert [name for name in named if f"`{name}`" not in text] == []


def test_every_command_is_explained_outside_the_reference() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in PAGES if "reference" not in path.parts)
    assert [verb for verb in iter_verbs(cli, "cspine-bench") if verb not in text] == []


def test_every_encoder_and_task_is_in_its_table() -> None:
    from cspine_bench.baselines.registry import TASKS
    from cspine_bench.features.registry import ENCODERS  # both load torch, which nothing else here needs

    encoders = (ROOT / "docs" / "explanation" / "encoders.md").read_text(encoding="utf-8")
    assert [name for name in ENCODERS if f"| `{name}`" not in encoders] == []
    assert [name for name in TASKS if not (ROOT / "benchmarks" / name / "README.md").is_file()] == []


def list_anchors(path: Path) -> set[str]:
    """What `#` may lead to in a page: its headings, spelled as GitHub does."""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S), flags=re.M)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    local = [target.partition("#")[::2] for target in targets if not target.startswith("http")]
    assert [name for name, _ in local if not (path.parent / name).exists()] == []
    places = [(path.parent / name if name else path, anchor) for name, anchor in local if anchor]
    assert [f"{name_of(page)}#{anchor}" for page, anchor in places if anchor not in list_anchors(page)] == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_no_row_stands_outside_its_table(path: Path) -> None:
    # A blank line before a row ends the table, and the row is shown as text.
    paragraphs = re.split(r"\n[ \t]*\n", path.read_text(encoding="utf-8"))
    tables = [rows for text in paragraphs if (rows := [line for line in text.split("\n") if line.startswith("|")])]
    ruled = re.compile(r"\|( *:?-+:? *\|)+")
    assert [rows[0] for rows in tables if len(rows) < 2 or not ruled.fullmatch(rows[1])] == []


def test_the_map_leads_to_every_page() -> None:
    text = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    found = {name for name in pages if not name.startswith("decisions/")} - {"README.md"}
    assert sorted(name for name in found if f"({name})" not in text) == []


GUIDES = sorted(
    path for folder in ("benchmarks", "generation", "dataset_card") for path in (ROOT / folder).rglob("*.md")
)
"""Pages beside what they explain; their commands are checked too."""


def find_lines(path: Path) -> list[str]:
    """Lines of the shell blocks of a page, continued ones joined."""
    blocks = re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.S)
    return [line.strip() for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]


def find_commands(path: Path) -> list[str]:
    lines = [line.replace("python -m cspine_bench ", "cspine-bench ", 1) for line in find_lines(path)]
    return [line for line in lines if line.startswith("cspine-bench ")]


COMMANDS_IN_PAGES = [(path, line) for path in (*PAGES, *GUIDES) for line in find_commands(path)]


def find_unknown_options(line: str) -> list[str]:
    """Options of a `cspine-bench` command that it does not have."""
    arguments = shlex.split(line, comments=True)[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="cspine-bench")
    while isinstance(command, click.Group):
        name, arguments = arguments[0], arguments[1:]
        command = command.commands[name]
        context = click.Context(command, info_name=name, parent=context)
    options = {text for parameter in command.params for text in parameter.opts}
    return [word for word in arguments if word.startswith("--") and word.split("=")[0] not in options]


@pytest.mark.parametrize(("path", "line"), COMMANDS_IN_PAGES, ids=[line for _, line in COMMANDS_IN_PAGES])
def test_commands_in_the_docs_parse(path: Path, line: str) -> None:
    assert find_unknown_options(line) == []


def find_unknown_words(line: str) -> list[str]:
    """What a `python SCRIPT ...` line names and the repository has not: the script, or options of its parser."""
    script, *arguments = shlex.split(line, comments=True)[1:]
    if not (ROOT / script).is_file():
        return [script]
    known = set(re.findall(r"add_argument\(\s*\"(--[\w-]+)", (ROOT / script).read_text(encoding="utf-8")))
    return [word for word in arguments if word.startswith("--") and word.split("=")[0] not in known]


def test_scripts_in_the_docs_exist_with_these_options() -> None:
    scripts = [line for path in (*PAGES, *GUIDES) for line in find_lines(path) if re.match(r"python [^-]", line)]
    assert len(scripts) > 5, "nothing is tested otherwise"
    assert {line: unknown for line in scripts if (unknown := find_unknown_words(line))} == {}
    assert find_unknown_words("python docs/draw_figures.py --sample x") == ["--sample"]


def test_every_result_and_picture_can_be_reproduced() -> None:
    page = load_script("build_reproduce")
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.build_page() == text, "run `make docs`"
    quoted = set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S)))
    results = {path.name for path in (ROOT / "benchmarks" / "results").iterdir()}
    pictures = {f"docs/images/{path.name}" for path in (ROOT / "docs" / "images").iterdir()}
    assert results | pictures <= quoted
    shown = set(re.findall(r"images/[\w.]+(?=\))", "".join(path.read_text(encoding="utf-8") for path in PAGES)))
    assert {f"docs/{name}" for name in shown} == pictures, "a picture that no page shows"
    named = {name for name in quoted if re.fullmatch(r"docs/images/.*|[\w*-]+\.jsonl?", name)}
    assert [name for name in named - pictures if not list((ROOT / "benchmarks" / "results").glob(name))] == []
    commands = [re.sub(r"^OMP_NUM_THREADS=1 ", "", name) for name in quoted if re.search(r"^(\w+=1 )?\S+ ", name)]
    faults = {}
    for line in commands:
        kind = line.split()[0]
        if kind == "make":
            known = re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text(), flags=re.M)
            faults[line] = [] if known else [line]
        elif kind in ("cspine-bench", "python"):
            faults[line] = find_unknown_options(line) if kind == "cspine-bench" else find_unknown_words(line)
    assert len(faults) > 20 and {line: found for line, found in faults.items() if found} == {}


@pytest.mark.slow  # builds a release, and imports what users do in a new process: eleven seconds
def test_the_python_in_the_pages_runs(tmp_path: Path) -> None:
    """The snippets of a page run one after another, beside a phantom dataset `ds`, its release and the mirror."""
    made = ["dataset", "phantom", str(tmp_path / "ds"), "--count", "12", "--size", "64"]
    built = ["release", "build", str(tmp_path / "ds"), "--out", str(tmp_path / "rel"), "--webdataset"]
    for arguments in (made, built):
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, result.stderr
    # One process, so that the libraries are imported once; each page has names of its own.
    lines = []
    for path in PAGES:
        snippets = re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.S)
        if snippets:
            script = "\n".join(snippets).replace("demo/datasets/films", "ds")
            lines.append(f"exec(compile({script!r}, {name_of(path)!r}, 'exec'), {{'__name__': '__main__'}})")
    assert len(lines) > 2
    run = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), flags=re.M))
    assert {"demo", "test"} <= targets
    makefile = (ROOT / "Makefile").read_text()
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, flags=re.M)] == []


def test_results_in_the_readme_name_their_commit() -> None:
    rows = re.findall(r"\| `([\w-]+\.json)` \| ([0-9a-f]{10}) \|", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(rows) > 3
    folder = ROOT / "benchmarks" / "results"
    commits = {name: json.loads((folder / name).read_text())["commit"] for name, _ in rows}
    assert {name: commit for name, commit in rows if not commits[name].startswith(commit)} == {}


def test_citation_is_valid_and_of_this_version() -> None:
    from cffconvert import Citation

    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    Citation(text).validate()
    assert yaml.safe_load(text)["version"] == cspine_bench.__version__


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    asked = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    names = {re.split(r"[\[<>=]", requirement)[0].lower() for requirement in asked} - {"cspine-bench"}
    assert names <= pinned
    # Its mere presence breaks imports where its build differs from torch's.
    assert "torchvision" not in pinned
