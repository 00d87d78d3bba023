"""The ladder of known degradations: order, counts, what a killed run leaves, and what it says of synthetic images."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent.parent / "dataset"))

from toy_source import ToySource

from cspine_bench.dataset.write import write_dataset
from cspine_bench.evaluate.fidelity.ladder import Ladder, measure_ladder
from cspine_bench.evaluate.fidelity.recipe import FidelityRecipe
from cspine_bench.features.encoder import Encoder
from cspine_bench.imaging.degrade import Degradation, add_noise, blur, stretch_contrast
from cspine_bench.measurement.inputs import Images, open_images
from cspine_bench.measurement.work import Work
from cspine_bench.metrics.frechet import frechet_distance
from cspine_bench.results import Figure

STEPS = (
    Degradation("blur", "weak", 1, blur(0.0145)),
    Degradation("blur", "middling", 2, blur(0.017)),
    Degradation("blur", "strong", 3, blur(0.03)),
    Degradation("noise", "weak", 1, add_noise(0.05)),
    Degradation("noise", "strong", 2, add_noise(1.0)),
    Degradation("contrast", "all gray", 1, stretch_contrast(0.0)),
)
RECIPE = FidelityRecipe(ladder_count=100)
Features = NDArray[np.float32]


@dataclass
class Contrasts:
    """Mean and mean square of blocks of 8 x 8 pixels; counts images."""

    num_encoded: int = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.num_encoded += len(images)
        return torch.cat([functional.avg_pool2d(part, 8).flatten(1) for part in (images, images.square())], dim=1)


def make_encoder() -> tuple[Encoder, Contrasts]:
    network = Contrasts()
    encoder = Encoder("contrasts", None, 24, 127.5, 74.0, 18, torch.device("cpu"), network)
    return encoder, network


@pytest.fixture(scope="module")
def real(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Images:
    """120 films of 60 patients."""
    folder = make_once("ladder-toys", lambda path: write_dataset(ToySource(120), path))
    return open_images("real", folder)


@pytest.fixture(scope="module")
def pixels(real: Images) -> NDArray[np.uint8]:
    return np.stack([image for _, image in real.iter_images()])


def degrade(images: NDArray[Any], step: Degradation) -> NDArray[Any]:
    return np.stack([step.apply(image, np.random.default_rng(number)) for number, image in enumerate(images)])


def measure(real: Images, pixels: NDArray[Any], synthetic: Features, **more: Any) -> Ladder:
    encoder, _ = make_encoder()
    images = replace(
        real,
        role="synthetic",
        sample_ids=tuple(f"s{row}" for row in range(len(synthetic))),
        group_ids=tuple(f"s{row}" for row in range(len(synthetic))),
    )
    given: dict[str, Any] = {"recipe": RECIPE, "seed": 1, "work": Work(None, {}), "ladder": STEPS}
    return measure_ladder(
        real,
        images,
        encoder,
        synthetic_features=synthetic,
        **({"real_features": encoder.encode(pixels)} | given | more),
    )


def by_step(found: Ladder, name: str) -> dict[tuple[str, str], Figure]:
    return {
        (figure.condition["degradation"], figure.condition["strength"]): figure
        for figure in found.figures
        if figure.name == name
    }


def test_stronger_is_further_and_synthetic_images_find_their_place(real: Images, pixels: NDArray[np.uint8]) -> None:
    encoder, _ = make_encoder()
    # Fresh noise, blurred as in the middle of the ladder.
    fresh = np.random.default_rng(5).integers(0, 255, (90, 24, 24)).astype(np.uint8)
    found = measure(real, pixels, encoder.encode(degrade(fresh, STEPS[1])))
    assert found.count == 50
    for name in ("frechet_distance", "kernel_distance"):
        figures = by_step(found, name)
        assert list(figures) == [("none", ""), *((step.name, step.strength) for step in STEPS), ("synthetic", "")]
        blurred = [figures["none", ""].value, *(figures["blur", step.strength].value for step in STEPS[:3])]
        assert blurred == sorted(blurred)
        assert figures["noise", "strong"].value > figures["noise", "weak"].value
        for (kind, _), figure in figures.items():
            assert figure.interval is not None and "Of 50 x 50 images" in figure.note
            assert figure.n_used == ({"real": 50, "synthetic": 50} if kind == "synthetic" else {"real": 100})
    recall = by_step(found, "recall")
    assert recall["blur", "strong"].value < recall["none", ""].value
    readings = {(reading.name, reading.degradation): reading for reading in found.readings}
    reading = readings["frechet_distance", "blur"]
    assert (reading.further_than, reading.like, reading.nearer_than) == (("weak",), ("middling",), ("strong",))
    assert reading.text == (
        "By the Fréchet distance, the synthetic images are further from the real images than real ones under blur "
        "(weak), not told apart from real ones under blur (middling) and nearer than real ones under blur (strong)."
    )
    assert readings["frechet_distance", "none"].further_than == ("",)
    assert found.sentences[-1].startswith("All sets of the ladder have 50 images.")


def test_the_halves_share_no_patient(real: Images, pixels: NDArray[np.uint8]) -> None:
    """Two equal images of each patient: halves that parted them would be nearly the same."""
    encoder, _ = make_encoder()
    features = encoder.encode(pixels)
    twins = np.repeat(features[::2], 2, axis=0)
    strangers = tuple(f"p{row}" for row in range(120))
    kept, parted = (
        by_step(
            measure(
                side, pixels, twins, real_features=twins, recipe=FidelityRecipe(ladder_count=120), ladder=STEPS[:1]
            ),
            "frechet_distance",
        )["none", ""].value
        for side in (
            replace(real, group_ids=tuple(f"p{row // 2}" for row in range(120))),
            replace(real, group_ids=strangers),
        )
    )
    assert kept > 1.3 * parted


def test_what_is_like_the_real_images_is_not_called_the_same(real: Images, pixels: NDArray[np.uint8]) -> None:
    encoder, _ = make_encoder()
    fresh = np.random.default_rng(6).integers(0, 255, (60, 24, 24)).astype(np.uint8)
    found = measure(real, pixels, encoder.encode(fresh), ladder=STEPS[:1])
    texts = [reading.text for reading in found.readings if reading.degradation == "none"]
    assert len(texts) == 2
    assert all(text.endswith("not show that they are the same.") for text in texts)


def test_no_step_is_encoded_twice_and_no_step_is_stale(real: Images, pixels: NDArray[np.uint8], tmp_path: Path) -> None:
    encoder, network = make_encoder()
    given: dict[str, Any] = {
        "real_features": encoder.encode(pixels),
        "synthetic_features": encoder.encode(pixels),
        "recipe": RECIPE,
        "work": Work(tmp_path, {"run": 1}),
    }
    told: list[tuple[int, int]] = []
    network.num_encoded = 0
    first = measure_ladder(
        real,
        real,
        encoder,
        **given,
        seed=1,
        ladder=STEPS[:2],
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert network.num_encoded == 100 and told == [(50, 100), (100, 100)]
    again = measure_ladder(real, real, encoder, **given, seed=1, ladder=STEPS[:3])
    assert network.num_encoded == 150
    assert by_step(again, "recall")["blur", "weak"] == by_step(first, "recall")["blur", "weak"]
    measure_ladder(real, real, encoder, **given, seed=2, ladder=STEPS[:1])
    assert network.num_encoded == 200
    stronger = Degradation("blur", "weaker", 1, blur(0.01))
    measure_ladder(real, real, encoder, **given, seed=1, ladder=(stronger,))
    assert network.num_encoded == 250


def test_a_figure_of_a_step_is_that_of_degraded_images(real: Images, pixels: NDArray[np.uint8]) -> None:
    encoder, _ = make_encoder()
    features = encoder.encode(pixels)
    whole = FidelityRecipe(ladder_count=120)
    found = measure(real, pixels, features[:60], recipe=whole, ladder=STEPS[-1:])
    gray = by_step(found, "frechet_distance")["contrast", "all gray"]
    degraded = encoder.encode(degrade(pixels, STEPS[-1]), allow_blank=True)
    # Of halves here, of all there; gray images hardly differ.
    assert gray.value == pytest.approx(frechet_distance(real=features, synthetic=degraded), rel=0.05)


def test_too_few_images_are_named(real: Images, pixels: NDArray[np.uint8]) -> None:
    encoder, _ = make_encoder()
    features = encoder.encode(pixels)
    few_synthetic = measure(real, pixels, features[:12], ladder=STEPS[:1])
    assert len(by_step(few_synthetic, "recall")) == 2 and few_synthetic.readings == ()
    assert {one.condition["degradation"] for one in few_synthetic.not_measured} == {"synthetic"}
    assert "12 synthetic images are too few for the ladder, 20 are needed" in few_synthetic.not_measured[0].reason
    few_real = measure(real, pixels, features, recipe=FidelityRecipe(ladder_count=30))
    assert few_real.figures == () and "two halves of the real images hold" in few_real.not_measured[0].reason
