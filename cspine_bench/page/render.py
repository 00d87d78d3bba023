"""Pages from templates: one file that asks for nothing, with a policy that lets it ask for nothing."""

import base64
import functools
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from markupsafe import Markup

from cspine_bench.page.notes import sort_notes
from cspine_bench.page.wording import (
    count_used,
    describe,
    describe_conditions,
    describe_settings,
    format_number,
    format_share,
    read_against_floor,
    show_figure,
    spell_sentence,
    split_sentence,
    title_of,
)

_FOLDER = "templates"
_STYLE = "style.css.j2"


def render_page(name: str, values: dict[str, Any], *, styles: Sequence[str] = (_STYLE,)) -> bytes:
    """A page of HTML.

    Args:
        name: of its template.
        values: all that the template names. Text is escaped; only `markupsafe.Markup` goes in as it is.
        styles: templates of its style sheet, one after the other.

    Raises:
        jinja2.UndefinedError: the template names something that `values` does not hold.
    """
    environment = _open_environment()
    style = "".join(environment.get_template(style).render() for style in styles)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    text: str = environment.get_template(name).render(values, style=Markup(style), style_digest=digest)
    # A name may hold half of a surrogate pair, which no encoding has.
    return text.encode(errors="replace")


@functools.cache
def _open_environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(read_template),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "number": format_number,
        "p": lambda value: format_number(value, digits=2),
        "share": format_share,
        "conditions": describe_conditions,
        "sentence": spell_sentence,
    }
    functions: dict[str, Any] = {
        "shown": show_figure,
        "reading": read_against_floor,
        "used": count_used,
        "title_of": title_of,
        "describe": describe,
        "sort_notes": sort_notes,
        "settings": describe_settings,
        "split_sentence": split_sentence,
    }
    environment.filters |= filters
    environment.globals |= functions
    return environment


def read_template(name: str) -> str:
    """A template of this folder, in a checkout, a wheel or an archive."""
    return (resources.files("cspine_bench.page") / _FOLDER / name).read_text(encoding="utf-8")
