"""The frames of a plan and what is known of each: read, brought to the canvas, controls spoiled, features measured."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine_bench.errors import DataError
from cspine_bench.imaging.png import decode_png
from cspine_bench.measurement.inputs import Images
from cspine_bench.study.plan.controls import spoil_frame
from cspine_bench.study.plan.frames import Canvas, Pixels
from cspine_bench.study.plan.leak_audit import Shown, measure_files, measure_frames
from cspine_bench.study.plan.match import Member
from cspine_bench.study.plan.trials import NumberedSet
from cspine_bench.study.truth import REAL, FrameTruth


@dataclass(frozen=True)
class Frames:
    """All frames by number.

    Attributes:
        pixels: uint8 or uint16 (count, height, width).
        truth: what each is.
        shown: those that the leak audit looks at: all but positive controls.
    """

    pixels: Pixels
    truth: tuple[FrameTruth, ...]
    shown: Shown


def build_frames(numbered: Sequence[NumberedSet], sides: dict[str, Images], canvas: Canvas, *, seed: int) -> Frames:
    """Read the drawn images and bring them to the canvas.

    Args:
        numbered: display sets with the numbers of their frames.
        sides: by name.
        canvas: as images are shown.
        seed: for what is random in spoiled controls.

    Raises:
        DataError: two frames have the same pixels once they are on the canvas.
    """
    members = {
        frame: (one, member) for one in numbered for frame, member in zip(one.frames, one.display.members, strict=True)
    }
    files = _read_files([member for _, member in members.values()], sides)
    controls = {one.case: place for place, one in enumerate(numbered) if one.display.kind == "positive-control"}
    pixels: list[Pixels] = []
    truth = []
    for frame in range(len(members)):
        one, member = members[frame]
        sample = sides[member.side].sample_ids[member.place]
        shown = canvas.render(decode_png(files[member.side, sample], where=f"sample {sample}: image"))
        changed = ""
        if member.spoiled:
            shown, changed = spoil_frame(shown, control=controls[one.case], seed=seed, index=frame)
        pixels.append(shown)
        truth.append(
            FrameTruth(source=member.source, dataset=sides[member.side].name, sample_id=sample, changed=changed)
        )
    stacked: Any = np.stack(pixels)
    _refuse_equal(stacked, truth)
    audited = [frame for frame in range(len(members)) if members[frame][0].display.kind != "positive-control"]
    return Frames(stacked, tuple(truth), _measure(audited, stacked, members, files, sides))


def _read_files(members: Sequence[Member], sides: dict[str, Images]) -> dict[tuple[str, str], bytes]:
    """PNG bytes by side and sample; each side is read once."""
    found = {}
    for name, images in sides.items():
        wanted = {images.sample_ids[member.place] for member in members if member.side == name}
        for split in images.splits:
            for record in images.folder.iter_records(split, ("sample_id", "image")):
                if record.sample_id in wanted:
                    found[name, record.sample_id] = record.image
    return found


def _refuse_equal(pixels: NDArray[Any], truth: Sequence[FrameTruth]) -> None:
    seen: dict[bytes, int] = {}
    for frame, image in enumerate(pixels):
        digest = hashlib.sha256(image.tobytes()).digest()
        if digest in seen:
            pair = [f"{truth[one].source} {truth[one].sample_id}" for one in (seen[digest], frame)]
            raise DataError(f"{pair[0]} and {pair[1]} have the same pixels as shown; take one of them out")
        seen[digest] = frame


def _name_group(member: Member, sides: dict[str, Images]) -> str:
    """Synthetic images of equal groups hang together whatever source they are of; with real ones none does."""
    group = sides[member.side].group_ids[member.place]
    return f"{REAL if member.source == REAL else 'synthetic'} {group}"


def _measure(
    audited: Sequence[int],
    pixels: NDArray[Any],
    members: dict[int, tuple[NumberedSet, Member]],
    files: dict[tuple[str, str], bytes],
    sides: dict[str, Images],
) -> Shown:
    known = [members[frame][1] for frame in audited]
    return Shown(
        sources=tuple(member.source for member in known),
        groups=tuple(_name_group(member, sides) for member in known),
        by_family=measure_frames(pixels[list(audited)]),
        files=measure_files([files[one.side, sides[one.side].sample_ids[one.place]] for one in known]),
    )
