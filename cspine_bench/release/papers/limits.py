"""What a dataset must not be used for, and where it falls short: sentences, each with the fact that calls for it."""

from typing import Final

from cspine_bench.metrics.intervals import wilson_interval
from cspine_bench.release.edition import Edition
from cspine_bench.release.facts import ReleaseFacts
from cspine_bench.release.layout import NOTICE_TRAINED
from cspine_bench.release.papers.account import count_known
from cspine_bench.release.papers.evidence import list_fidelity, list_memorization
from cspine_bench.release.papers.statements import find_notice, find_training

_PHANTOM: Final = (
    "These are phantoms. That a method works on them has not been shown to mean that it works on films of patients.",
    "Bones are smooth, and overlapping bones add up: a pedicle is counted twice where it enters a body.",
    "The outline of neck, head and shoulders is a blend of overlapping solids, not their exact union.",
    "There is one effective X-ray energy, without beam hardening; scatter is a broad blur of the primary image.",
    "Trabecular and muscle texture are filtered noise.",
    "Correlations between levels, the mixture over curvature classes, and sizes of head and soft tissue are "
    "assumptions of the phantom's code, not measurements.",
    "Nobody has a fracture, a tumour, a fusion or an implant, and nobody is a child. Spondylosis narrows discs and "
    "grows osteophytes; a mild case may be hard to see.",
)
"""Source: cspine-bench, docs/explanation/phantom.md."""
_CSXA: Final = (
    "CSXA (Ran et al. 2024), which the generator was trained on, holds 4,963 lateral films; 504 are kyphotic, and "
    "of the 4,999 people in its table 181 are healthy. What is rare there may be missing or wrong here.",
    "CSXA names no patients, so that films of one patient may be in several of its parts: overlap between the films "
    "that were trained on and those that any comparison held out cannot be excluded.",
    "CSXA's films are screenshots of a viewer. Marks that were burned into them may have left traces in the generator.",
)
"""Source: Ran et al. 2024, Scientific Data, s41597-024-03383-0, and the files of CSXA V3.0."""

OUT_OF_SCOPE: Final = (
    "Diagnosis, treatment, triage or any other decision about a person.",
    "Showing that a device or a model performs on patients: that takes films of patients.",
    "Normal values, prevalences or other statements about people: the distributions are those of a generator.",
    "Passing an image off as a film. Keep the marks inside the PNG files and the column `synthetic`.",
    "Searching for persons in the images.",
)


def is_trained(edition: Edition) -> bool:
    """Whether the images come from a trained network."""
    return find_notice(edition) == NOTICE_TRAINED


def qualify_notice(edition: Edition) -> str:
    """What a reader of the notice must know too: whether copies of training films were looked for."""
    if not is_trained(edition):
        return "No network was trained, and no film was used."
    training = find_training(edition.recipe, edition.manifest)
    if training.status == "no patients":
        return "The generator was trained on phantoms alone."
    if training.status == "named" and not any(item.patients for item in training.datasets):
        return "By the publisher's account, the generator was trained on no images of patients."
    if list_memorization(edition):
        return "Copies of training films were looked for: see [Memorization](#memorization)."
    return "Whether an image copies a film that the generator was trained on has not been tested."


def list_direct_uses(edition: Edition) -> list[str]:
    """What the labels are fit for."""
    facts = edition.facts
    uses = [
        "Developing and testing software that reads, shows or moves lateral cervical radiographs, without patient data."
    ]
    if facts.num_points:
        uses.append("Training and debugging landmark detectors, and measurement of alignment from landmarks.")
    if any(facts.num_masks.values()):
        uses.append("Training and debugging segmentation of vertebrae; `mask_levels` says which are annotated.")
    if count_known(facts, "curvature"):
        uses.append("Training and debugging classification of curvature.")
    if not facts.num_points and not any(facts.num_masks.values()):
        uses.append("Learning without labels, and studying generators: these images carry neither landmarks nor masks.")
    uses.append(
        "Pre-training or augmentation for methods that are then judged on films of patients, against a control that "
        "was trained on those films alone with the same number of updates."
    )
    return uses


def list_limits(edition: Edition) -> list[str]:
    """Limits and known ways to fail, the weightiest first."""
    facts = edition.facts
    trained = is_trained(edition)
    limits = _list_limits_of_generator(edition) if trained else list(_PHANTOM)
    limits += _list_limits_of_labels(facts)
    limits.append(
        "All splits come from the same generator: a score on the test split tells how well a method knows this "
        "generator, and nothing of patients."
    )
    # Of splits that are equally small, the test split: people report on it.
    smallest = min(reversed(facts.num_samples.items()), key=lambda item: item[1])
    half = wilson_interval(successes=smallest[1] / 2, total=smallest[1])
    limits.append(
        f"The smallest split, {smallest[0]}, holds {smallest[1]:,} radiograph{'' if smallest[1] == 1 else 's'}: a "
        f"share of 50 % found on it has a 95 % interval of {half.low * 100:.0f} to {half.high * 100:.0f} % (Wilson)."
    )
    spacing = facts.pixel_spacing_mm
    if spacing is not None:
        limits.append(f"A pixel spans {spacing.mean:.2g} mm on average: smaller detail is not shown.")
    if any(bits == 16 for _, _, bits in facts.sizes):
        limits.append(
            "Images of 16 bits are cut to white by readers that convert them to 8 bits without scaling, such as "
            "Pillow's "
            '`convert("L")` and `convert("RGB")`: divide by 65,535 first.'
        )
    return limits


def _list_limits_of_generator(edition: Edition) -> list[str]:
    training = find_training(edition.recipe, edition.manifest)
    limits = [
        "A generator shows what it learned from its training data, with that data's gaps and biases, and adds "
        "errors of its own. Errors of anatomy, such as fused or missing vertebrae, are not counted here.",
    ]
    if training.status == "not stated":
        limits.append("What the generator was trained on is not stated: whom its images resemble cannot be said.")
    if training.status == "no patients":
        limits.append(
            "It was trained on phantoms: the images imitate a simulation, with all of its simplifications, and say "
            "nothing of how films of patients look."
        )
    if not list_fidelity(edition):
        limits.append("How far the images are from films was not measured.")
    if _is_of_csxa(edition):
        limits += _CSXA
    return limits


def _is_of_csxa(edition: Edition) -> bool:
    training = find_training(edition.recipe, edition.manifest)
    recorded = training.recorded or {}
    return "csxa" in (recorded.get("sources") or {}) or any("csxa" in item.name.lower() for item in training.datasets)


def _list_limits_of_labels(facts: ReleaseFacts) -> list[str]:
    sources = facts.count("label_source")
    limits = []
    if sources.get("conditioned"):
        kinds = {str(kind) for kind in facts.count("condition_kind") if kind is not None}
        what = "Landmarks and masks" if any("skeleton" in kind for kind in kinds) else "Class labels"
        limits.append(
            f"{what} of {sources['conditioned']:,} radiographs are what the generator was asked for, not what was "
            "found in the image. How far an image departs from them differs from image to image; unless a result "
            "above says how far, it was not measured."
        )
        if any("skeleton" in kind for kind in kinds):
            limits.append(
                "Conditioned masks are the polygons of four corners for C3 to C7: endplates are straight, and C1, "
                "C2, T1 and all posterior elements are left out. A landmark that was drawn beyond the edge is NaN."
            )
    if sources.get("measured"):
        limits.append(
            f"Labels of {sources['measured']:,} radiographs were made by a trained model, whose errors are in them."
        )
    if sources.get(None):
        limits.append(f"{sources[None]:,} of {facts.total:,} radiographs carry no labels.")
    missing = {name: facts.total - count_known(facts, name) for name in ("sex", "age", "disease")}
    unknown = [f"`{name}` for {number:,}" for name, number in missing.items() if number]
    if unknown:
        limits.append(
            f"Not known, of {facts.total:,} radiographs: {', '.join(unknown)}. Whether a method works equally well "
            "for all such groups cannot be told from these."
        )
    if len(facts.count("facing")) > 1:
        limits.append(
            "Radiographs face different ways or are not marked for it: look at `facing` before you use left and right."
        )
    return limits
