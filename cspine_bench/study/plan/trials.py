"""Every reader's trials: display sets in panes and in order, drawn from the study's secret."""

from collections.abc import Sequence
from dataclasses import dataclass

from cspine_bench.study.plan.match import DisplaySet
from cspine_bench.study.plan.order import draw_order
from cspine_bench.study.plan.panes import Arrangement, deal_new_panes, deal_panes
from cspine_bench.study.plan.secret import SecretDraws
from cspine_bench.study.recipe import StudyRecipe
from cspine_bench.study.schedule import PlannedTrial, ReaderSchedule, Schedule, TrialKind
from cspine_bench.study.truth import REAL

_LETTERS: dict[TrialKind, str] = {"training": "T", "main": "Q", "positive-control": "P", "negative-control": "N"}


@dataclass(frozen=True)
class NumberedSet:
    """A display set with its name and the frames of its members, in their order."""

    case: str
    display: DisplaySet
    frames: tuple[int, ...]


def number_sets(sets: Sequence[DisplaySet], draws: SecretDraws) -> list[NumberedSet]:
    """Names and frames, both in an order of the secret, so that neither tells what an image is.

    Args:
        sets: of all kinds.
        draws: of the study.
    """
    count = sum(len(one.members) for one in sets)
    frames = iter(draws.shuffle("frames", range(count)))
    named = []
    for kind, letter in _LETTERS.items():
        own = draws.shuffle(f"names|{kind}", [one for one in sets if one.kind == kind])
        digits = max(2, len(str(len(own))))
        for number, one in enumerate(own, start=1):
            named.append(NumberedSet(f"{letter}{number:0{digits}d}", one, tuple(next(frames) for _ in one.members)))
    return named


def build_schedule(
    numbered: Sequence[NumberedSet], recipe: StudyRecipe, readers: Sequence[str], draws: SecretDraws
) -> Schedule:
    """Panes and orders of all readers.

    Args:
        numbered: all display sets.
        recipe: of the study.
        readers: pseudonyms.
        draws: of the study.
    """
    by_kind = {kind: [one for one in numbered if one.display.kind == kind] for kind in _LETTERS}
    panes = {
        kind: deal_panes(
            num_cases=len(own),
            num_panes=recipe.num_panes,
            num_readers=len(readers),
            draws=draws,
            stream=f"panes|{kind}",
        )
        for kind, own in by_kind.items()
    }
    twice = _choose_repeats(by_kind["main"], recipe, draws)
    again = deal_new_panes(
        [[arrangements[place] for place in twice] for arrangements in panes["main"]],
        num_panes=recipe.num_panes,
        draws=draws,
        stream="panes|repeat",
    )
    schedules = []
    for number, reader in enumerate(readers):
        planned = {
            kind: [_plan_trial(one, kind, panes[kind][number][place]) for place, one in enumerate(own)]
            for kind, own in by_kind.items()
        }
        pairs = [
            (planned["main"][place], _plan_trial(by_kind["main"][place], "repeat", again[number][index]))
            for index, place in enumerate(twice)
        ]
        order = draw_order(
            cases=[trial for place, trial in enumerate(planned["main"]) if place not in set(twice)],
            repeats=pairs,
            controls=(planned["positive-control"], planned["negative-control"]),
            lag=recipe.repeat_lag,
            draws=draws,
            stream=f"order|{number}",
        )
        training = draws.shuffle(f"training|{number}", planned["training"])
        schedules.append(ReaderSchedule(reader=reader, trials=(*training, *order)))
    return Schedule(id_key=draws.derive_key("ids"), readers=tuple(schedules))


def _plan_trial(one: NumberedSet, kind: TrialKind, arrangement: Arrangement) -> PlannedTrial:
    return PlannedTrial(case=one.case, kind=kind, frames=tuple(one.frames[member] for member in arrangement))


def _choose_repeats(cases: Sequence[NumberedSet], recipe: StudyRecipe, draws: SecretDraws) -> list[int]:
    """Places of the cases that are shown twice; of single images as many real as synthetic ones, within one."""
    order = draws.shuffle("repeats", range(len(cases)))
    if recipe.num_panes == 1:
        real = [place for place in order if cases[place].display.members[0].source == REAL]
        others = [place for place in order if place not in set(real)]
        order = [place for pair in zip(real, others, strict=False) for place in pair] + real[len(others) :]
    return order[: recipe.repeats]
