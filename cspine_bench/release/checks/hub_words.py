"""Words that the Hugging Face Hub knows in a dataset card.

Source: huggingface/hub-docs, datasetcard.md and docs/hub/datasets-*.md; huggingface/huggingface.js,
packages/tasks/src/pipelines.ts.
"""

from typing import Final

CARD_KEYS: Final = frozenset(
    (
        "annotations_creators", "arxiv", "config_names", "configs", "dataset_info", "extra_gated_button_content",
        "extra_gated_description", "extra_gated_fields", "extra_gated_heading", "extra_gated_prompt", "language",
        "language_bcp47", "language_creators", "language_details", "license", "license_details", "license_link",
        "license_name", "multilinguality", "paperswithcode_id", "pretty_name", "size_categories", "source_datasets",
        "tags", "task_categories", "task_ids", "thumbnail", "train-eval-index", "viewer",
    )
)  # fmt: skip

TASKS: Final = frozenset(
    (
        "any-to-any", "audio-classification", "audio-text-to-text", "audio-to-audio", "automatic-speech-recognition",
        "depth-estimation", "document-question-answering", "feature-extraction", "fill-mask", "graph-ml",
        "image-classification", "image-feature-extraction", "image-segmentation", "image-text-to-text",
        "image-to-3d", "image-to-image", "image-to-text", "image-to-video", "keypoint-detection", "mask-generation",
        "multiple-choice", "object-detection", "other", "question-answering", "reinforcement-learning", "robotics",
        "sentence-similarity", "summarization", "table-question-answering", "table-to-text", "tabular-classification",
        "tabular-regression", "tabular-to-text", "text-classification", "text-generation", "text-ranking",
        "text-retrieval", "text-to-3d", "text-to-audio", "text-to-image", "text-to-speech", "text-to-video",
        "text2text-generation", "time-series-forecasting", "token-classification", "translation",
        "unconditional-image-generation", "video-classification", "video-text-to-text", "visual-document-retrieval",
        "visual-question-answering", "voice-activity-detection", "zero-shot-classification",
        "zero-shot-image-classification", "zero-shot-object-detection",
    )
)  # fmt: skip

_SIZES: Final = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


def name_size(num_samples: int) -> str:
    """The Hub's size category: `n<1K`, `1K<n<10K` ... `n>1T`."""
    for place, name in enumerate(_SIZES):
        if num_samples < 1000 * 10**place:
            return f"n<{name}" if place == 0 else f"{_SIZES[place - 1]}<n<{name}"
    return f"n>{_SIZES[-1]}"
