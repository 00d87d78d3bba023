"""Vision transformers of the Hugging Face Hub: DINOv2 and RAD-DINO by name, others by owner, name and revision.

The architecture comes from the package transformers, the weights from safetensors alone (no pickle, no code of the
repository), and what the network takes from the model's own preprocessor_config.json. The features are the class token
after the last norm. One thing is not done as the model's own preprocessor does it: a centre crop. Whole images are
brought to the crop's size, since what a crop cuts off would be in no figure; dgm-eval does the same for DINOv2.

Source: Oquab et al. 2023 (2304.07193), DINOv2; Perez-Garcia et al. 2024 (2401.10815), RAD-DINO; Stein et al. 2023
(2306.04675) for the distance by DINOv2 ViT-L/14 at 224 px, and its code dgm-eval, `dgm_eval/models/dinov2.py`.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from cspine_bench.errors import CheckpointError, MissingExtraError
from cspine_bench.features.encoder import BICUBIC, BILINEAR, Encoder, Resize
from cspine_bench.provenance import sha256_file, sha256_json

DINOV2: Final = "dinov2"
RAD_DINO: Final = "rad-dino"
HUB: Final = "hub"

_CONFIG, _PREPROCESSOR, _WEIGHTS = "config.json", "preprocessor_config.json", "model.safetensors"
_INDEX: Final = f"{_WEIGHTS}.index.json"
_FETCHED: Final = (_CONFIG, _PREPROCESSOR, _WEIGHTS, _INDEX, "model-*-of-*.safetensors")
_RESIZES: Final[dict[int, Resize]] = {2: BILINEAR, 3: BICUBIC}
"""By Pillow's number, which is what preprocessor_config.json holds."""
_MODEL_TYPES: Final[dict[str, dict[str, Any]]] = {
    "dinov2": {},
    "dinov2_with_registers": {},
    "dinov3_vit": {},
    "vit": {"add_pooling_layer": False},
}
"""Those whose first token, after the last norm, stands for the image; with what they are built by."""
_IGNORED: Final = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")
"""Of config.json: what changes no number."""


@dataclass(frozen=True)
class HubModel:
    """A model that has a name of its own here.

    Attributes:
        repository: on the Hub.
        revision: commit that is fetched, or a branch where no commit is known to be the one that everybody uses.
        config: what config.json must say, so that another network does not go by this name.
    """

    repository: str
    revision: str
    config: Mapping[str, int | str]


_BASE: Final[dict[str, int | str]] = {"model_type": "dinov2", "patch_size": 14}
HUB_MODELS: Final[dict[str, HubModel]] = {
    # Large, and no other size, because the published distances by DINOv2 are by this one.
    DINOV2: HubModel(
        "facebook/dinov2-large",
        "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c",
        {**_BASE, "hidden_size": 1024, "num_hidden_layers": 24},
    ),
    RAD_DINO: HubModel("microsoft/rad-dino", "main", {**_BASE, "hidden_size": 768, "num_hidden_layers": 12}),
}


def load_named(name: str, device: str = "cpu", *, path: Path | None = None) -> Encoder:
    """One of `HUB_MODELS`.

    Args:
        name: of it.
        device: where the network shall be.
        path: the folder that holds its three files; None: the Hub's cache on this machine, else a download.

    Raises:
        CheckpointError: as `load_folder`; or the files are nowhere and cannot be fetched: says how to get them.
        MissingExtraError: the package transformers is not installed.
    """
    model = HUB_MODELS[name]
    folder = fetch_files(model.repository, model.revision, name=name) if path is None else path
    found = read_json(folder / _CONFIG)
    other = [f"{key} {found.get(key)!r} instead of {value!r}" for key, value in model.config.items()
             if found.get(key) != value]  # fmt: skip
    if other:
        raise CheckpointError(
            f"{folder / _CONFIG}: is not {name}: {', '.join(other)}; use {model.repository}, or {HUB}:{folder}"
        )
    return load_folder(folder, name=name, device=device)


def load_hub(source: str, device: str = "cpu") -> Encoder:
    """Any vision transformer of a known kind.

    Args:
        source: a folder with config.json, preprocessor_config.json and model.safetensors; or OWNER/NAME@REVISION.
        device: where the network shall be.

    Raises:
        CheckpointError: as `load_folder` and `fetch_files`; or a repository has no revision.
        MissingExtraError: the package transformers is not installed.
    """
    if Path(source).is_dir():
        return load_folder(Path(source), name=f"{HUB}:{Path(source).resolve().name}", device=device)
    repository, _, revision = source.partition("@")
    if repository.count("/") != 1 or not revision:
        raise CheckpointError(
            f"{HUB}:{source}: no such folder, and no OWNER/NAME@REVISION; a commit is needed, because a branch moves"
        )
    return load_folder(
        fetch_files(repository, revision, name=f"{HUB}:{source}"), name=f"{HUB}:{repository}", device=device
    )


def load_folder(folder: Path, *, name: str, device: str = "cpu") -> Encoder:
    """The encoder whose files lie in a folder, as `save_pretrained` leaves them and the Hub gives them.

    Args:
        folder: holds config.json, preprocessor_config.json, and model.safetensors, whole or in parts with an index.
        name: of the encoder.
        device: where the network shall be.

    Raises:
        CheckpointError: a file is missing or damaged, weights are missing, or the kind of model or its preprocessing
            is not known here.
        MissingExtraError: the package transformers is not installed.
    """
    config = read_json(folder / _CONFIG)
    kind = config.get("model_type")
    if kind not in _MODEL_TYPES:
        raise CheckpointError(
            f"{folder / _CONFIG}: model_type {kind!r}; known are {', '.join(_MODEL_TYPES)}, whose first token stands "
            "for the image: export the pooled features of others as ONNX or TorchScript"
        )
    side, mean, scale, resize = read_preprocessing(folder / _PREPROCESSOR)
    weights_sha256 = hash_weights(folder)
    network = _load_network(folder, _MODEL_TYPES[kind]).to(device)
    return Encoder(
        name=name,
        weights_sha256=weights_sha256,
        input_size_px=side,
        mean=mean,
        scale=scale,
        dimension=_find_dimension(network, folder, side, device),
        device=torch.device(device),
        network=network,
        channels=3,
        resize=resize,
        details=(
            ("pooling", "class token after the last norm"),
            ("config_sha256", sha256_json({key: value for key, value in config.items() if key not in _IGNORED})),
        ),
    )


def fetch_files(repository: str, revision: str, *, name: str, also: tuple[str, ...] = ()) -> Path:
    """A folder with a model's files: from the Hub's cache on this machine (below HF_HOME), else by a download.

    Args:
        repository: on the Hub.
        revision: commit, or a branch.
        name: of the encoder, for the error.
        also: names of files beside the three that every encoder has.

    Raises:
        CheckpointError: they are not there and cannot be fetched; says how to get them.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    settings: dict[str, Any] = {"repo_id": repository, "revision": revision, "allow_patterns": [*_FETCHED, *also]}
    with suppress(LocalEntryNotFoundError, HFValidationError):
        cached = Path(huggingface_hub.snapshot_download(**settings, local_files_only=True))
        if _is_whole(cached, also):
            return cached
    missing: Exception | None = None
    try:
        # The smallest first: where there is no internet, it says so in a quarter of the time.
        huggingface_hub.hf_hub_download(repository, _CONFIG, revision=revision)
        fetched = Path(huggingface_hub.snapshot_download(**settings))
        if _is_whole(fetched, also):
            return fetched
        words = f"what arrived is not the files {', '.join((_CONFIG, _PREPROCESSOR, *also))} and {_WEIGHTS}"
    except (OSError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        missing, words = error, str(error).strip().partition("\n")[0][:200]
    files = " ".join((_CONFIG, _PREPROCESSOR, *also, _WEIGHTS))
    raise CheckpointError(
        f"{name}: {repository} at {revision} is not whole in the cache below HF_HOME, and cannot be fetched ({words}). "
        f"Where there is internet, run `hf download {repository} {files} "
        f"--revision {revision} --local-dir FOLDER`, and name the folder: {name if name in HUB_MODELS else HUB}:FOLDER"
    ) from missing


def _is_whole(folder: Path, also: tuple[str, ...]) -> bool:
    return all((folder / file).is_file() for file in (_CONFIG, _PREPROCESSOR, *also)) and bool(_list_weights(folder))


def read_json(path: Path) -> dict[str, Any]:
    """One of a model's JSON files.

    Raises:
        CheckpointError: it cannot be read, or is no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); a model's folder holds {_CONFIG}, {_PREPROCESSOR} and "
            f"{_WEIGHTS}"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path}: is no JSON ({error}); fetch it again") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: is no JSON object; fetch it again")
    return found


def read_preprocessing(path: Path) -> tuple[int, tuple[float, ...], tuple[float, ...], Resize]:
    """Side in px, mean and scale in gray levels of 0..255, and resize, from a model's preprocessor_config.json.

    Raises:
        CheckpointError: it cannot be read, or asks for more than that.
    """
    facts = read_json(path)
    try:
        side = _find_side(facts["crop_size"] if facts.get("do_center_crop") else facts["size"])
        resize = _RESIZES[facts["resample"]]
        to_one = float(facts["rescale_factor"])
        normalised = facts["do_normalize"]
        mean = tuple(float(value) / to_one for value in (facts["image_mean"] if normalised else (0, 0, 0)))
        scale = tuple(float(value) / to_one for value in (facts["image_std"] if normalised else (1, 1, 1)))
        if not facts["do_resize"] or not facts["do_rescale"] or (len(mean), len(scale)) != (3, 3) or min(scale) <= 0:
            raise ValueError("no resize, no rescale, or not three means and deviations")
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{path}: is no preprocessing that is known here ({type(error).__name__}: {error}); known is: resize (2 or "
            "3, bilinear or bicubic) to a square, rescale by a factor, and three means and deviations"
        ) from error
    return side, mean, scale, resize


def _find_side(size: Any) -> int:
    if isinstance(size, dict):
        sides = {size["shortest_edge"]} if "shortest_edge" in size else {size["height"], size["width"]}
        if len(sides) != 1:
            raise ValueError(f"the size {size} is no square")
        (size,) = sides
    if not isinstance(size, int) or not 8 <= size <= 4096:
        raise ValueError(f"the size {size!r} is not between 8 and 4096 px")
    return size


def _list_weights(folder: Path) -> list[Path]:
    """The files of weights that are there; none where one is missing."""
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if not (folder / _INDEX).is_file():
        return []
    parts = [folder / part for part in sorted(set(read_json(folder / _INDEX).get("weight_map", {}).values()))]
    return parts if all(part.is_file() for part in parts) else []


def hash_weights(folder: Path) -> str:
    """Hash of the one file of weights, as the Hub shows it; of several, over their names and hashes.

    Raises:
        CheckpointError: a file is missing.
    """
    files = _list_weights(folder)
    if not files:
        raise CheckpointError(
            f"{folder / _WEIGHTS}: no such file (or a part of it is missing); a model's folder holds {_CONFIG}, "
            f"{_PREPROCESSOR} and {_WEIGHTS}. Weights that are pickled are not loaded"
        )
    hashes = {file.name: sha256_file(file) for file in files}
    return hashes[_WEIGHTS] if _WEIGHTS in hashes else sha256_json(hashes)


class ClassToken(nn.Module):
    """A model's first token after its last norm."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens: torch.Tensor = self.model(pixel_values=images).last_hidden_state
        return tokens[:, 0]


def _load_network(folder: Path, settings: Mapping[str, Any]) -> nn.Module:
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise MissingExtraError("transformers", "hub") from error
    from safetensors import SafetensorError

    try:
        with keep_quiet(transformers):
            model, report = transformers.AutoModel.from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False,
                output_loading_info=True, **settings,
            )  # fmt: skip
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        words = str(error).strip().partition("\n")[0][:300]
        raise CheckpointError(f"{folder}: cannot be loaded ({words}); fetch it again") from error
    # What a file does not hold, transformers fills with random numbers.
    missing = sorted([*report["missing_keys"], *map(str, report["mismatched_keys"])])
    if missing:
        raise CheckpointError(
            f"{folder}: {len(missing)} weights are missing or of another shape ({', '.join(missing[:3])}); {_CONFIG} "
            f"and {_WEIGHTS} do not belong together: fetch both again"
        )
    return ClassToken(model.float()).eval().requires_grad_(False)


@contextmanager
def keep_quiet(transformers: Any) -> Iterator[None]:
    """Without its progress bar and its list of heads that are not used."""
    log = transformers.utils.logging
    verbosity, bar = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bar:
            log.enable_progress_bar()


def _find_dimension(network: nn.Module, folder: Path, side: int, device: str) -> int:
    probe = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    try:
        with torch.inference_mode():
            found = network(probe)
    except (RuntimeError, ValueError) as error:
        words = str(error).strip().partition("\n")[0][:200]
        raise CheckpointError(f"{folder}: does not take an image of {side} x {side} px: {words}") from error
    if not torch.isfinite(found).all():
        raise CheckpointError(f"{folder}: gives NaN or infinity; its weights are damaged, fetch them again")
    return int(found.shape[1])
