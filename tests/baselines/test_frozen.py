"""Frozen encoders: probes that know what their features hold and no more, and classes by sentences."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cspine_bench.anatomy.classes import CURVATURE_CLASSES
from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.frozen import Encoded, classify_by_text, encode_cases, probe_encoder
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.errors import CheckpointError, DataError, RecipeError
from cspine_bench.features.image_text import load_image_text
from cspine_bench.features.registry import load_encoder

sys.path.insert(0, str(Path(__file__).parent))

from baseline_example import draw_cases
from phantom_folders import build_recipe

CLASSES = ("lordotic", "straight-sigmoid", "kyphotic")


def measure(recipe: BaselineRecipe, predictions: dict[str, NDArray[Any]], cases: Cases) -> float:
    score = build_task(recipe).score(predictions, cases, seed=0)[0]
    return float(score.statistic(np.ones((1, len(cases))))[0])


def test_landmarks_that_features_hold_are_found_and_others_are_not() -> None:
    recipe = build_recipe()
    train, validation, test = (draw_cases(count, seed) for count, seed in ((80, 0), (30, 1), (30, 2)))
    task = build_task(recipe)
    generator = np.random.default_rng(0)
    mix = generator.normal(size=(46, 60))

    def encode(cases: Cases, *, knows: bool) -> Encoded:
        noise = generator.normal(size=(len(cases), 60))
        held = cases.landmarks_xy.reshape(len(cases), 46) @ mix
        return Encoded(cases, (held + 0.01 * noise if knows else noise).astype(np.float32))

    floor = measure(recipe, task.predict_floor(train, test, seed=0)[1], test)
    found = {
        knows: probe_encoder(
            task, recipe, train=encode(train, knows=knows), validation=encode(validation, knows=knows),
            test=encode(test, knows=knows),
        )
        for knows in (True, False)
    }  # fmt: skip
    assert measure(recipe, found[True], test) < 0.1 * floor
    # Noise is worth nothing, and a well-chosen penalty keeps it from doing harm.
    assert 0.9 * floor < measure(recipe, found[False], test) < 1.2 * floor
    assert np.isnan(found[True]["confidence"]).all()


def test_landmarks_that_some_radiographs_lack_are_learnt_from_the_others() -> None:
    recipe, train = build_recipe(), draw_cases(40, 0)
    points = train.landmarks_xy.copy()
    points[:20, 5] = np.nan
    whole = Encoded(train, train.landmarks_xy.reshape(40, 46).astype(np.float32))
    partly = replace(whole, cases=replace(train, landmarks_xy=points))
    said = probe_encoder(build_task(recipe), recipe, train=partly, validation=whole, test=whole)
    assert np.isfinite(said["landmarks_xy"]).all()
    assert np.abs(said["landmarks_xy"] - train.landmarks_xy).mean() < 0.1


def with_curvature(cases: Cases, classes: list[str]) -> Cases:
    return replace(cases, label_values={**cases.label_values, "curvature": tuple(classes)})


def test_classes_that_features_hold_are_told() -> None:
    recipe = build_recipe("classification", label="curvature-3")
    task, generator = build_task(recipe), np.random.default_rng(0)

    def encode(count: int, seed: int, names: tuple[str, ...]) -> Encoded:
        classes = [names[number % len(names)] for number in range(count)]
        places = np.array([CURVATURE_CLASSES.index(name) for name in classes])  # type: ignore[arg-type]
        cases = with_curvature(draw_cases(count, seed), classes)
        return Encoded(cases, (np.eye(5)[places] + 0.1 * generator.normal(size=(count, 5))).astype(np.float32))

    train, validation = encode(60, 0, CURVATURE_CLASSES), encode(20, 1, CURVATURE_CLASSES)
    test = encode(20, 2, CURVATURE_CLASSES)
    said = probe_encoder(task, recipe, train=train, validation=validation, test=test)
    assert measure(recipe, said, test.cases) > 0.99
    assert np.allclose(said["probabilities"].sum(axis=1), 1) and not said["unseen"].any()
    # A class that training lacked has no chance, and is not called likely for being rare.
    poor = encode(40, 3, ("lordotic", "straight"))
    said = probe_encoder(task, recipe, train=poor, validation=validation, test=test)
    assert (said["probabilities"][:, 2] == 0).all() and not (said["predicted"] == 2).any()
    assert said["unseen"].tolist() == [[False, False, True]] * 20


def test_an_encoder_is_asked_by_name_and_constant_features_do_no_harm() -> None:
    recipe = build_recipe()
    sides = [
        encode_cases(draw_cases(count, seed), load_encoder("pixels")) for count, seed in ((30, 0), (12, 1), (12, 2))
    ]
    sides = [replace(side, features=np.pad(side.features, ((0, 0), (0, 2)), constant_values=7)) for side in sides]
    task = build_task(recipe)
    said = probe_encoder(task, recipe, train=sides[0], validation=sides[1], test=sides[2])
    floor = measure(recipe, task.predict_floor(sides[0].cases, sides[2].cases, seed=0)[1], sides[2].cases)
    assert measure(recipe, said, sides[2].cases) < floor


def test_what_no_probe_answers_is_refused() -> None:
    side = Encoded(draw_cases(4, 0), np.zeros((4, 2), np.float32))
    recipe = build_recipe("segmentation")
    with pytest.raises(RecipeError, match="no linear probe answers segmentation"):
        probe_encoder(build_task(recipe), recipe, train=side, validation=side, test=side)
    none = side.take(np.array([], np.int64))
    recipe = build_recipe()
    with pytest.raises(DataError, match="a probe chooses its penalty on the validation split"):
        probe_encoder(build_task(recipe), recipe, train=side, validation=none, test=side)


@pytest.fixture(scope="module")
def clip(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """CLIP with two layers and twenty words, at random weights, in the layout of the real files."""
    transformers = pytest.importorskip("transformers", reason="the extra cspine-bench[hub] is not installed")
    tokenizers = pytest.importorskip("tokenizers")

    def fill(folder: Path) -> None:
        torch.manual_seed(0)
        small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
        ids = {"vocab_size": 20, "max_position_embeddings": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        config = transformers.CLIPConfig(
            text_config={**small, **ids}, vision_config={**small, "image_size": 28, "patch_size": 14}, projection_dim=16
        )
        model = transformers.CLIPModel(config)
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        model.save_pretrained(folder)
        words = ["<pad>", "<s>", "</s>", "<unk>", "a", "film", "of", "spine", "that", "is", *CLASSES]
        tokens = {word: number for number, word in enumerate(words)}
        tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(tokens, unk_token="<unk>"))
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
        )
        marks = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
        transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)
        facts = {"crop_size": 28, "do_center_crop": True, "do_normalize": True, "do_rescale": True, "do_resize": True}
        facts |= {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "resample": 3, "rescale_factor": 1 / 255}
        (folder / "preprocessor_config.json").write_text(json.dumps({**facts, "size": 28}))

    return make_once("image-text-clip", fill)


PROMPTS = {name: (f"a film of a spine that is {name}", f"a {name} spine") for name in CLASSES}


def test_classes_by_sentences_are_those_of_transformers(clip: Path) -> None:
    import transformers

    model = load_image_text(str(clip))
    reference = transformers.CLIPModel.from_pretrained(clip).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(clip)
    cases = draw_cases(6, 0, size=28)
    recipe = build_recipe("classification", label="curvature-3")
    said = classify_by_text(recipe, model, cases, PROMPTS)

    def to_unit(vectors: torch.Tensor) -> torch.Tensor:
        return vectors / vectors.norm(dim=-1, keepdim=True)

    with torch.inference_mode():
        pixels = (torch.from_numpy(cases.pixels / 255).float()[:, None].repeat(1, 3, 1, 1) - 0.5) / 0.25
        seen = to_unit(reference.visual_projection(reference.vision_model(pixel_values=pixels).pooler_output))
        names = []
        for texts in PROMPTS.values():
            tokens = tokenizer(list(texts), padding=True, truncation=True, max_length=8, return_tensors="pt")
            text = reference.text_model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
            names.append(to_unit(to_unit(reference.text_projection(text.pooler_output)).mean(dim=0)))
        expected = (reference.logit_scale.exp() * seen @ torch.stack(names).T).softmax(dim=1)
    assert np.allclose(said["probabilities"], expected.numpy(), atol=1e-5)
    assert said["probabilities"].std() > 0.01 and np.array_equal(said["predicted"], expected.argmax(dim=1).numpy())
    assert model.encoder.describe()["weights_sha256"] == model.encoder.weights_sha256


def test_sentences_must_be_of_the_tasks_classes(clip: Path) -> None:
    model, cases = load_image_text(str(clip)), draw_cases(2, 0)
    recipe = build_recipe("classification", label="curvature-3")
    with pytest.raises(RecipeError, match=r"needs a sentence or more for each of lordotic.*it has none"):
        classify_by_text(recipe, model, cases)
    with pytest.raises(RecipeError, match=r"it has lordotic \(1\), flat \(1\)"):
        classify_by_text(recipe, model, cases, {"lordotic": ["a"], "flat": ["b"]})
    with pytest.raises(RecipeError, match="landmarking has none"):
        classify_by_text(build_recipe(), model, cases, PROMPTS)


def test_a_folder_without_text_is_no_model_of_image_and_text(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder, and no OWNER/NAME@REVISION"):
        load_image_text(str(tmp_path / "nothing"))
    for path in clip.iterdir():
        if path.name != "tokenizer.json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match=r"lacks tokenizer\.json"):
        load_image_text(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(CheckpointError, match="model_type 'vit' has no text beside its images"):
        load_image_text(str(tmp_path))
