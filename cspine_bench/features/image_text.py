"""Models of image and text, of the kind CLIP: an image belongs to the sentence that lies nearest to it.

    model = load_image_text("clip-folder")
    similarity = model.encode_images(images) @ model.encode_texts(["a cat", "a dog"]).T       cosines

The architecture comes from the package transformers, weights from safetensors alone, preprocessing from the model's own
preprocessor_config.json without its centre crop, as `cspine_bench.features.hub` does it for vision transformers.

Source: Radford et al. 2021 (2103.00020), section 3.1: classes by sentences, several of a class by their mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cspine_bench.errors import CheckpointError, MissingExtraError
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.hub import fetch_files, hash_weights, keep_quiet, read_json, read_preprocessing

IMAGE_TEXT: Final = "image-text"
_TOKENIZER: Final = ("tokenizer.json", "tokenizer_config.json")
_KNOWN: Final = ("clip",)


@dataclass(frozen=True)
class ImageText:
    """A model of image and text.

    Attributes:
        encoder: of images; its features are those beside which sentences lie, not yet of unit length.
        scale: by which cosines are multiplied before the softmax, as it was trained.
    """

    encoder: Encoder
    scale: float
    _model: Any
    _tokenizer: Any

    @property
    def name(self) -> str:
        """Of the model."""
        return self.encoder.name

    def encode_images(self, images: NDArray[Any]) -> NDArray[np.float64]:
        """Gray images as `Encoder.encode` takes them, float64 (N, D) of unit length."""
        return _to_unit(self.encoder.encode(images))

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Sentences, float64 (len(texts), D) of unit length; what is longer than the model reads is cut."""
        longest = int(self._model.config.text_config.max_position_embeddings)
        tokens = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt"
        ).to(self.encoder.device)
        text = self._model.text_model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        return _to_unit(self._model.text_projection(text.pooler_output).float().cpu().numpy())


class ProjectedImage(nn.Module):
    """A model's view of an image, where its sentences are."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = self.model.vision_model(pixel_values=images).pooler_output
        projected: torch.Tensor = self.model.visual_projection(seen)
        return projected


def load_image_text(source: str, device: str = "cpu") -> ImageText:
    """A model of image and text.

    Args:
        source: a folder with config.json, preprocessor_config.json, tokenizer.json, tokenizer_config.json and
            model.safetensors; or OWNER/NAME@REVISION.
        device: where it shall be.

    Raises:
        CheckpointError: a file is missing or damaged and cannot be fetched, or the kind of model is not known.
        MissingExtraError: the package transformers is not installed.
    """
    folder = Path(source)
    if not folder.is_dir():
        repository, _, revision = source.partition("@")
        if repository.count("/") != 1 or not revision:
            raise CheckpointError(
                f"{IMAGE_TEXT} {source}: no such folder, and no OWNER/NAME@REVISION; a commit is needed, because a "
                "branch moves"
            )
        folder = fetch_files(repository, revision, name=source, also=_TOKENIZER)
    config = read_json(folder / "config.json")
    if config.get("model_type") not in _KNOWN:
        raise CheckpointError(
            f"{folder / 'config.json'}: model_type {config.get('model_type')!r} has no text beside its images that is "
            f"known here; known are {', '.join(_KNOWN)}"
        )
    side, mean, scale, resize = read_preprocessing(folder / "preprocessor_config.json")
    weights_sha256 = hash_weights(folder)
    model, tokenizer = _load(folder, device)
    encoder = Encoder(
        name=f"{IMAGE_TEXT}:{source if '@' in source else folder.resolve().name}",
        weights_sha256=weights_sha256,
        input_size_px=side,
        mean=mean,
        scale=scale,
        dimension=int(model.config.projection_dim),
        device=torch.device(device),
        network=ProjectedImage(model),
        channels=3,
        resize=resize,
        details=(("pooling", "projection beside sentences"),),
    )
    return ImageText(encoder, float(model.logit_scale.exp()), model, tokenizer)


def _load(folder: Path, device: str) -> tuple[Any, Any]:
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise MissingExtraError("transformers", "hub") from error
    from safetensors import SafetensorError

    if missing := [name for name in _TOKENIZER if not (folder / name).is_file()]:
        raise CheckpointError(f"{folder}: lacks {', '.join(missing)}, without which no sentence is read; fetch them")
    try:
        with keep_quiet(transformers):
            model, report = transformers.CLIPModel.from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        words = str(error).strip().partition("\n")[0][:300]
        raise CheckpointError(f"{folder}: cannot be loaded ({words}); fetch it again") from error
    lacking = sorted([*report["missing_keys"], *map(str, report["mismatched_keys"])])
    if lacking:
        named = ", ".join(lacking[:3])
        raise CheckpointError(f"{folder}: {len(lacking)} weights are missing or misshapen ({named}); fetch them again")
    return model.float().eval().requires_grad_(False).to(device), tokenizer


def _to_unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True))
