"""Membership inference: do the synthetic images, or the generator's losses, say which films were trained on?

Training films are the members, films held out are not. An attack gives each film a score, and every attack here treats
both kinds alike: were a film's membership dealt out at random, no score would change. So what an attack cannot see is
chance, unless the two sets differ by themselves: the control attack, which sees no synthetic image, says if they do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.memorization.control_attack import Control, attack_without_synthetic
from cspine_bench.evaluate.memorization.encoder_neighbours import Space, find_unseen
from cspine_bench.measurement.figures import CLOPPER_PEARSON, build_figure
from cspine_bench.metrics.discrimination import auc_cluster_interval, auc_interval, find_operating_point
from cspine_bench.metrics.intervals import CONFIDENCE, Estimate, clopper_pearson_interval, normal_interval
from cspine_bench.metrics.nearest import find_nearest
from cspine_bench.results import Figure
from cspine_bench.seeding import numpy_generator

AttackName = Literal["distance", "density", "loss", "control"]

LEAST_FILMS: Final = 10
"""Of either kind; of fewer, no attack has an interval worth reading."""
FALSE_POSITIVE_RATES: Final = (0.01, 0.001)
CHECKPOINT_SPACE: Final = "checkpoint"
"""Where the loss is measured, in place of an encoder."""

_NUM_NEIGHBOURS: Final = 5
_DELONG: Final = "DeLong"
_CLUSTERED: Final = "bootstrap of whole patients or anatomies"
_DEALT: Final = "normal, with the spread over memberships dealt out at random"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Attack:
    """One way to tell members, and how well it does.

    Attributes:
        name: `distance`: the nearest synthetic image; `density`: that distance against the distances of the nearest
            other films; `loss`: the generator's own error; `control`: a classifier of the films alone.
        space: encoder, or `CHECKPOINT_SPACE`.
        members: float64 (N,), scores of training films, high for a member.
        others: float64 (M,), of films held out.
        auroc: 0..1; 1/2 is chance.
        simultaneous: the same with an interval that holds for all attacks on the generator at once.
    """

    name: AttackName
    space: str
    members: Floats = field(repr=False)
    others: Floats = field(repr=False)
    auroc: Estimate
    simultaneous: Estimate


@dataclass(frozen=True)
class Membership:
    """What all attacks together say.

    Attributes:
        figures: `membership_auroc` of each attack, `membership_tpr` at each false positive rate that can be supported.
        attacks: in the order of the figures.
        sentences: for a page: what was found, and what could not have been.
        not_measured: each figure that is missing, with the reason.
        told_apart: whether an attack on the generator is surely better than chance, all attacks considered.
        confounded: whether the films alone give membership away.
        compared: bool (M,), films held out that count: of patients that were not trained on.
    """

    figures: tuple[Figure, ...]
    attacks: tuple[Attack, ...]
    sentences: tuple[str, ...]
    not_measured: tuple[str, ...]
    told_apart: bool
    confounded: bool
    compared: NDArray[np.bool_] = field(repr=False)


def measure_membership(
    *,
    spaces: Sequence[Space],
    train_groups: Sequence[str],
    holdout_groups: Sequence[str],
    losses: tuple[NDArray[Any], NDArray[Any]] | None = None,
    seed: int = 0,
) -> Membership:
    """Attack the generator in every way that its data allow.

    Args:
        spaces: features of the films and of the synthetic images, by encoder; at least one.
        train_groups: (N,), patient or anatomy of each training film.
        holdout_groups: (M,), of each film held out; films of patients that were trained on are left out.
        losses: float (N, k) of the training films and (M, k) of those held out: errors of the generator at k times;
            None: the checkpoint is not at hand.
        seed: of the folds of the control and the bootstrap.

    Raises:
        ValueError: shapes do not fit, a value is not finite, no space, or fewer than `LEAST_FILMS` of either kind.

    Source: distance: Chen et al. 2020 (1909.03935), of whose attacks it is the simplest; density: van Breugel et al.
    2023 (2302.12580), with nearest-neighbour distances in place of their density estimates; loss: Hu, Pang 2023
    (2301.09956); hits where false alarms are rare: Carlini et al. 2022 (2112.03570); control: Das et al. 2024
    (2406.16201).
    """
    compared = find_unseen(train_groups=train_groups, holdout_groups=holdout_groups)
    _check(spaces, train_groups, holdout_groups, losses, compared)
    groups = (np.asarray(train_groups), np.asarray(holdout_groups)[compared])
    scored: list[tuple[AttackName, str, Floats, Floats]] = []
    for space in spaces:
        scored += _attack_space(space, compared, groups)
    if losses is not None:
        members, others = _standardise(losses[0], losses[1][compared])
        scored.append(("loss", CHECKPOINT_SPACE, -members, -others))
    attacks = [
        Attack(name, space, members, others, *_measure_auroc(members, others, groups, len(scored), seed))
        for name, space, members, others in scored
    ]
    controls = {space.name: _control(space, compared, groups, seed) for space in spaces}
    attacks += [_describe_control(name, control) for name, control in controls.items()]
    counts = _count(spaces[0], compared)
    rates, not_measured = _measure_rates(attacks, groups, counts)
    told_apart = any(one.simultaneous.low > 0.5 for one in attacks if one.name != "control")
    largest = (1 - CONFIDENCE) / len(controls)
    confounded = tuple(name for name, control in controls.items() if control.p_value <= largest)
    if losses is None:
        not_measured = ("membership_auroc of the attack by loss: no checkpoint was given", *not_measured)
    return Membership(
        figures=(*(_build_auroc(one, groups, counts) for one in attacks), *rates),
        attacks=tuple(attacks),
        sentences=_spell(attacks, told_apart, confounded),
        not_measured=not_measured,
        told_apart=told_apart,
        confounded=bool(confounded),
        compared=compared,
    )


_Groups = tuple[NDArray[Any], NDArray[Any]]
_Counts = tuple[dict[str, int], dict[str, int]]


def _check(
    spaces: Sequence[Space],
    train_groups: Sequence[str],
    holdout_groups: Sequence[str],
    losses: tuple[NDArray[Any], NDArray[Any]] | None,
    compared: NDArray[np.bool_],
) -> None:
    sizes = (len(train_groups), len(holdout_groups))
    if not spaces or any((len(space.train), len(space.holdout)) != sizes for space in spaces):
        raise ValueError(
            f"needs at least one space, with {sizes[0]} training films and {sizes[1]} held out as there are groups, "
            f"got {[(len(space.train), len(space.holdout)) for space in spaces]}"
        )
    if losses is not None:
        shapes = [part.shape for part in losses]
        columns = {shape[1:] for shape in shapes}
        if tuple(shape[0] for shape in shapes) != sizes or len(columns) > 1 or losses[0].ndim != 2:
            raise ValueError(f"losses must be ({sizes[0]}, k) and ({sizes[1]}, k), got {shapes[0]} and {shapes[1]}")
        if not all(np.isfinite(part).all() for part in losses):
            raise ValueError("losses hold NaN or infinity; leave such draws out")
    if min(sizes[0], int(compared.sum())) < LEAST_FILMS:
        raise ValueError(
            f"needs at least {LEAST_FILMS} training films and as many held out of other patients, got {sizes[0]} and "
            f"{int(compared.sum())}"
        )


def _attack_space(
    space: Space, compared: NDArray[np.bool_], groups: _Groups
) -> list[tuple[AttackName, str, Floats, Floats]]:
    """Distance and density. All films of other patients are a film's surroundings, trained on or not."""
    films, names = np.concatenate([space.train, space.holdout[compared]]), np.concatenate(groups)
    nearest = find_nearest(queries=films, references=space.synthetic).distance[:, 0]
    most = len(films) - int(np.unique(names, return_counts=True)[1].max())
    around = find_nearest(
        queries=films,
        references=films,
        count=max(1, min(_NUM_NEIGHBOURS, most)),
        query_groups=names,
        reference_groups=names,
    ).distance.mean(axis=1)
    # An exact copy is at distance 0; this is below every other distance that floats can tell from it.
    least = 1e-12 * float(around.max()) or 1.0
    density = np.log(np.maximum(around, least)) - np.log(np.maximum(nearest, least))
    cut = len(space.train)
    return [
        ("distance", space.name, -nearest[:cut], -nearest[cut:]),
        ("density", space.name, density[:cut], density[cut:]),
    ]


def _control(space: Space, compared: NDArray[np.bool_], groups: _Groups, seed: int) -> Control:
    return attack_without_synthetic(
        members=space.train,
        others=space.holdout[compared],
        member_groups=groups[0],
        other_groups=groups[1],
        generator=numpy_generator(seed, "evaluate.membership.control"),
    )


def _describe_control(space: str, control: Control) -> Attack:
    found = normal_interval(value=control.auroc, standard_error=control.spread)
    estimate = Estimate(control.auroc, max(0.0, found.low), min(1.0, found.high))
    return Attack("control", space, control.members, control.others, estimate, estimate)


def _standardise(members: NDArray[Any], others: NDArray[Any]) -> tuple[Floats, Floats]:
    """Mean over the times, each in units of all films' spread at that time."""
    everything = np.concatenate([members, others]).astype(np.float64)
    spread = everything.std(axis=0)
    mean = ((everything - everything.mean(axis=0)) / np.where(spread > 0, spread, 1)).mean(axis=1)
    return mean[: len(members)], mean[len(members) :]


def _measure_auroc(
    members: Floats, others: Floats, groups: _Groups, num_attacks: int, seed: int
) -> tuple[Estimate, Estimate]:
    """With its interval, and with one that is wider by Bonferroni."""
    found = []
    for confidence in (CONFIDENCE, 1 - (1 - CONFIDENCE) / num_attacks):
        if not _hang_together(groups):
            found.append(auc_interval(positives=members, negatives=others, confidence=confidence))
        else:
            found.append(
                auc_cluster_interval(
                    positives=members,
                    negatives=others,
                    positive_groups=groups[0],
                    negative_groups=groups[1],
                    generator=numpy_generator(seed, "evaluate.membership.bootstrap"),
                    confidence=confidence,
                )
            )
    return found[0], found[1]


def _hang_together(groups: _Groups) -> bool:
    """Whether a patient has several films."""
    return any(len(np.unique(part)) < len(part) for part in groups)


def _count(space: Space, compared: NDArray[np.bool_]) -> _Counts:
    available = {"train": len(space.train), "holdout": len(space.holdout), "synthetic": len(space.synthetic)}
    return {**available, "holdout": int(compared.sum())}, available


def _of_attack(attack: Attack, counts: dict[str, int]) -> dict[str, int]:
    """Only attacks by distance look at synthetic images."""
    return {
        role: count for role, count in counts.items() if role != "synthetic" or attack.name in ("distance", "density")
    }


def _build_auroc(attack: Attack, groups: _Groups, counts: _Counts) -> Figure:
    method = _CLUSTERED if _hang_together(groups) else _DELONG
    if attack.name == "control":
        method = _DEALT
        note = (
            "A classifier of the films alone, cross-fitted: above 1/2, training films and films held out differ by "
            "themselves, and every attack may owe what it finds to that."
        )
    else:
        low, high = attack.simultaneous.low, attack.simultaneous.high
        note = f"1/2 is chance. With all attacks considered, [{low:.3f}, {high:.3f}]."
    return build_figure(
        "membership_auroc",
        attack.auroc,
        direction="lower",
        used=_of_attack(attack, counts[0]),
        available=_of_attack(attack, counts[1]),
        method=method,
        condition={"attack": attack.name, "space": attack.space},
        note=note,
    )


def _measure_rates(
    attacks: Sequence[Attack], groups: _Groups, counts: _Counts
) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    figures, missing = [], []
    num_others = len(groups[1])
    for rate in FALSE_POSITIVE_RATES:
        if num_others * rate < 1:
            missing.append(
                f"membership_tpr at a false positive rate of {rate:g}: {num_others:,} films held out cannot show one "
                f"so small, it takes {math.ceil(1 / rate):,}"
            )
            continue
        figures += [_build_rate(one, rate, groups, counts) for one in attacks if one.name != "control"]
    return tuple(figures), tuple(missing)


def _build_rate(attack: Attack, rate: float, groups: _Groups, counts: _Counts) -> Figure:
    point = find_operating_point(positives=attack.members, negatives=attack.others, false_positive_rate=rate)
    share, trials = point.true_positive_rate.value, len(np.unique(groups[0]))
    patients = "" if trials == len(attack.members) else ", of as many trials as there are patients or anatomies"
    num_others = len(attack.others)
    passed = clopper_pearson_interval(successes=round(point.false_positive_rate * num_others), total=num_others)
    return build_figure(
        "membership_tpr",
        clopper_pearson_interval(successes=share * trials, total=trials),
        direction="lower",
        used=_of_attack(attack, counts[0]),
        available=_of_attack(attack, counts[1]),
        method=f"{CLOPPER_PEARSON} at the threshold found{patients}",
        unit="share",
        condition={"attack": attack.name, "space": attack.space, "fpr": f"{rate:g}"},
        note=(
            f"Chance is {rate:g}. The threshold passes {point.false_positive_rate:.3g} of {num_others:,} films held "
            f"out, on which it was found; of others, somewhere between {passed.low:.2g} and {passed.high:.2g}. Only a "
            "rate beyond that says something."
        ),
    )


def _spell(attacks: Sequence[Attack], told_apart: bool, confounded: Sequence[str]) -> tuple[str, ...]:
    real = [one for one in attacks if one.name != "control"]
    controls = [one for one in attacks if one.name == "control"]
    best = max(real, key=lambda one: one.auroc.value)
    widest = max(real, key=lambda one: one.simultaneous.high)
    if told_apart:
        sure = [one for one in real if one.simultaneous.low > 0.5]
        listed = "; ".join(f"{one.name} in {one.space}: {_spell_auroc(one)}" for one in sure)
        found = (
            f"{len(sure)} of {len(real)} attacks told training films from films held out better than chance: {listed}."
        )
    else:
        found = (
            f"None of {len(real)} attacks told training films from films held out by more than chance explains; the "
            f"best was {best.name} in {best.space}: {_spell_auroc(best)}."
        )
    sentences = [
        found,
        f"With all attacks considered, an AUROC of up to {widest.simultaneous.high:.3f} is not excluded "
        f"({widest.name} in {widest.space}); nor is a stronger attack, or one that knows more.",
    ]
    listed = "; ".join(f"{one.space}: {_spell_auroc(one)}" for one in controls)
    if confounded:
        sentences.append(
            f"Confounded: the films by themselves, without any synthetic image, give membership away ({listed}). "
            "Training films and films held out are not alike, so no membership figure, high or low, can be put down "
            "to what the generator learnt by heart."
        )
    else:
        sentences.append(f"The films by themselves were not seen to give membership away ({listed}).")
    return tuple(sentences)


def _spell_auroc(attack: Attack) -> str:
    return f"AUROC {attack.auroc.value:.3f} [{attack.auroc.low:.3f}, {attack.auroc.high:.3f}]"
