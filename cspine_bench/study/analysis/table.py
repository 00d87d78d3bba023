"""Answers as arrays of readers and cases: what all statistics of the primary analysis start from.

Only `main` trials are here; repeats, controls and training have their own. Image 0 of a case is the real one.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine_bench.errors import DataError
from cspine_bench.metrics.label_test import MISSING
from cspine_bench.study.recipe import CHANCE, NUM_PANES, Design
from cspine_bench.study.responses import Rating, Responses, Trial
from cspine_bench.study.truth import REAL

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SYNTHETIC = "synthetic"
"""Answer to a single image; no source may be called so."""


@dataclass(frozen=True)
class StudyTable:
    """The answers of the primary analysis, R readers and C cases.

    Attributes:
        design: of the display sets.
        num_steps: of the rating scale.
        readers: (R,), in natural order: R2 before R10.
        cases: (C,), likewise; display sets, or single images.
        sources: (S,), the synthetic ones, in the order given or natural.
        correct: float64 (R, C), 1 or 0; NaN: not answered.
        panes: float64 (R, C), pane picked, from 1; NaN: not answered, or not told.
        chosen: float64 (R, C), source picked: 0 real, 1 .. S; single images: 1 called real, 0 called synthetic. NaN as
            above.
        picks: int64 (R, C), image picked: 0 real, 1 .. panes - 1; MISSING: not answered.
        why_no_picks: why it is not known which image was picked, so that `picks` must not be used; "": it is.
        image_sources: per case the source of each image, real first, as numbers of `chosen`; (): not known.
        truth: int64 (C,), source of each single image, 0 real; other designs: 0; -1: synthetic of a source not told.
        times: float64 (R, C), s; NaN: not measured.
        ratings: float64 (R, I), of images; NaN: none.
        image_ids: (I,), case by case.
        rated_cases: int64 (I,), case of each image.
        rated_sources: int64 (I,), source of each, as in `chosen`.
        notes: what was taken for granted.
    """

    design: Design
    num_steps: int
    readers: tuple[str, ...]
    cases: tuple[str, ...]
    sources: tuple[str, ...]
    correct: Floats
    panes: Floats
    chosen: Floats
    picks: Ints
    why_no_picks: str
    image_sources: tuple[tuple[int, ...], ...]
    truth: Ints
    times: Floats
    ratings: Floats
    image_ids: tuple[str, ...]
    rated_cases: Ints
    rated_sources: Ints
    notes: tuple[str, ...]

    @property
    def chance(self) -> float:
        """Accuracy of a reader who sees no difference."""
        return CHANCE[self.design]

    @property
    def num_panes(self) -> int:
        """Images of a display set."""
        return NUM_PANES[self.design]

    @property
    def num_answers(self) -> int:
        """Answers of the primary analysis."""
        return int((~np.isnan(self.correct)).sum())

    @property
    def num_real(self) -> int:
        """Cases with a real image: all, but for single images."""
        return int((self.truth == 0).sum())

    @property
    def is_uneven(self) -> bool:
        """Whether these are single images of which not half are real, so that guessing is not right in 50 %."""
        return self.design == "single" and 2 * self.num_real != len(self.cases)

    @property
    def source_names(self) -> tuple[str, ...]:
        """(S + 1,), the real one first."""
        return (REAL, *self.sources)

    def average_ratings(self, source: int) -> Floats:
        """Mean rating of a source's images in each case, float64 (R, C); NaN: none."""
        held = self.rated_sources == source
        total, count = (np.zeros((len(self.readers), len(self.cases))) for _ in range(2))
        values = self.ratings[:, held]
        there = ~np.isnan(values)
        rows, columns = np.nonzero(there)
        np.add.at(total, (rows, self.rated_cases[held][columns]), values[there])
        np.add.at(count, (rows, self.rated_cases[held][columns]), 1)
        averages: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
        return averages


def sort_naturally(names: Iterable[str]) -> list[str]:
    """R2 before R10."""

    def key(name: str) -> list[tuple[int, int, str]]:
        parts = re.findall(r"\d+|\D+", name)
        return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]

    return sorted(set(names), key=key)


def build_table(responses: Responses, *, sources: Sequence[str] = ()) -> StudyTable:
    """The arrays of a study.

    Args:
        responses: all answers.
        sources: synthetic ones, in the order in which they are compared, such as that of checkpoints; (): by name.

    Raises:
        DataError: there is no answer of the primary analysis, or a display set cannot be what the design says.
    """
    trials = [trial for trial in responses.trials if trial.kind == "main"]
    ratings = [rating for rating in responses.ratings if rating.kind == "main"]
    if not trials:
        raise DataError("no answer of the primary analysis (kind `main`) is there; nothing can be analysed yet")
    single = responses.design == "single"
    shown = [(rating.quartet, rating.image_id, rating.source) for rating in ratings]
    shown += [(image.quartet, image.image_id, image.source) for image in responses.shown]
    found = {source for _, _, source in shown}
    found |= set() if single else {trial.picked_source for trial in trials}
    names = [name for name in sources if name in found] + sort_naturally(found - {REAL} - set(sources))
    codes = {REAL: 0} | {name: place for place, name in enumerate(names, 1)}
    readers, cases = sort_naturally(t.reader for t in trials), sort_naturally(t.quartet for t in trials)
    row, column = ({name: place for place, name in enumerate(them)} for them in (readers, cases))
    images = _collect_images(shown, cases)
    image_ids, rated_cases, rated_sources, rated = _arrange_ratings(ratings, images, row, column, codes)
    arrays = {name: np.full((len(readers), len(cases)), np.nan) for name in ("correct", "panes", "chosen", "times")}
    for trial in trials:
        cell = row[trial.reader], column[trial.quartet]
        arrays["correct"][cell] = trial.correct
        arrays["panes"][cell] = np.nan if trial.picked_position is None else trial.picked_position
        arrays["times"][cell] = np.nan if trial.response_time_s is None else trial.response_time_s
        arrays["chosen"][cell] = trial.picked_source == REAL if single else codes[trial.picked_source]
    composition, notes = _compose(images, cases, names, codes, responses.design)
    picks, why = _find_picks(trials, ratings, images, composition, codes, (row, column), responses.design)
    return StudyTable(
        design=responses.design,
        num_steps=responses.num_steps,
        readers=tuple(readers),
        cases=tuple(cases),
        sources=tuple(names),
        **arrays,
        picks=picks,
        why_no_picks=why,
        image_sources=composition,
        truth=_find_truth(arrays, composition) if single else np.zeros(len(cases), np.int64),
        ratings=rated,
        image_ids=image_ids,
        rated_cases=rated_cases,
        rated_sources=rated_sources,
        notes=notes,
    )


Images = dict[str, dict[str, str]]
"""Source by image id, by case."""


def _collect_images(shown: Iterable[tuple[str, str, str]], cases: Sequence[str]) -> Images:
    images: Images = {case: {} for case in cases}
    for case, image_id, source in shown:
        there = images.setdefault(case, {})
        if there.setdefault(image_id, source) != source:
            raise DataError(
                f"image {image_id!r} of display set {case!r} is of {there[image_id]!r} once and of {source!r} another "
                "time; an image has one source: mend the table"
            )
    return images


def _arrange_ratings(
    ratings: Sequence[Rating], images: Images, row: dict[str, int], column: dict[str, int], codes: dict[str, int]
) -> tuple[tuple[str, ...], Ints, Ints, Floats]:
    rated_images = {(rating.quartet, rating.image_id) for rating in ratings}
    keys = [
        (case, image_id)
        for case in column
        for image_id in sorted(images[case], key=lambda one, case=case: (codes[images[case][one]], one))  # type: ignore[misc]
        if (case, image_id) in rated_images
    ]
    place = {key: number for number, key in enumerate(keys)}
    values = np.full((len(row), len(keys)), np.nan)
    for rating in ratings:
        key = (rating.quartet, rating.image_id)
        if rating.reader in row and key in place:
            values[row[rating.reader], place[key]] = rating.rating
    cases = np.array([column[case] for case, _ in keys], np.int64)
    sources = np.array([codes[images[case][image_id]] for case, image_id in keys], np.int64)
    return tuple(image_id for _, image_id in keys), cases, sources, values


def _compose(
    images: Images, cases: Sequence[str], names: Sequence[str], codes: dict[str, int], design: Design
) -> tuple[tuple[tuple[int, ...], ...], tuple[str, ...]]:
    """Sources of each case's images, real first; () where they are not known."""
    panes = NUM_PANES[design]
    one_each = design != "single" and len(names) + 1 == panes
    composition: list[tuple[int, ...]] = []
    assumed = 0
    for case in cases:
        found = tuple(sorted(codes[source] for source in images[case].values()))
        if design == "single":
            if len(found) > 1:
                raise DataError(f"single image {case!r} has {len(found)} images; each needs a name of its own")
            composition.append(found)
            continue
        if len(found) > panes or found.count(0) > 1 or (len(found) == panes and not found.count(0)):
            raise DataError(
                f"display set {case!r} has {len(found)} images, {found.count(0)} of them real; a {design} has {panes}, "
                "one of them real: mend the table, or give its `kind`, such as negative-control"
            )
        if len(found) < panes and one_each and len(set(found)) == len(found):
            found, assumed = tuple(range(panes)), assumed + 1
        composition.append(found if len(found) == panes else ())
    told = f"{assumed:,} of {len(cases):,} display sets are taken to hold one image of each source: no table tells"
    return tuple(composition), (told,) if assumed else ()


def _find_picks(
    trials: Sequence[Trial],
    ratings: Sequence[Rating],
    images: Images,
    composition: Sequence[tuple[int, ...]],
    codes: dict[str, int],
    places: tuple[dict[str, int], dict[str, int]],
    design: Design,
) -> tuple[Ints, str]:
    """Number of the image picked in each cell, and why that is not known."""
    row, column = places
    picks = np.full((len(row), len(column)), MISSING, np.int64)
    if design == "single":
        return picks, "single images are not picked from among others"
    by_pane = {(r.reader, r.quartet, r.position): r.image_id for r in ratings}
    ordered: dict[str, list[str]] = defaultdict(list)
    for case, its in images.items():
        ordered[case] = sorted(its, key=lambda one, its=its: (codes[its[one]], one))  # type: ignore[misc]
    unknown = 0
    for trial in trials:
        cell, source = (row[trial.reader], column[trial.quartet]), codes[trial.picked_source]
        held = composition[cell[1]]
        if held and source not in held:
            raise DataError(
                f"reader {trial.reader!r} picked an image of {trial.picked_source!r} in display set "
                f"{trial.quartet!r}, which holds none; mend the table"
            )
        if source == 0 or design == "pair":
            picks[cell] = int(source != 0)
        elif held.count(source) == 1:
            picks[cell] = held.index(source)
        else:
            pane = trial.picked_position
            image = trial.picked_image or by_pane.get((trial.reader, trial.quartet, pane if pane is not None else -1))
            known = held and image in images[trial.quartet] and images[trial.quartet][image] == trial.picked_source
            picks[cell] = ordered[trial.quartet].index(str(image)) if known else MISSING
            unknown += not known
    if not unknown:
        return picks, ""
    return picks, (
        f"which image was picked is not known for {unknown:,} of {len(trials):,} answers: where a display set has "
        "several images of a source, ratings or their panes must tell"
    )


def _find_truth(arrays: dict[str, Floats], composition: Sequence[tuple[int, ...]]) -> Ints:
    """Source of each single image, from its ratings or from what was right."""
    truth = np.empty(len(composition), np.int64)
    for place, known in enumerate(composition):
        said, right = arrays["chosen"][:, place], arrays["correct"][:, place]
        there = ~np.isnan(right)
        truth[place] = known[0] if known else (0 if (said == right)[there].all() else -1)
    return truth


def count_by(values: Iterable[Any], names: Sequence[Any]) -> list[int]:
    """How often each name occurs."""
    counts = Counter(values)
    return [counts[name] for name in names]
