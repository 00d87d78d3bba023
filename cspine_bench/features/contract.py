"""What images must be before a figure is computed from them: met once, in a stream, before the work begins.

| code | severity | met |
| --- | --- | --- |
| `unreadable` | error | no gray PNG of 8 or 16 bits (colour is refused here), or damaged |
| `wrong-hash` | error | the pixels are not those that the record claims |
| `blank` | error | one gray level; no radiograph |
| `too-small` | error | a side of fewer than 16 px; no radiograph, and an encoder would make one of it |
| `all-identical` | error | every image has the same pixels: what reading 16 bits as 8 makes of different films |
| `narrow-range` | error | 16 bits of which no image uses more than an eighth of the scale: 12 bits or so, not spread |
| `narrow-images` | warning | some of the 16-bit images use no more than a sixteenth of the scale, others do |
| `identical` | warning | some images have the same pixels; their weight in every figure is doubled |
| `mixed-depth` | warning | 8 and 16 bits: brought to one scale by `DEPTH_RULE` |
| `mixed-sizes` | warning | images of different sizes: an encoder brings them to one, and the resampling leaves traces |

Two datasets of different depth or size are compared under the same rules, and a warning says so.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cspine_bench.dataset.read import DatasetFolder, open_dataset
from cspine_bench.errors import DataError
from cspine_bench.imaging.png import compute_pixel_sha256, decode_png
from cspine_bench.schema import Split

DEPTH_RULE: Final = (
    "16 bits are divided by 257, so that the full scale of either depth is 0..255; nothing is cut or stretched"
)

NARROW_SHARE: Final = 1 / 8
"""16 bits that hold 12 use a sixteenth of the scale, 13 an eighth; films that were spread use nearly all of it."""

_NARROW_IMAGE: Final = 1 / 16
LEAST_SIDE_PX: Final = 16

_LISTED: Final = 10


@dataclass(frozen=True)
class ContractIssue:
    """One thing that was met.

    Attributes:
        code: as in this module's table.
        severity: an error stops; a warning belongs beside every figure.
        message: what, where, and the next step.
        sample_ids: where, all of them; empty where it is about the whole.
    """

    code: str
    severity: Literal["error", "warning"]
    message: str
    sample_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preflight:
    """Facts of the images of a dataset.

    Attributes:
        num_images: all that were looked at.
        num_distinct: of these, different pixels.
        bit_depths: images of each depth.
        sizes: images of each (width, height), px.
        highest_share: brightest pixel of all, as a share of the full scale of its depth.
        issues: in the order of this module's table.
    """

    num_images: int
    num_distinct: int
    bit_depths: dict[int, int]
    sizes: dict[tuple[int, int], int]
    highest_share: float
    issues: tuple[ContractIssue, ...]

    def require_usable(self, where: str) -> None:
        """Stop where there is an error.

        Args:
            where: the dataset's name, for the message.

        Raises:
            DataError: lists every error.
        """
        errors = [issue.message for issue in self.issues if issue.severity == "error"]
        if errors:
            raise DataError(f"{where}: " + "; ".join(errors))


def inspect_images(dataset: DatasetFolder | Path | str, *, split: Split | None = None) -> Preflight:
    """Decode every image once, and say what they are. Memory is that of one row group.

    Args:
        dataset: the folder, open or not, or its name on the Hub.
        split: one split, or None for all.

    Raises:
        DataError: the folder or one of its shards cannot be read. Faults of images are issues instead.
    """
    folder = dataset if isinstance(dataset, DatasetFolder) else open_dataset(dataset)
    depths: Counter[int] = Counter()
    sizes: Counter[tuple[int, int]] = Counter()
    samples_of: dict[str, list[str]] = {}
    faults: dict[str, list[str]] = {code: [] for code in _FAULTS}
    narrow: list[str] = []
    highest = {8: 0, 16: 0}
    for record in folder.iter_records(split, ("sample_id", "image", "pixel_sha256")):
        try:
            image = decode_png(record.image, where=record.sample_id)
        except DataError:
            faults["unreadable"].append(record.sample_id)
            continue
        pixels, depth = compute_pixel_sha256(image), image.dtype.itemsize * 8
        samples_of.setdefault(pixels, []).append(record.sample_id)
        depths[depth] += 1
        sizes[image.shape[1], image.shape[0]] += 1
        lowest, brightest = int(image.min()), int(image.max())
        highest[depth] = max(highest[depth], brightest)
        if pixels != record.pixel_sha256:
            faults["wrong-hash"].append(record.sample_id)
        if lowest == brightest:
            faults["blank"].append(record.sample_id)
        if min(image.shape) < LEAST_SIDE_PX:
            faults["too-small"].append(record.sample_id)
        if depth == 16 and lowest < brightest < _NARROW_IMAGE * 65536:
            narrow.append(record.sample_id)
    num_images = depths.total() + len(faults["unreadable"])
    issues = [
        *_spell_faults(faults, num_images),
        *_find_identical(samples_of, num_images),
        *_find_mixtures(depths, sizes, highest, narrow),
    ]
    issues.sort(key=lambda issue: _ORDER.index(issue.code))
    return Preflight(
        num_images=num_images,
        num_distinct=len(samples_of),
        bit_depths=dict(sorted(depths.items())),
        sizes=dict(sorted(sizes.items())),
        highest_share=max(highest[8] / 255, highest[16] / 65535),
        issues=tuple(issues),
    )


def _list(sample_ids: Sequence[str]) -> str:
    return ", ".join(sample_ids[:_LISTED]) + (" ..." if len(sample_ids) > _LISTED else "")


_FAULTS: Final = {
    "unreadable": "cannot be read as gray PNG of 8 or 16 bits; run `cspine-bench dataset verify`, and make them again",
    "wrong-hash": "have other pixels than their records claim; run `cspine-bench dataset verify`, and make them again",
    "blank": "have a single gray level, so hold no radiograph; leave them out, or find out what made them",
    "too-small": f"have a side of fewer than {LEAST_SIDE_PX} px, so hold no radiograph; leave them out",
}
_ORDER: Final = (
    *_FAULTS, "all-identical", "narrow-range", "narrow-images", "identical", "mixed-depth", "mixed-sizes",
)  # fmt: skip


def _spell_faults(faults: dict[str, list[str]], num_images: int) -> list[ContractIssue]:
    return [
        ContractIssue(
            code, "error", f"{len(found)} of {num_images} images ({_list(found)}) {_FAULTS[code]}", tuple(found)
        )
        for code, found in faults.items()
        if found
    ]


def _find_identical(samples_of: dict[str, list[str]], num_images: int) -> list[ContractIssue]:
    repeated = [sample_ids for sample_ids in samples_of.values() if len(sample_ids) > 1]
    if not repeated:
        return []
    everyone = tuple(sample_id for sample_ids in repeated for sample_id in sample_ids)
    if len(samples_of) == 1:
        message = f"all {num_images} images have the same pixels; was depth or contrast lost on the way here?"
        return [ContractIssue("all-identical", "error", message, everyone)]
    groups = _list([" = ".join(sample_ids[:3]) for sample_ids in repeated])
    message = f"{len(everyone)} of {num_images} images have the pixels of another one ({groups}); keep one of each"
    return [ContractIssue("identical", "warning", message, everyone)]


def _find_mixtures(
    depths: Counter[int], sizes: Counter[tuple[int, int]], highest: dict[int, int], narrow: Sequence[str]
) -> list[ContractIssue]:
    issues = []
    if depths[16] and highest[16] < NARROW_SHARE * 65536:
        issues.append(
            ContractIssue(
                "narrow-range",
                "error",
                f"the brightest of all 16-bit pixels is {highest[16]}, of 65535; spread the source's scale over 16 "
                "bits (12 bits: times 16), or these images are black beside others",
            )
        )
    elif narrow:
        message = (
            f"{len(narrow)} of {depths[16]} images of 16 bits ({_list(narrow)}) use no more than a sixteenth of the "
            "scale, others do; if they hold 12 bits, spread them (times 16), or they are black beside the others"
        )
        issues.append(ContractIssue("narrow-images", "warning", message, tuple(narrow)))
    if len(depths) > 1:
        counts = " and ".join(f"{count} images of {depth} bits" for depth, count in sorted(depths.items()))
        issues.append(ContractIssue("mixed-depth", "warning", f"{counts}; {DEPTH_RULE}"))
    if len(sizes) > 1:
        issues.append(ContractIssue("mixed-sizes", "warning", f"{len(sizes)} sizes, {_spell_sizes(sizes)}; {_TRACES}"))
    return issues


_TRACES: Final = "an encoder brings them to one size, and the resampling leaves traces that features show"


def _spell_sizes(sizes: dict[tuple[int, int], int]) -> str:
    ends = dict.fromkeys(f"{width} x {height}" for width, height in (min(sizes), max(sizes)))
    return f"{' to '.join(ends)} px"


def compare_images(real: Preflight, synthetic: Preflight) -> tuple[ContractIssue, ...]:
    """What differs between two datasets by their making and not by their content.

    Returns:
        Warnings: `mixed-depth` and `mixed-sizes`, where the two sides are not alike in them.
    """
    issues = []
    if set(real.bit_depths) != set(synthetic.bit_depths):
        spelled = [" and ".join(map(str, side.bit_depths)) for side in (real, synthetic)]
        message = f"real images have {spelled[0]} bits, synthetic ones {spelled[1]}; {DEPTH_RULE}"
        issues.append(ContractIssue("mixed-depth", "warning", message))
    if real.sizes and synthetic.sizes and set(real.sizes) != set(synthetic.sizes):
        message = (
            f"real images are {_spell_sizes(real.sizes)}, synthetic ones {_spell_sizes(synthetic.sizes)}; {_TRACES}: "
            "bring both to one size by the same steps, or compare with this in mind"
        )
        issues.append(ContractIssue("mixed-sizes", "warning", message))
    return tuple(issues)
