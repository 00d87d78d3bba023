"""What a page without real pixels may show, and how it names real films without their ids."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from cspine_bench.evaluate.page.records import DuplicatePair, Gate, MemorizationPictures, Pair
from cspine_bench.page.tables import NotMeasured
from cspine_bench.results import Result

Rename = Callable[[str], str]


def hide_real_pixels(
    pairs: Sequence[Pair], pictures: MemorizationPictures
) -> tuple[list[Pair], MemorizationPictures, frozenset[str]]:
    """Take away every image that is a real film, or may show one.

    A suspected copy shows its film, so its own image goes too; all images do where the search could not have told, and
    those of which no pair says that they are honest. A difference of two images gives one of them back from the other;
    without the film there is nothing to draw it from.

    Returns:
        The pairs without films; the pictures likewise; and the sample ids of the synthetic images of the pairs that
        must not be shown.
    """
    told = pictures.outcome in ("copies", "none")
    withheld = frozenset(pair.sample_id for pair in pairs if pair.suspicious or not told)
    honest = {pair.sample_id for pair in pairs} - withheld
    kept = [replace(pair, train=None, holdout=None) for pair in pairs]

    def strip(pair: DuplicatePair) -> DuplicatePair:
        shown = pair.kind == "release" and {pair.first_id, pair.second_id} <= honest
        return pair if shown else replace(pair, first=None, second=None)

    duplicates = tuple(map(strip, pictures.duplicates))
    return kept, replace(pictures, planted=(), duplicates=duplicates), withheld


def hide_real_ids(
    result: Result, pairs: Sequence[Pair], pictures: MemorizationPictures
) -> tuple[Result, list[Pair], MemorizationPictures]:
    """Put numbers in the place of real films' ids, in words too.

    A hash would not do: ids are short, so that all of them can be hashed and looked up.
    """
    names = _number_films(pairs, pictures)
    rename = _build_rename(names)

    def name(film: str) -> str:
        return names.get(film, film)

    numbered = [
        replace(
            pair,
            train_id=name(pair.train_id),
            holdout_id=None if pair.holdout_id is None else name(pair.holdout_id),
            region=rename(pair.region),
        )
        for pair in pairs
    ]
    figures = tuple(figure.model_copy(update={"note": rename(figure.note)}) for figure in result.figures)
    return (
        result.model_copy(update={"verdict": rename(result.verdict), "figures": figures}),
        numbered,
        replace(
            pictures,
            gates=tuple(Gate(rename(gate.asked), rename(gate.found), gate.passed) for gate in pictures.gates),
            duplicates=tuple(
                replace(pair, first_id=name(pair.first_id), second_id=name(pair.second_id))
                if pair.kind == "leak"
                else pair
                for pair in pictures.duplicates
            ),
            ranking=tuple(replace(pair, train_id=name(pair.train_id)) for pair in pictures.ranking),
            not_measured=tuple(NotMeasured(rename(part.what), rename(part.why)) for part in pictures.not_measured),
            notes={place: tuple(map(rename, sentences)) for place, sentences in pictures.notes.items()},
            warnings=tuple(map(rename, pictures.warnings)),
            command=rename(pictures.command),
        ),
    )


def _number_films(pairs: Sequence[Pair], pictures: MemorizationPictures) -> dict[str, str]:
    """In the order in which they come on the page, so that a number says nothing of the id."""
    leaks = [pair for pair in pictures.duplicates if pair.kind == "leak"]
    train = [pair.train_id for pair in pairs] + [pair.second_id for pair in leaks]
    train += [pair.train_id for pair in pictures.ranking]
    holdout = [pair.holdout_id for pair in pairs if pair.holdout_id is not None] + [pair.first_id for pair in leaks]
    names = {
        film: f"training film {number}"
        for number, film in enumerate(dict.fromkeys([*train, *sorted(pictures.train_ids)]), start=1)
    }
    others = [film for film in dict.fromkeys([*holdout, *sorted(pictures.holdout_ids)]) if film not in names]
    return names | {film: f"held-out film {number}" for number, film in enumerate(others, start=1)}


def _build_rename(names: dict[str, str]) -> Rename:
    """Replaces whole ids in a text: words by a look-up, which many films do not slow, and odd ids one by one."""
    word = re.compile(r"[\w-]+")
    odd = sorted((name for name in names if not word.fullmatch(name)), key=len, reverse=True)

    def rename(text: str) -> str:
        for name in odd:
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", names[name], text) if name in text else text
        return word.sub(lambda found: names.get(found.group(), found.group()), text)

    return rename
