"""Vision transformers of the Hub, at random weights in the layout of the real files: what is kept, what is refused."""

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from numpy.typing import NDArray
from PIL import Image

from cspine_bench.errors import CheckpointError, MissingExtraError
from cspine_bench.features import hub
from cspine_bench.features.registry import load_encoder
from cspine_bench.provenance import sha256_file

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREPROCESSING = {
    "crop_size": {"height": 28, "width": 28},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": MEAN,
    "image_processor_type": "BitImageProcessor",
    "image_std": DEVIATION,
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 32},
}
"""As facebook/dinov2-large has it, but smaller."""

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 14, "image_size": 42}


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="the extra cspine-bench[hub] is not installed")


@pytest.fixture(scope="module")
def saved(transformers: Any, make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """DINOv2 with two layers; no bias or norm is left at zero or one, so that each must arrive."""

    def fill(folder: Path) -> None:
        torch.manual_seed(0)
        model = transformers.Dinov2Model(transformers.Dinov2Config(**SMALL))
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        model.save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING))

    return make_once("hub-dinov2", fill)


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to do damage to."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture
def small_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, model in hub.HUB_MODELS.items():
        facts = {"model_type": "dinov2", "hidden_size": 32}
        monkeypatch.setitem(hub.HUB_MODELS, name, hub.HubModel(model.repository, model.revision, facts))


def expect(transformers: Any, folder: Path, images: NDArray[np.uint8], side: int = 28) -> NDArray[np.float32]:
    """By Pillow and transformers, one image at a time."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    found = []
    for image in images:
        resized = Image.fromarray(image.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
        rgb = np.repeat(np.asarray(resized).clip(0, 255)[None, :, :, None] / 255, 3, axis=3)
        normalised = ((rgb - MEAN) / DEVIATION).transpose(0, 3, 1, 2).astype(np.float32)
        with torch.inference_mode():
            found.append(model(pixel_values=torch.from_numpy(normalised)).pooler_output.numpy())
    return np.concatenate(found)


@pytest.mark.parametrize("name", ["dinov2", "rad-dino", "hub"])
def test_the_numbers_are_those_of_transformers(
    transformers: Any, saved: Path, images: NDArray[np.uint8], small_names: None, name: str
) -> None:
    encoder = load_encoder(f"{name}:{saved}")
    expected = expect(transformers, saved, images)
    found = encoder.encode(images)
    assert found.shape == (5, 32)
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)
    assert np.array_equal(encoder.encode(images.astype(np.uint16) * 257), found)
    assert np.linalg.norm(found[0] - found[1]) > 0.01 * np.linalg.norm(found[0])
    facts = encoder.describe()
    assert facts["name"] == (f"hub:{saved.name}" if name == "hub" else name)
    assert facts["weights_sha256"] == sha256_file(saved / "model.safetensors")
    assert facts["input_size_px"] == 28 and facts["pooling"] == "class token after the last norm"
    assert facts["normalisation"] == "(gray level of 0..255 - (123.675, 116.28, 103.53)) / (58.395, 57.12, 57.375)"
    copy = pickle.loads(pickle.dumps(encoder))
    assert copy.sha256 == encoder.sha256 and np.array_equal(copy.encode(images), found)


@pytest.mark.parametrize(
    ("model", "config", "settings"),
    [
        ("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", {"num_register_tokens": 3}),
        ("ViTForImageClassification", "ViTConfig", {"intermediate_size": 48}),
        ("DINOv3ViTModel", "DINOv3ViTConfig", {"intermediate_size": 48}),
    ],
    ids=["registers", "vit", "dinov3"],
)
def test_other_kinds_give_their_class_token(
    transformers: Any, tmp_path: Path, images: NDArray[np.uint8], model: str, config: str, settings: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    network = getattr(transformers, model)(getattr(transformers, config)(**{**SMALL, **settings, "image_size": 28}))
    network.eval().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({**PREPROCESSING, "do_center_crop": None, "resample": 2, "size": {"height": 28, "width": 28}})
    )
    encoder = load_encoder(f"hub:{tmp_path}")
    assert encoder.describe()["resize"] == "bilinear with antialiasing in floats, one channel"
    grays = [
        np.asarray(Image.fromarray(i.astype(np.float32)).resize((28, 28), Image.Resampling.BILINEAR)) for i in images
    ]
    rgb = (np.repeat(np.stack(grays)[..., None] / 255, 3, axis=3) - MEAN) / DEVIATION
    body = getattr(network, "vit", network)
    with torch.inference_mode():
        tokens = body(pixel_values=torch.from_numpy(rgb.transpose(0, 3, 1, 2).astype(np.float32))).last_hidden_state
    found, expected = encoder.encode(images), tokens[:, 0].numpy()
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)


def test_weights_in_parts_are_the_same_network(
    transformers: Any, saved: Path, tmp_path: Path, images: NDArray[np.uint8]
) -> None:
    transformers.AutoModel.from_pretrained(saved).save_pretrained(tmp_path, max_shard_size="40KB")
    shutil.copy(saved / "preprocessor_config.json", tmp_path)
    parts = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(parts) > 1
    whole, split = load_encoder(f"hub:{saved}"), load_encoder(f"hub:{tmp_path}")
    assert np.array_equal(split.encode(images), whole.encode(images))
    assert split.weights_sha256 != whole.weights_sha256
    parts[-1].unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: no such file \(or a part of it is missing\)"):
        load_encoder(f"hub:{tmp_path}")


def test_a_pinned_hash_is_held_against_the_weights(saved: Path) -> None:
    right = sha256_file(saved / "model.safetensors")
    plain = load_encoder(f"hub:{saved}")
    assert load_encoder(f"hub:{saved}#sha256={right}").sha256 == plain.sha256
    with pytest.raises(CheckpointError, match=rf"its weights have the hash {right}, asked for is {'0' * 64}"):
        load_encoder(f"hub:{saved}#sha256={'0' * 64}")


def test_pins_are_for_every_encoder() -> None:
    weights = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    assert load_encoder(f"efficientnet-lite0#sha256={weights}").name == "efficientnet-lite0"
    with pytest.raises(CheckpointError, match="pixels: its weights have the hash None"):
        load_encoder(f"pixels#sha256={weights}")
    with pytest.raises(ValueError, match="stand 64 digits"):
        load_encoder("pixels#sha256=abc")


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def drop_weight(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["layernorm.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def spoil_weight(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["layernorm.weight"][3] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.safetensors").unlink(), r"model\.safetensors: no such file .* pickled are not loaded"),
        (lambda f: (f / "model.safetensors").write_bytes(b"no weights"), "cannot be loaded .* fetch it again"),
        (drop_weight, r"1 weights are missing or of another shape \(layernorm\.weight\)"),
        (spoil_weight, "gives NaN or infinity"),
        (lambda f: (f / "config.json").unlink(), r"config\.json: cannot be read .* holds config\.json"),
        (lambda f: (f / "config.json").write_text("{"), r"config\.json: is no JSON"),
        (lambda f: edit(f / "config.json", model_type="clip"), "model_type 'clip'; known are dinov2, "),
        (lambda f: edit(f / "config.json", hidden_size=64), "cannot be loaded|of another shape"),
        (lambda f: (f / "preprocessor_config.json").unlink(), r"preprocessor_config\.json: cannot be read"),
        (lambda f: edit(f / "preprocessor_config.json", resample=1), "no preprocessing that is known here .*KeyError"),
        (lambda f: edit(f / "preprocessor_config.json", image_std=[1, 0, 1]), "three means and deviations"),
        (lambda f: edit(f / "preprocessor_config.json", crop_size={"height": 28, "width": 14}), "is no square"),
        (lambda f: edit(f / "preprocessor_config.json", do_rescale=False), "no rescale"),
    ],
)  # fmt: skip
def test_what_is_not_whole_is_refused(folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        load_encoder(f"hub:{folder}")


def test_another_network_does_not_go_by_a_name(saved: Path) -> None:
    with pytest.raises(
        CheckpointError,
        match=r"is not dinov2: hidden_size 32 instead of 1024, num_hidden_layers 2 instead of 24; use facebook/dinov2",
    ):
        load_encoder(f"dinov2:{saved}")


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def test_missing_weights_stop_and_say_how_to_get_them(hub_cache: Path) -> None:
    with pytest.raises(
        CheckpointError,
        match=r"dinov2: facebook/dinov2-large at 47b73eefe9\w* is not whole in the cache .* cannot be fetched .*"
        r"hf download facebook/dinov2-large config.* --revision 47b73eefe9\w* .* folder: dinov2:FOLDER",
    ):
        load_encoder("dinov2")
    with pytest.raises(CheckpointError, match=r"microsoft/rad-dino at main is not whole in the cache"):
        load_encoder("rad-dino")
    with pytest.raises(CheckpointError, match=r"owner/name at v1 .* name the folder: hub:FOLDER"):
        load_encoder("hub:owner/name@v1")
    for source in ("owner/name", "nowhere", "a/b/c@main", "owner/name@"):
        with pytest.raises(CheckpointError, match=r"no such folder, and no OWNER/NAME@REVISION; a commit is needed"):
            load_encoder(f"hub:{source}")


def test_weights_come_from_the_cache_of_the_hub(saved: Path, hub_cache: Path, small_names: None) -> None:
    commit = "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c"
    model = hub_cache / "models--facebook--dinov2-large"
    shutil.copytree(saved, model / "snapshots" / commit)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    named = load_encoder("dinov2")
    assert named.weights_sha256 == sha256_file(saved / "model.safetensors")
    assert load_encoder("hub:facebook/dinov2-large@main").describe() == {
        **named.describe(), "name": "hub:facebook/dinov2-large",
    }  # fmt: skip
    (model / "snapshots" / commit / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"not whole in the cache .*what arrived is not the files"):
        load_encoder("dinov2")


def test_a_missing_package_is_one_clear_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'cspine-bench\[hub\]'"):
        load_encoder(f"hub:{folder}")
