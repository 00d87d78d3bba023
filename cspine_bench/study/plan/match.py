"""Display sets: which images are shown together. Drawn by the seed; no image is in two of them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from cspine_bench.errors import DataError
from cspine_bench.study.plan.pools import Pool, StratumKey
from cspine_bench.study.plan.sides import CONTROL
from cspine_bench.study.recipe import StudyRecipe
from cspine_bench.study.schedule import TrialKind
from cspine_bench.study.truth import REAL

_FREE: Final = -1
LEAST_CASES: Final = 2
_WORDS: Final[dict[TrialKind, str]] = {
    "main": "cases", "training": "training", "positive-control": "positive controls",
    "negative-control": "negative controls",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """One image of a display set.

    Attributes:
        source: as the truth calls it: `real`, a synthetic source, or `control`.
        side: name of the side that the image is from.
        place: in that side.
        spoiled: whether the plan spoils it, for a positive control.
    """

    source: str
    side: str
    place: int
    spoiled: bool = False


@dataclass(frozen=True, slots=True)
class DisplaySet:
    """Images that are shown together; of a single image, itself. A real one comes first."""

    kind: TrialKind
    members: tuple[Member, ...]


@dataclass
class Draw:
    """What was drawn, and what was met on the way.

    Attributes:
        sets: in the order of drawing.
        pairs: of images of one set that were compared.
        near_copies: pairs above the limit: the second image was put back.
        siblings: images put back as they were made from the same anatomy or noise as one of the set.
        most_alike: highest similarity within a set that is shown.
        strata: display sets by stratum, those of positive controls left out.
    """

    sets: list[DisplaySet] = field(default_factory=list)
    pairs: int = 0
    near_copies: int = 0
    siblings: int = 0
    most_alike: float = 0.0
    strata: Counter[StratumKey] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Slots:
    """What a display set needs: the side of each image, and the kind."""

    kind: TrialKind
    sides: tuple[str, ...]
    spoil: bool = False


def draw_sets(pools: dict[str, Pool], recipe: StudyRecipe) -> Draw:
    """Draw all display sets: cases first, then training, then controls.

    Args:
        pools: by source, each in the order of drawing.
        recipe: what is asked.

    Raises:
        DataError: there are too few images, in all or in a stratum; says how many are needed and how many there are.
    """
    synthetic = [name for name in pools if name not in (REAL, CONTROL)]
    wanted = list(_list_slots(recipe, synthetic, has_control=CONTROL in pools))
    _require_enough(pools, wanted, recipe)
    left: dict[str, list[int]] = {name: list(range(len(pool))) for name, pool in pools.items()}
    draw = Draw()
    for slots in wanted:
        rows = _draw_one(slots, pools, left, recipe.copy_limit, draw)
        if rows is None:
            raise DataError(_explain_strata(slots, pools, left, len(draw.sets), len(wanted), recipe))
        if slots.kind != "positive-control":
            draw.strata[pools[slots.sides[0]].strata[rows[0]]] += 1
        members = []
        for side, row in zip(slots.sides, rows, strict=True):
            left[side].remove(row)
            source = CONTROL if slots.spoil and side != REAL else side
            members.append(Member(source, side, int(pools[side].places[row]), slots.spoil and side != REAL))
        alone = recipe.num_panes == 1
        draw.sets += [DisplaySet(slots.kind, group) for group in ([(m,) for m in members] if alone else [(*members,)])]
    return draw


def _list_slots(recipe: StudyRecipe, synthetic: list[str], *, has_control: bool) -> Iterator[_Slots]:
    """What all display sets need; sources take turns, so that each has its share. Single images are drawn by pairs."""
    turn = 0

    def take(count: int) -> tuple[str, ...]:
        nonlocal turn
        turn += count
        return tuple(synthetic[number % len(synthetic)] for number in range(turn - count, turn))

    panes = recipe.num_panes
    kinds: tuple[tuple[TrialKind, int], ...] = (("main", recipe.cases), ("training", recipe.training))
    for kind, count in kinds:
        for _ in range(count if panes > 1 else count // 2):
            yield _Slots(kind, (REAL, *take(max(1, panes - 1))))
        if panes == 1 and count % 2:
            yield _Slots(kind, (REAL,))
    for _ in range(recipe.positive_controls):
        others = (CONTROL,) * max(1, panes - 1) if has_control else take(max(1, panes - 1))
        yield _Slots("positive-control", others if panes == 1 else (REAL, *others), spoil=not has_control)
    for _ in range(recipe.negative_controls):
        yield _Slots("negative-control", take(panes))


def _draw_one(
    slots: _Slots, pools: dict[str, Pool], left: dict[str, list[int]], limit: float, draw: Draw
) -> list[int] | None:
    """Rows of one display set; None where no first image finds company. `left` does not change."""
    for first in left[slots.sides[0]]:
        rows, alike = [first], 0.0
        for place, side in enumerate(slots.sides[1:], start=1):
            stratum = pools[slots.sides[0]].strata[first]
            found = _FREE
            for row in left[side]:
                pool = pools[side]
                if side != CONTROL and pool.strata[row] != stratum:
                    continue
                mates = list(zip(slots.sides[:place], rows, strict=True))
                if (side, row) in mates or _is_sibling(pool, row, mates, pools, draw):
                    continue
                alike_now = pool.compare(row, [(pools[mate], mate_row) for mate, mate_row in mates])
                draw.pairs += len(mates)
                if alike_now > limit:
                    draw.near_copies += 1
                    continue
                found, alike = row, max(alike, alike_now)
                break
            if found == _FREE:
                break
            rows.append(found)
        if len(rows) == len(slots.sides):
            draw.most_alike = max(draw.most_alike, alike)
            return rows
    return None


def _is_sibling(pool: Pool, row: int, mates: list[tuple[str, int]], pools: dict[str, Pool], draw: Draw) -> bool:
    """Whether an image of the set has the same anatomy or noise: alike, and so both known for what they are.

    Synthetic images of equal groups come of equal numbers, such as one seed sampled from two checkpoints.
    """

    def group(one: Pool, at: int) -> str:
        return one.images.group_ids[int(one.places[at])]

    found = any(mate != REAL and group(pool, row) == group(pools[mate], at) for mate, at in mates)
    draw.siblings += found
    return found


def _require_enough(pools: dict[str, Pool], wanted: list[_Slots], recipe: StudyRecipe) -> None:
    needed = Counter(side for slots in wanted for side in slots.sides)
    short = [name for name, pool in pools.items() if needed[name] > len(pool)]
    if not short:
        return
    name = short[0]
    pool = pools[name]
    parts = Counter(dict.fromkeys(_WORDS, 0))
    for slots in wanted:
        parts[slots.kind] += slots.sides.count(name)
    told = ", ".join(f"{count} for {_WORDS[kind]}" for kind, count in parts.items() if count)
    gone = "".join(f"; {count:,} {reason}" for reason, count in pool.left_out.items())
    others = needed[name] - parts["main"]
    fitting = int((len(pool) - others) * recipe.cases / parts["main"]) if parts["main"] else 0
    less = f"--set cases={fitting}, or " if fitting >= max(LEAST_CASES, recipe.repeats) else ""
    rule = "each of another patient, and none twice" if name == REAL else "none twice"
    raise DataError(
        f"{name}: {pool.images.name} gives {len(pool):,} images of its {len(pool.images):,}{gone}; the study needs "
        f"{needed[name]:,} ({told}), {rule}; give more images, or {less}fewer cases, training sets and controls"
    )


def _explain_strata(
    slots: _Slots, pools: dict[str, Pool], left: dict[str, list[int]], made: int, needed: int, recipe: StudyRecipe
) -> str:
    rows = []
    sides = [name for name in dict.fromkeys(slots.sides) if name != CONTROL]
    for stratum in sorted({key for name in sides for key in pools[name].strata}):
        counts = [
            f"{name} {sum(pools[name].strata[row] == stratum for row in left[name])} of "
            f"{sum(key == stratum for key in pools[name].strata)}"
            for name in sides
        ]
        rows.append(f"{describe_stratum(recipe, stratum)}: {', '.join(counts)}")
    return (
        f"after {made:,} of {needed:,} display sets no further one can be matched; images left and there were, by "
        f"stratum: {'; '.join(rows)}; give more images of what runs out, ask for fewer cases, or match fewer strata "
        f"(now {', '.join(recipe.strata) or 'none'}, near copies above {recipe.copy_limit:g} apart)"
    )


def describe_stratum(recipe: StudyRecipe, stratum: StratumKey) -> str:
    """`sex female, age_band 40-59`; `all` where nothing is matched."""
    return ", ".join(f"{name} {value}" for name, value in zip(recipe.strata, stratum, strict=True)) or "all"


def describe_matching(draw: Draw, pools: dict[str, Pool], recipe: StudyRecipe) -> dict[str, Any]:
    """What the protocol says of the draw: counts alone, nothing of a single image."""
    used = Counter(member.side for one in draw.sets for member in one.members)
    return {
        "strata": list(recipe.strata),
        "display_sets_by_stratum": {describe_stratum(recipe, key): draw.strata[key] for key in sorted(draw.strata)},
        "candidates": {
            name: {
                "images": len(pool.images),
                "left_out": dict(pool.left_out),
                "candidates": len(pool),
                "drawn": used[name],
            }
            for name, pool in pools.items()
        },
        "near_copies": {
            "limit": recipe.copy_limit,
            "measure": "absolute correlation of the fine structure (64 px, low frequencies removed), moved by up to "
            "2 px each way, mirrored or not; every two images of a display set",
            "pairs_compared": draw.pairs,
            "left_out": draw.near_copies,
            "highest_shown": round(draw.most_alike, 4),
        },
        "of_one_anatomy_or_noise_left_out": draw.siblings,
    }
