"""What readers answered, as rows: the one form that a study exports, a simulation makes and an analysis reads."""

from dataclasses import dataclass

from cspine_bench.study.recipe import Design
from cspine_bench.study.schedule import TrialKind


@dataclass(frozen=True, slots=True)
class Trial:
    """One answer of one reader to one display set.

    Attributes:
        reader: pseudonym.
        quartet: name of the display set; a repeat has that of what it repeats. (`quartet` in every design, as in the
            tables of the field.)
        trial_index: place in the reader's order, from 1.
        kind: what the trial is for; only `main` is in the primary analysis.
        picked_position: pane that was picked, from 1; None for single images.
        picked_source: source of the image that was picked; for single images the answer: `real` or `synthetic`.
        correct: whether the answer is right.
        response_time_s: from the images' appearance to the answer; None: not measured.
        picked_image: the image that was picked, by an id as in `Rating`; None: not told, as where ratings tell it.
    """

    reader: str
    quartet: str
    trial_index: int
    kind: TrialKind
    picked_position: int | None
    picked_source: str
    correct: bool
    response_time_s: float | None
    picked_image: str | None = None


@dataclass(frozen=True, slots=True)
class ShownImage:
    """One image of a display set: what ratings tell too, where there are any."""

    quartet: str
    image_id: str
    source: str


@dataclass(frozen=True, slots=True)
class Rating:
    """One rating of one image by one reader.

    Attributes:
        reader: pseudonym.
        quartet: display set that it was shown in.
        kind: of the trial.
        image_id: the same for all readers and repeats.
        source: `real`, or the name of the synthetic source.
        position: pane, from 1.
        rating: step of the scale, from 1.
    """

    reader: str
    quartet: str
    kind: TrialKind
    image_id: str
    source: str
    position: int
    rating: int


@dataclass(frozen=True)
class Responses:
    """All answers of a study.

    Attributes:
        design: of its display sets.
        num_steps: of the rating scale.
        trials: in any order; at most one for each reader, display set and kind.
        ratings: likewise for each image; empty where none were asked for.
        simulated: whether the readers were made up.
        shown: images of the display sets of the primary analysis; empty: ratings tell them, or nobody does.
    """

    design: Design
    num_steps: int
    trials: tuple[Trial, ...]
    ratings: tuple[Rating, ...]
    simulated: bool = False
    shown: tuple[ShownImage, ...] = ()
