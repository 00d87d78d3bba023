"""The templates of a release's papers, and how they are filled in."""

import functools
import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any


def render_template(name: str, values: dict[str, Any]) -> str:
    """A template with its values; more than one empty line in a row becomes one.

    Args:
        name: `NAME.j2` in the folder of templates.
        values: all that the template names. Filters: `inline` makes a text one line, `cell` also fit for a table.

    Raises:
        jinja2.UndefinedError: the template names something that `values` does not hold.
    """
    text = _compile_template(name).render(values)
    text = re.sub(r"[ \t]+\n", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


@functools.cache
def _compile_template(name: str) -> Any:
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown, from the publisher's own texts.
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["inline"] = inline
    environment.filters["cell"] = cell
    return environment.from_string((find_templates() / name).read_text(encoding="utf-8"))


def inline(text: str) -> str:
    """A text on one line."""
    return " ".join(text.split())


def cell(text: str) -> str:
    """A text that may stand in a cell of a Markdown table."""
    return inline(text).replace("\\|", "|").replace("|", "\\|")


def find_templates() -> Traversable:
    """The folder of templates and licence texts: in an installed package, or where people look for it in a checkout."""
    packed = resources.files("cspine_bench.release") / "templates"
    return packed if packed.is_dir() else Path(__file__).parents[3] / "dataset_card"
