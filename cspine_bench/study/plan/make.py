"""A study planned: from sides and recipe to a folder with frozen protocol, frames, schedule, sealed truth and ledger.

plan = build_plan(open_sides("films", ["s1", "s2"]), open_recipe("quartet"), seed=0)
write_plan(plan, Path("study"))
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cspine_bench.errors import DataError, RecipeError
from cspine_bench.measurement.inputs import Images
from cspine_bench.provenance import find_clean_commit, package_version
from cspine_bench.recipe import apply_overrides
from cspine_bench.study.plan.frames import Pixels, choose_canvas, choose_window
from cspine_bench.study.plan.images import build_frames
from cspine_bench.study.plan.leak_audit import ADVICE, FEW, Audit, audit_leaks
from cspine_bench.study.plan.match import describe_matching, draw_sets
from cspine_bench.study.plan.pools import build_pools
from cspine_bench.study.plan.secret import SecretDraws, make_secret
from cspine_bench.study.plan.sides import CONTROL, Sides
from cspine_bench.study.plan.trials import build_schedule, number_sets
from cspine_bench.study.plan.words import write_exclusions, write_hypotheses
from cspine_bench.study.protocol import FramesFile, Protocol, Source
from cspine_bench.study.recipe import StudyRecipe
from cspine_bench.study.schedule import READER, Schedule
from cspine_bench.study.truth import REAL, Truth


@dataclass(frozen=True)
class Plan:
    """A study that is not written yet.

    Attributes:
        protocol: frozen by its hash.
        schedule: for the server.
        truth: to be sealed.
        pixels: uint8 or uint16 (count, height, width), frames by number.
        audit: of leaks, with intervals.
        notes: what the study lead should know.
    """

    protocol: Protocol
    schedule: Schedule
    truth: Truth
    pixels: Pixels
    audit: Audit
    notes: tuple[str, ...]


def build_plan(
    sides: Sides,
    recipe: StudyRecipe,
    *,
    seed: int,
    readers: Sequence[str] = (),
    allow_leaks: str = "",
    secret: str | None = None,
) -> Plan:
    """Plan a study. Nothing is written.

    Args:
        sides: images to draw from.
        recipe: what is asked.
        seed: decides which images are drawn, and nothing that a reader must not know.
        readers: pseudonyms; none: R1, R2 ... as many as the recipe says. Their number goes before the recipe's.
        allow_leaks: a reason to go on where the leak audit refuses; it goes on the record.
        secret: that panes, orders and numbers come from, 64 hexadecimal digits; None: a new random one.

    Raises:
        DataError: too few images, several sizes, or a leak that no reason allows.
        RecipeError: a reader's name is impossible or given twice; the reason to go on is blank.
    """
    if allow_leaks and not allow_leaks.strip():
        raise RecipeError("--allow-leaks: the reason is blank; say in words why the study is fit all the same")
    recipe, readers = name_readers(recipe, readers)
    everything = sides.list_all()
    canvas = choose_canvas(list(everything.values()), recipe)
    pools = build_pools(sides, canvas, strata=recipe.strata, seed=seed)
    draw = draw_sets(pools, recipe)
    draws = SecretDraws(make_secret() if secret is None else secret)
    numbered = number_sets(draw.sets, draws)
    frames = build_frames(numbered, everything, canvas, seed=seed)
    audit = audit_leaks(frames.shown, limit=recipe.leak_limit, seed=seed)
    if audit.leaks and not allow_leaks:
        raise DataError(explain_leaks(audit))
    schedule = build_schedule(numbered, recipe, readers, draws)
    truth = Truth(salt=draws.derive_key("salt"), secret=draws.secret, frames=frames.truth)
    protocol = Protocol(
        recipe=recipe,
        hypotheses=write_hypotheses(recipe),
        exclusions=write_exclusions(recipe),
        readers=tuple(readers),
        sources=tuple(list_sources(sides, Counter(one.source for one in frames.truth))),
        frames=_describe_frames(frames.pixels, resampled=canvas.resampled),
        matching=describe_matching(draw, pools, recipe),
        leak_audit=audit.describe(allow_leaks if audit.leaks else ""),
        schedule_sha256=hashlib.sha256(render_schedule(schedule)).hexdigest(),
        truth_sha256=truth.compute_seal(),
        seed=seed,
        package_version=package_version(),
        commit=find_clean_commit(),
        rehearsal=sides.rehearsal,
    )
    notes = (*sides.notes, *canvas.notes, *_list_notes(sides, audit))
    return Plan(protocol, schedule, truth, frames.pixels, audit, notes)


def name_readers(recipe: StudyRecipe, readers: Sequence[str]) -> tuple[StudyRecipe, tuple[str, ...]]:
    """The recipe with as many readers as there are names, and the names.

    Raises:
        RecipeError: a name is impossible or given twice.
    """
    if not readers:
        digits = len(str(recipe.readers))
        return recipe, tuple(f"R{number:0{digits}d}" for number in range(1, recipe.readers + 1))
    for place, name in enumerate(readers):
        if not re.fullmatch(READER, name) or name in readers[:place]:
            raise RecipeError(
                f"reader {name!r}: use a pseudonym of up to 32 letters, digits, '_' or '-', and each once; nobody's "
                "name, as records are never erased"
            )
    return apply_overrides(recipe, [f"readers={len(readers)}"]), tuple(readers)


def render_schedule(schedule: Schedule) -> bytes:
    """The bytes of `schedule.json`."""
    return schedule.model_dump_json().encode() + b"\n"


def explain_leaks(audit: Audit) -> str:
    """Why a plan is refused, and what to do."""
    told = [f"AUC {audit.overall.value:.2f} ({audit.overall.low:.2f} to {audit.overall.high:.2f}) over all features"]
    told += [f"{name} {found.value:.2f}" for name, found in audit.by_source.items()]
    families = [f"{name} {audit.by_family[name].value:.2f}: {ADVICE[name]}" for name in audit.families]
    return (
        f"a classifier tells real from synthetic by what is no anatomy, above the limit of {audit.limit:g}: "
        f"{', '.join(told)}; families that leak: {'; '.join(families) or 'none alone, they do together'}; or go on "
        'with --allow-leaks "REASON", which the protocol keeps'
    )


def list_sources(sides: Sides, drawn: Mapping[str, int]) -> list[Source]:
    """Where images come from, with how many of each were drawn."""

    def describe(name: str, role: Literal["real", "synthetic", "positive-control"], images: Images) -> Source:
        return Source(name=name, role=role, dataset=images.describe(), drawn=drawn.get(name, 0))

    sources = [describe(REAL, "real", sides.real)]
    sources += [describe(name, "synthetic", images) for name, images in sides.synthetic.items()]
    if sides.control is not None:
        sources.append(describe(CONTROL, "positive-control", sides.control))
    elif drawn.get(CONTROL):
        sources.append(Source(name=CONTROL, role="positive-control", dataset=None, drawn=drawn[CONTROL]))
    return sources


def _describe_frames(pixels: Pixels, *, resampled: bool) -> FramesFile:
    stored = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    count, height, width = stored.shape
    return FramesFile(
        count=count,
        width=width,
        height=height,
        bit_depth=16 if pixels.itemsize == 2 else 8,
        sha256=hashlib.sha256(stored.tobytes()).hexdigest(),
        frame_sha256=tuple(hashlib.sha256(frame.tobytes()).hexdigest() for frame in stored),
        window=choose_window(pixels),
        resampled=resampled,
    )


def _list_notes(sides: Sides, audit: Audit) -> list[str]:
    notes = []
    if sides.train is None:
        notes.append(
            "the generator's training films were not named (--train): nothing says that real images are new to it"
        )
    if min(audit.num_real, *audit.num_synthetic.values()) < FEW:
        notes.append(f"leak audit: fewer than {FEW} images of a source, so intervals are wide and it may miss a leak")
    if audit.leaks:
        notes.append("the leak audit is above its limit; the protocol keeps the reason that was given")
    return notes
