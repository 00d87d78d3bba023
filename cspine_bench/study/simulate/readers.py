"""One made-up reader at a time: every answer to the trials of a schedule, the same however often it is asked for.

What all readers share (an image's appeal, a case's difficulty) depends on the seed and the image alone, what is a
reader's own on the seed and the reader. So readers can be simulated one by one, in any order, and again.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cspine_bench.errors import RecipeError
from cspine_bench.seeding import numpy_generator
from cspine_bench.study.recipe import CHANCE, NUM_PANES, Design
from cspine_bench.study.schedule import PlannedTrial, Schedule
from cspine_bench.study.simulate.cues import Shifts, find_appeal_sd, find_skill
from cspine_bench.study.simulate.realism import find_bounds, rate
from cspine_bench.study.simulate.recipe import ReadersRecipe

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
REAL_SOURCE = 0
CONTROL_SOURCE = -1


@dataclass(frozen=True)
class Scene:
    """What readers are shown, with what it is.

    Attributes:
        design: of the display sets.
        num_steps: of the rating scale; 0: no ratings.
        schedule: what each reader sees.
        sources: of each frame: 0 real, 1, 2 ... the synthetic sources in their order, -1 an image made as a control.
    """

    design: Design
    num_steps: int
    schedule: Schedule
    sources: tuple[int, ...]


@dataclass(frozen=True)
class Answers:
    """All answers of one reader.

    Attributes:
        reader: pseudonym.
        trials: that were planned, in order.
        given: (trials,), whether there is an answer; no other value of a trial without one means anything.
        picked: (trials,), pane from 0; for single images 0.
        said_real: (trials,), for single images.
        ratings: (trials, panes), from 1; 0: none asked for.
        seconds: (trials,), from the images' appearance to the answer.
    """

    reader: str
    trials: tuple[PlannedTrial, ...]
    given: NDArray[np.bool_]
    picked: Ints
    said_real: NDArray[np.bool_]
    ratings: Ints
    seconds: Floats


def simulate_reader(recipe: ReadersRecipe, scene: Scene, reader: str, *, seed: int) -> Answers:
    """Every answer of a reader.

    Args:
        recipe: of the readers.
        scene: what they are shown.
        reader: one of the schedule's.
        seed: of all draws.

    Raises:
        RecipeError: no skill gives the accuracy that is asked for.
        KeyError: there is no such reader.
    """
    names = [item.reader for item in scene.schedule.readers]
    trials = scene.schedule.find(reader).trials
    number = names.index(reader)
    faults = _find_faults(recipe, number, len(names))
    own = numpy_generator(seed, "study.readers.reader", number)
    kinds = np.array([trial.kind for trial in trials])
    frames = np.array([trial.frames for trial in trials], np.int64).reshape(len(trials), NUM_PANES[scene.design])
    sources = np.array(scene.sources, np.int64)[frames]
    appeal, rated_appeal = _draw_appeal(recipe, scene, seed)
    skill, control_skill = find_skills(recipe, scene)
    differs = recipe.reader_sd * own.standard_normal()
    skills = np.where(kinds == "positive-control", control_skill, skill) + differs
    looks = appeal[frames] - _shift_sources(recipe.detectability, sources, kinds)
    private = _draw_private(recipe.private_share, scene, frames, own)
    picked, said_real = _pick(recipe, looks, skills, sources, private, own, fixed="one_pane" in faults)
    ratings = _rate(recipe, scene, trials, frames, sources, rated_appeal, own, faults, seed)
    seconds = _draw_seconds(recipe, len(trials), own)
    given = own.random(len(trials)) >= recipe.missing
    if "dropouts" in faults:
        given &= np.arange(len(trials)) < math.ceil(recipe.dropout_after * len(trials))
    return Answers(reader, trials, given, picked, said_real, ratings, seconds)


def find_skills(recipe: ReadersRecipe, scene: Scene) -> tuple[float, float]:
    """Mean skill on cases and on positive controls.

    Raises:
        RecipeError: no skill gives the accuracy that is asked for.
    """
    appeal = find_appeal_sd(scene.design, recipe.case_sd)
    looks_sd = math.hypot(appeal, recipe.pane_habit)
    spreads = {"reader_sd": recipe.reader_sd, "looks_sd": looks_sd}
    control = find_skill(scene.design, accuracy=recipe.control_accuracy, **spreads)
    if recipe.accuracy is None:
        return 0.0, control
    chance = CHANCE[scene.design]
    attentive = (recipe.accuracy - recipe.lapses * chance) / (1 - recipe.lapses)
    try:
        skill = find_skill(scene.design, accuracy=attentive, shifts=_list_shifts(recipe, scene), **spreads)
    except ValueError as error:
        raise RecipeError(
            f"accuracy {recipe.accuracy:g} cannot be reached with lapses {recipe.lapses:g}: readers who look would "
            f"have to be right in {attentive:.0%} of trials; set fewer lapses, or an accuracy nearer chance, {chance:g}"
        ) from error
    return skill, control


def sources_of(scene: Scene) -> Ints:
    """Of each frame, int64 (frames,)."""
    return np.array(scene.sources, np.int64)


def _list_shifts(recipe: ReadersRecipe, scene: Scene) -> Shifts | None:
    """Detectability of the synthetic images of each display set of the primary analysis."""
    if not any(recipe.detectability):
        return None
    main = [trial.frames for trial in scene.schedule.readers[0].trials if trial.kind == "main"]
    sources = sources_of(scene)[np.array(main)]
    shifts = _shift_sources(recipe.detectability, sources, np.full(len(main), "main"))
    kept = (sources != REAL_SOURCE) | (scene.design == "single")
    return tuple(tuple(sorted(own[told].tolist())) for own, told in zip(shifts, kept, strict=True))


def _shift_sources(shifts: tuple[float, ...], sources: Ints, kinds: NDArray[np.str_]) -> Floats:
    """Shift of each image by its source, as `sources`; none in positive controls, which have a skill of their own."""
    table = np.zeros(max(len(shifts), int(sources.max(initial=0))) + 2)
    table[1 : len(shifts) + 1] = shifts
    return np.where((kinds == "positive-control")[:, None], 0.0, table[sources])


def _draw_appeal(recipe: ReadersRecipe, scene: Scene, seed: int) -> tuple[Floats, Floats]:
    """Of each frame: what makes readers pick it, and what makes them rate it high."""
    generator = numpy_generator(seed, "study.readers.images")
    first, second = generator.standard_normal((2, len(scene.sources)))
    along = recipe.ratings.cue_share
    rated = recipe.ratings.image_sd * (along * first + math.sqrt(1 - along**2) * second)
    return find_appeal_sd(scene.design, recipe.case_sd) * first, rated


def _draw_private(share: float, scene: Scene, frames: Ints, own: np.random.Generator) -> Floats:
    """What one reader alone sees in each image of each trial, uniform in 0..1; like itself at a second reading."""
    lasting, passing = own.standard_normal(size=len(scene.sources)), own.standard_normal(size=frames.shape)
    uniform: Floats = special.ndtr(math.sqrt(share) * lasting[frames] + math.sqrt(1 - share) * passing)
    return np.clip(uniform, 1e-12, 1 - 1e-12)


def _pick(
    recipe: ReadersRecipe,
    looks: Floats,
    skills: Floats,
    sources: Ints,
    private: Floats,
    own: np.random.Generator,
    *,
    fixed: bool,
) -> tuple[Ints, NDArray[np.bool_]]:
    count, panes = looks.shape
    habit = recipe.pane_habit * own.standard_normal(size=(panes,))
    lapses, guesses = own.random(count), own.integers(panes, size=count)
    real, lapsed = sources == REAL_SOURCE, lapses < recipe.lapses
    if panes > 1:
        # Gumbel values make the odds those of a softmax.
        found = np.argmax(looks + habit + np.where(real, skills[:, None], 0) - np.log(-np.log(private)), axis=1)
        picked = np.where(lapsed, guesses, found)
        return (np.zeros_like(picked) if fixed else picked), np.zeros(count, bool)
    # A real image is called real with logit appeal + skill, a synthetic one with appeal - skill - its shift.
    logits = looks[:, 0] + habit[0] + np.where(real[:, 0], skills, -skills)
    said = np.where(lapsed, lapses < recipe.lapses / 2, logits + special.logit(private[:, 0]) > 0)
    return np.zeros(count, np.int64), (np.ones(count, bool) if fixed else said)


def _rate(
    recipe: ReadersRecipe,
    scene: Scene,
    trials: tuple[PlannedTrial, ...],
    frames: Ints,
    sources: Ints,
    rated_appeal: Floats,
    own: np.random.Generator,
    faults: frozenset[str],
    seed: int,
) -> Ints:
    settings = recipe.ratings
    severity = settings.reader_sd * own.standard_normal()
    tastes = settings.source_sd * own.standard_normal(max(scene.sources, default=0) + 2)
    private = _draw_private(settings.private_share, scene, frames, own)
    if scene.num_steps == 0:
        return np.zeros(frames.shape, np.int64)
    names = sorted({trial.case for item in scene.schedule.readers for trial in item.trials})
    of_cases = settings.case_sd * numpy_generator(seed, "study.readers.cases").standard_normal(size=len(names))
    places = {name: place for place, name in enumerate(names)}
    cases = np.array([of_cases[places[trial.case]] for trial in trials])[:, None]
    kinds = np.array([trial.kind for trial in trials])
    looks = severity + cases + rated_appeal[frames] + tastes[sources]
    looks -= _shift_sources(settings.shifts, sources, kinds)
    control = (kinds == "positive-control")[:, None] & (sources != REAL_SOURCE)
    looks = np.where(control, looks - 3 * settings.step, looks)
    ratings = rate(looks, bounds=find_bounds(settings, scene.num_steps), uniform=private).astype(np.int64)
    if "narrow_raters" in faults:
        ratings = np.maximum(ratings, scene.num_steps - 1)
    if "straight_lining" in faults:
        ratings = np.full_like(ratings, 1 + round(settings.mean * (scene.num_steps - 1)))
    return ratings


def _draw_seconds(recipe: ReadersRecipe, count: int, own: np.random.Generator) -> Floats:
    logs = recipe.time_reader_sd * own.standard_normal() + recipe.time_sd * own.standard_normal(count)
    faster = recipe.learning * np.log2(np.arange(count) + 1.0)
    seconds: Floats = np.round(recipe.time_median_s * np.exp(logs - faster), 3)
    return seconds


def _find_faults(recipe: ReadersRecipe, number: int, readers: int) -> frozenset[str]:
    """Faults go to the last reader first, and on backwards; round again where there are more faults than readers."""
    found, place = set(), 0
    for name in ("one_pane", "straight_lining", "narrow_raters", "dropouts"):
        for _ in range(min(getattr(recipe, name), readers)):
            if readers - 1 - place % readers == number:
                found.add(name)
            place += 1
    return frozenset(found)
