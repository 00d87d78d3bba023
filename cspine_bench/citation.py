"""What a work that used this toolkit cites: read from CITATION.cff files, spelled as BibTeX or as the APA does.

Nothing is known here that those files do not hold.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cspine_bench.errors import DataError

CITATION_FILE: Final = "CITATION.cff"

_KINDS: Final = {"software": "Software", "dataset": "Dataset", "data": "Dataset"}
"""How a work was published, by its CFF type; others are known by where they appeared."""
_APA_KINDS: Final = {"Software": "Computer software", "Dataset": "Data set"}
_OTHERS: Final = " et al."
_KEY_WORDS: Final = 6
_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\textbraceleft{}",  # BibTeX counts an escaped brace too, and a lone one would end the entry.
    "}": r"\textbraceright{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_"},
}


@dataclass(frozen=True, slots=True)
class Author:
    """A person, or a group under one name; `given` is None for a group."""

    name: str
    given: str | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """One work to cite.

    Attributes:
        title: of the work.
        authors: in order.
        kind: `Software`, `Dataset`, or None: an article.
        year: of publication; None where the file does not say.
        version: of software or data.
        journal: where an article appeared, or the article that describes the data.
        doi: without a resolver.
        arxiv: number of a preprint.
        url: its page.
        notes: what the file says about it.
    """

    title: str
    authors: tuple[Author, ...]
    kind: str | None = None
    year: int | None = None
    version: str | None = None
    journal: str | None = None
    doi: str | None = None
    arxiv: str | None = None
    url: str | None = None
    notes: str | None = None

    @property
    def identity(self) -> tuple[str | None, ...]:
        """Equal for two entries of the same work."""
        if self.arxiv or self.doi:
            return (self.arxiv, self.doi)
        return (self.title, self.version)


class _Part(BaseModel):
    """Of a CFF file, what is read here; `release validate` checks the file as a whole."""

    model_config = ConfigDict(coerce_numbers_to_str=True, extra="ignore")


class _Author(_Part):
    name: str | None = None
    family: str | None = Field(None, alias="family-names")
    given: str | None = Field(None, alias="given-names")


class _Identifier(_Part):
    value: str


class _Reference(_Part):
    title: str
    authors: list[_Author] = Field(min_length=1)
    type: str = "software"
    year: int | None = None
    released: object = Field(None, alias="date-released")
    version: str | None = None
    journal: str | None = None
    doi: str | None = None
    url: str | None = None
    notes: str | None = None
    identifiers: list[_Identifier] = []


class _Cff(_Reference):
    references: list[_Reference] = []


def read_own_citation() -> str:
    """The text of this toolkit's CITATION.cff: inside an installed package, at the top of a checkout."""
    packed = resources.files("cspine_bench") / CITATION_FILE
    place: Traversable = packed if packed.is_file() else Path(__file__).parents[1] / CITATION_FILE
    return place.read_text(encoding="utf-8")


def find_reference(identifier: str) -> dict[str, Any] | None:
    """A work that this toolkit builds on, as a reference of CFF: as the toolkit's own file spells it.

    Args:
        identifier: its DOI, or `arXiv:` and its number.

    Returns:
        None where the file names no such work.
    """
    references: list[dict[str, Any]] = yaml.safe_load(read_own_citation())["references"]
    for item in references:
        if identifier in [item.get("doi"), *(known["value"] for known in item.get("identifiers", []))]:
            return item
    return None


def read_release_citation(folder: Path) -> str:
    """The text of a release's CITATION.cff.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    path = folder / CITATION_FILE
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); a folder that `cspine-bench release build` made holds one"
        ) from error


def parse_works(text: str, *, where: str) -> tuple[Work, ...]:
    """The work that a CITATION.cff describes, and then those that it refers to.

    Args:
        text: of the file. Source: Citation File Format 1.2.0.
        where: its name, for the message.

    Raises:
        DataError: it is no YAML mapping, or a work has no title or author.
    """
    try:
        values = yaml.safe_load(text)
        cff = _Cff.model_validate(values)
    except (yaml.YAMLError, ValueError) as error:
        reason = _explain(error) if isinstance(error, ValidationError) else " ".join(str(error).split())
        raise DataError(f"{where}: is no citation that can be read: {reason}; build the release again") from error
    return tuple(_build_work(part) for part in (cff, *cff.references))


def _explain(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'the file'}: {item['msg'].lower()}" for item in error.errors()
    )


def _build_work(part: _Reference) -> Work:
    arxiv = next((item.value[6:] for item in part.identifiers if item.value.lower().startswith("arxiv:")), None)
    year = part.year
    if year is None and part.released is not None and re.match(r"\d{4}-", str(part.released)):
        year = int(str(part.released)[:4])
    if year is None and arxiv is not None and re.match(r"\d{4}\.", arxiv):
        year = 2000 + int(arxiv[:2])  # Since 2007 the number of a preprint begins with its year and month.
    return Work(
        title=part.title,
        authors=tuple(Author(item.family or item.name or "", item.given) for item in part.authors),
        kind=_KINDS.get(part.type),
        year=year,
        version=part.version,
        journal=part.journal,
        doi=part.doi,
        arxiv=arxiv,
        url=part.url,
        notes=part.notes,
    )


def list_works(*texts: tuple[str, str]) -> tuple[Work, ...]:
    """All works of several citation files, each once: first those that the files describe, then what they refer to.

    Args:
        texts: of each file its text, and its name for the message.

    Raises:
        DataError: see `parse_works`.
    """
    parsed = [parse_works(text, where=where) for text, where in texts]
    ordered = [works[0] for works in parsed] + [work for works in parsed for work in works[1:]]
    found: dict[tuple[str | None, ...], Work] = {}
    for work in ordered:
        found.setdefault(work.identity, work)
    return tuple(found.values())


def build_bibtex(works: Iterable[Work]) -> str:
    """BibTeX entries: `@misc`, since plain BibTeX knows neither software nor data; a key is a title's first words."""
    entries, taken = [], set[str]()
    for work in works:
        key = stem = _make_key(work.title)
        number = 1
        while key in taken:
            number += 1
            key = f"{stem}-{number}"
        taken.add(key)
        entries.append(format_bibtex(key, _list_fields(work)))
    return "\n".join(entries)


def _make_key(title: str) -> str:
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", plain)[:_KEY_WORDS]) or "work"


def _list_fields(work: Work) -> dict[str, str | None]:
    return {
        "author": " and ".join(map(_spell_author, work.authors)),
        "title": f"{{{escape_latex(work.title)}}}",
        "year": None if work.year is None else str(work.year),
        "version": None if work.version is None else escape_latex(work.version),
        "howpublished": work.kind,
        "journal": None if work.journal is None else escape_latex(work.journal),
        "eprint": work.arxiv,
        "archiveprefix": None if work.arxiv is None else "arXiv",
        "doi": None if work.doi is None else escape_latex(work.doi),
        "url": None if work.url is None else escape_url(work.url),
        "note": None if work.notes is None else escape_latex(work.notes),
    }


def _spell_author(author: Author) -> str:
    if author.given is None and author.name.endswith(_OTHERS):
        return f"{spell_bibtex_name(author.name.removesuffix(_OTHERS), None)} and others"
    return spell_bibtex_name(author.name, author.given)


def format_bibtex(key: str, fields: Mapping[str, str | None]) -> str:
    """One `@misc` entry of fields that are spelled for LaTeX; an empty one is left out."""
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{key},", *lines, "}"]) + "\n"


def spell_bibtex_name(name: str, given: str | None) -> str:
    """A person as `Family, Given`; a group, or a family name that BibTeX would take apart, in braces."""
    family = escape_latex(name)
    if given is None or re.search(r",|\band\b", name):
        family = f"{{{family}}}"
    return family if given is None else f"{family}, {escape_latex(given)}"


def escape_latex(text: str) -> str:
    """A text on one line in which no sign means something to LaTeX."""
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))


def escape_url(url: str) -> str:
    """An address that unbalances no brace of BibTeX."""
    return re.sub(r"[{}\\]", lambda sign: f"%{ord(sign[0]):02X}", url)


def build_apa(works: Iterable[Work]) -> str:
    """A reference list, a work a line, in the style of the APA (7th edition); `n.d.` where no year is known."""
    return "\n".join(map(_spell_apa, works)) + "\n"


def _spell_apa(work: Work) -> str:
    names = [_spell_apa_name(author) for author in work.authors]
    who = names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, & {names[-1]}"
    title = work.title if work.version is None else f"{work.title} (Version {work.version})"
    if work.kind is not None:
        title = f"{title} [{_APA_KINDS[work.kind]}]"
    where = f"https://doi.org/{work.doi}" if work.doi else work.url
    parts = [who.removesuffix(".") + ".", f"({work.year or 'n.d.'}).", f"{title}."]
    parts += [f"{work.journal}."] if work.journal else []
    return " ".join([*parts, *([where] if where else [])])


def _spell_apa_name(author: Author) -> str:
    if author.given is None:
        return author.name
    initials = " ".join(f"{part[0]}." for part in author.given.split())
    return f"{author.name}, {initials}"


def describe_work(work: Work) -> dict[str, Any]:
    """A work as JSON, without what is not known of it."""
    values = {name: getattr(work, name) for name in Work.__dataclass_fields__ if name != "authors"}
    authors = [author.name if author.given is None else f"{author.name}, {author.given}" for author in work.authors]
    return {"authors": authors} | {name: value for name, value in values.items() if value is not None}
