"""A study that was never planned, with made-up images and readers: all its answers, in a second.

Panes and orders are dealt as `study plan` deals them. There are no pixels.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from cspine_bench.seeding import derive_key
from cspine_bench.study.plan.order import draw_order
from cspine_bench.study.plan.panes import deal_new_panes, deal_panes
from cspine_bench.study.plan.secret import SecretDraws
from cspine_bench.study.recipe import StudyRecipe
from cspine_bench.study.responses import Rating, Responses, ShownImage, Trial
from cspine_bench.study.schedule import PlannedTrial, ReaderSchedule, Schedule, TrialKind
from cspine_bench.study.simulate.readers import CONTROL_SOURCE, REAL_SOURCE, Answers, Scene, simulate_reader
from cspine_bench.study.simulate.recipe import ReadersRecipe
from cspine_bench.study.truth import REAL

_CONTROLS: Final[tuple[TrialKind, ...]] = ("positive-control", "negative-control")
_Cell = tuple[TrialKind, str]


@dataclass(frozen=True)
class MadeUpStudy:
    """What readers are shown, with a name for each source and image.

    Attributes:
        scene: for the readers.
        source_names: by the scene's numbers of sources.
        image_ids: of each frame.
    """

    scene: Scene
    source_names: dict[int, str]
    image_ids: tuple[str, ...]


def make_up_study(recipe: StudyRecipe, *, num_sources: int, seed: int) -> MadeUpStudy:
    """A study as the recipe says, with sources s1, s2 ...; its training is left out.

    Args:
        recipe: of the study.
        num_sources: synthetic sources, 1 or more; display sets take them in turn.
        seed: of all draws.

    Raises:
        ValueError: fewer than one source.
    """
    if num_sources < 1:
        raise ValueError(f"num_sources must be 1 or more, got {num_sources}")
    kinds: dict[str, TrialKind] = {f"Q{number:02d}": "main" for number in range(1, recipe.cases + 1)}
    kinds |= {f"P{number:02d}": "positive-control" for number in range(1, recipe.positive_controls + 1)}
    kinds |= {f"N{number:02d}": "negative-control" for number in range(1, recipe.negative_controls + 1)}
    sources: list[int] = []
    turns: Counter[str] = Counter()
    for kind in kinds.values():
        for member in range(recipe.num_panes):
            sources.append(_choose_source(kind, member, turns, recipe, num_sources))
    names = {REAL_SOURCE: REAL, CONTROL_SOURCE: "control"} | {n: f"s{n}" for n in range(1, num_sources + 1)}
    scene = Scene(
        design=recipe.design,
        num_steps=len(recipe.anchors) if recipe.ratings else 0,
        schedule=_deal(recipe, kinds, SecretDraws(f"{derive_key(seed, 'study.made-up'):064x}")),
        sources=tuple(sources),
    )
    return MadeUpStudy(scene, names, _name_images(list(kinds), [names[source] for source in sources], recipe))


def _choose_source(kind: TrialKind, member: int, turns: Counter[str], recipe: StudyRecipe, num_sources: int) -> int:
    """The first member of a display set is real; every second single image is."""
    single = recipe.design == "single"
    turns[kind] += single
    if kind != "negative-control" and (turns[kind] % 2 == 1 if single else member == 0):
        return REAL_SOURCE
    if kind == "positive-control":
        return CONTROL_SOURCE
    turns["synthetic"] += 1
    return 1 + (turns["synthetic"] - 1) % num_sources


def _name_images(cases: list[str], sources: list[str], recipe: StudyRecipe) -> tuple[str, ...]:
    """Q07-real, Q07-s1; where a source is there twice, Q07-s1-2."""
    ids: list[str] = []
    for number, source in enumerate(sources):
        name = f"{cases[number // recipe.num_panes]}-{source}"
        ids.append(name if name not in ids[-recipe.num_panes :] else f"{name}-{number % recipe.num_panes + 1}")
    return tuple(ids)


def _deal(recipe: StudyRecipe, kinds: dict[str, TrialKind], draws: SecretDraws) -> Schedule:
    cases, panes = list(kinds), recipe.num_panes
    shown = deal_panes(num_cases=len(cases), num_readers=recipe.readers, num_panes=panes, draws=draws, stream="panes")
    main = [case for case, kind in kinds.items() if kind == "main"]
    twice = sorted(draws.shuffle("repeats", main)[: recipe.repeats])
    first = [[arrangements[cases.index(case)] for case in twice] for arrangements in shown]
    again = deal_new_panes(first, num_panes=panes, draws=draws, stream="panes again")
    readers = []
    for number in range(recipe.readers):
        members = {(kind, case): shown[number][cases.index(case)] for case, kind in kinds.items()}
        members |= {("repeat", case): again[number][place] for place, case in enumerate(twice)}
        order: list[_Cell] = draw_order(
            cases=[("main", case) for case in main if case not in twice],
            repeats=[(("main", case), ("repeat", case)) for case in twice],
            controls=[[(kind, case) for case, held in kinds.items() if held == kind] for kind in _CONTROLS],
            lag=recipe.repeat_lag,
            draws=draws,
            stream=f"order {number}",
        )
        trials = [
            PlannedTrial(
                case=case,
                kind=kind,
                frames=tuple(cases.index(case) * panes + member for member in members[kind, case]),
            )
            for kind, case in order
        ]
        readers.append(ReaderSchedule(reader=f"R{number + 1}", trials=tuple(trials)))
    return Schedule(id_key=draws.derive_key("ids"), readers=tuple(readers))


def answer_made_up(study: MadeUpStudy, recipe: ReadersRecipe, *, seed: int) -> Responses:
    """All answers of all readers.

    Args:
        study: what they are shown.
        recipe: of the readers.
        seed: of all draws.

    Raises:
        RecipeError: no skill gives the accuracy that is asked for.
    """
    trials: list[Trial] = []
    ratings: list[Rating] = []
    for item in study.scene.schedule.readers:
        answers = simulate_reader(recipe, study.scene, item.reader, seed=seed)
        for place in range(len(item.trials)):
            if answers.given[place]:
                trials.append(_build_trial(study, answers, place))
                ratings += _build_ratings(study, answers, place)
    shown = [
        ShownImage(image.partition("-")[0], image, study.source_names[study.scene.sources[number]])
        for number, image in enumerate(study.image_ids)
        if image.startswith("Q")
    ]
    return Responses(
        design=study.scene.design,
        num_steps=study.scene.num_steps,
        trials=tuple(trials),
        ratings=tuple(ratings),
        simulated=True,
        shown=tuple(shown),
    )


def _build_trial(study: MadeUpStudy, answers: Answers, place: int) -> Trial:
    trial, pane, single = answers.trials[place], int(answers.picked[place]), study.scene.design == "single"
    frame = trial.frames[pane]
    is_real = study.scene.sources[frame] == REAL_SOURCE
    said = "real" if answers.said_real[place] else "synthetic"
    return Trial(
        reader=answers.reader,
        quartet=trial.case,
        trial_index=place + 1,
        kind=trial.kind,
        picked_position=None if single else pane + 1,
        picked_source=said if single else study.source_names[study.scene.sources[frame]],
        correct=is_real == bool(answers.said_real[place]) if single else is_real,
        response_time_s=float(answers.seconds[place]),
        picked_image=None if single else study.image_ids[frame],
    )


def _build_ratings(study: MadeUpStudy, answers: Answers, place: int) -> list[Rating]:
    if study.scene.num_steps == 0:
        return []
    trial = answers.trials[place]
    return [
        Rating(
            reader=answers.reader,
            quartet=trial.case,
            kind=trial.kind,
            image_id=study.image_ids[frame],
            source=study.source_names[study.scene.sources[frame]],
            position=pane + 1,
            rating=int(answers.ratings[place, pane]),
        )
        for pane, frame in enumerate(trial.frames)
    ]
