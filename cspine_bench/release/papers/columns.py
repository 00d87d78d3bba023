"""The columns of a row, told in groups."""

from typing import Final

GROUPS: Final = (
    (
        ("sample_id", "split", "group_id", "schema_version"),
        "Which radiograph. A group, one anatomy, is never cut by a split.",
    ),
    (
        ("image", "width", "height", "bit_depth"),
        "PNG with one gray channel, bone bright; size in px, bits of a pixel.",
    ),
    (
        ("mask", "mask_levels"),
        "PNG of label ids: 0 background, 1 to 7 = C1 to C7, 8 = T1; and the vertebrae that were annotated. Others "
        "may be in the image and are background in the mask.",
    ),
    (
        ("landmarks_xy",),
        "23 points (x, y) in px: x to the right, y down, (0, 0) the centre of the top-left pixel. NaN: not "
        "labelled. Order: C2 centroid, C2 inferior anterior, C2 inferior posterior, then for each of C3 to C7 "
        "superior anterior, superior posterior, inferior anterior, inferior posterior.",
    ),
    (
        ("facing", "pixel_spacing_mm", "pixel_spacing_plane"),
        "Side of the image that the patient faces; side of a square pixel in mm, and the plane where it holds.",
    ),
    (
        ("label_source",),
        "Where landmarks, mask and classes come from; see annotations below.",
    ),
    (
        ("curvature", "cobb_c2_c7_deg", "sva_mm", "cci_percent"),
        "Curvature class; C2-C7 Cobb angle, sagittal vertical axis and cervical curvature index, computed from the "
        "landmarks.",
    ),
    (
        ("sex", "age", "disease"),
        "Of the person that was made up; no record of anybody. Age in years.",
    ),
    (
        ("artefact", "artefact_strength"),
        "Fault of the film that was simulated, and how strong, 0 to 1.",
    ),
    (
        ("image_sha256", "pixel_sha256", "mask_sha256"),
        "Of the PNG file, of its decoded pixels, and of the mask's PNG file.",
    ),
    (
        ("synthetic", "digital_source_type"),
        "Always true; and the IPTC term that is inside the PNG as XMP too.",
    ),
    (
        ("run_id", "generator", "generator_version", "generator_parameters", "recipe_sha256", "weights_sha256"),
        "What made the image.",
    ),
    (
        (
            "seed",
            "sample_index",
            "sampler",
            "num_steps",
            "guidance_scale",
            "eta",
            "batch_size",
            "dtype",
            "device",
            "condition_kind",
            "condition_sha256",
        ),
        "How it was made: with the above, enough to make it again.",
    ),
    (
        (
            "source_kind",
            "source_id",
            "source_sha256",
            "source_affine",
            "flipped",
            "overlays_found",
            "overlays_action",
        ),
        "Kind of source; the rest is for real films, and null here.",
    ),
)
"""Columns and what they mean. The whole of it, with types and ranges, is the JSON Schema of a row."""
