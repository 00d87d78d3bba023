"""The recipe's checks, and the network that it describes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cspine_bench.anatomy.classes import CURVATURE_CLASSES, SEXES
from cspine_bench.ddpm.classes import NOT_TOLD, count_class_ids, encode_classes
from cspine_bench.ddpm.network import DROPPED_CONDITION, UnshuffledUNet, build_network, encode_skeleton, predict_clean
from cspine_bench.ddpm.recipe import DdpmRecipe, NetworkRecipe
from cspine_bench.ddpm.skeleton import draw_skeleton
from cspine_bench.errors import RecipeError
from cspine_bench.recipe import build_recipe, load_recipe

SMALL = NetworkRecipe(unshuffle=2, widths=(16, 16), attention_levels=(1,))
RECIPES = Path(__file__).parents[2] / "generation" / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.name)
def test_recipes_in_the_repository_are_valid(path: Path) -> None:
    load_recipe(path, DdpmRecipe)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objektive": "v"}, "unknown setting 'objektive'; did you mean 'objective'"),
        ({"objective": "x0"}, "objective = 'x0' is not possible"),
        ({"size": 60}, "size 60 is not a multiple of 16"),
        ({"min_snr_gamma": 5.0}, "weighted by the times"),
        ({"objective": "edm", "min_snr_gamma": 5.0}, "edm is weighted by the times"),
        ({"objective": "epsilon", "zero_terminal_snr": True}, "not epsilon: from noise alone, its prediction tells"),
        ({"zero_terminal_snr": True}, "not flow: its path ends in noise as it is"),
        ({"classes": ["curvature"], "condition": "skeleton"}, "the skeleton decides the curvature"),
        ({"classes": ["sex", "sex"]}, "names one twice"),
        ({"training": {"times": "log-normal"}}, "log-normal is for objective edm, this is flow"),
        ({"training": {"accumulation_steps": 3}}, "accumulation_steps 3 do not divide batch_size 16"),
        ({"training": {"ema_lengths": [0.1, 0.1]}}, "names one twice"),
        ({"training": {"ema_lengths": [0.3]}}, "ema_lengths.0 = 0.3 is not possible"),
        ({"network": {"attention_levels": [3]}}, r"attention_levels \[3\] do not exist"),
        ({"training": {"num_steps": 10, "checkpoint_steps": [5, 11]}}, r"checkpoint_steps \[11\] lie beyond"),
        ({"training": {"batch_size": 0}}, "training.batch_size = 0"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate"),
        ({"condition_dropout": 1.0}, "condition_dropout"),
    ],
)
def test_impossible_recipes_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_recipe(values, DdpmRecipe, where="test")


TOLD = {
    "nothing": {},
    "skeleton": {"condition": "skeleton"},
    "classes": {"classes": ("curvature", "sex")},
    "both": {"condition": "skeleton", "classes": ("sex",)},
}


def build_small(told: str, refine_channels: int = 0) -> UnshuffledUNet:
    torch.manual_seed(0)
    shape = SMALL.model_copy(update={"refine_channels": refine_channels})
    return build_network(DdpmRecipe(size=16, network=shape, **TOLD[told])).eval()


def draw_told(told: str, count: int) -> dict[str, torch.Tensor]:
    """What such a network is told of `count` images, each something else."""
    given = {}
    if told in ("skeleton", "both"):
        given["condition"] = 2 * torch.rand(count, 1, 16, 16) - 1
    if told in ("classes", "both"):
        given["class_ids"] = torch.arange(count) % 2 + 1
    return given


@pytest.mark.parametrize("refine_channels", [0, 8])
@pytest.mark.parametrize("told", TOLD)
def test_shapes_and_dependence(told: str, refine_channels: int) -> None:
    network = build_small(told, refine_channels)
    xt, t, given = torch.randn(3, 1, 16, 16), torch.tensor([0.1, 0.5, 0.9]), draw_told(told, 3)
    with torch.no_grad():
        output = network(xt, t, **given)
        assert output.shape == xt.shape and output.dtype == torch.float32
        # Each image is its own; time, map and class count.
        alone = network(xt[1:2], t[1:2], **{name: value[1:2] for name, value in given.items()})
        torch.testing.assert_close(alone, output[1:2], atol=1e-5, rtol=1e-4)
        assert (network(xt, 1 - t, **given) - output)[::2].abs().max() > 1e-3
        for name, value in given.items():
            withheld = given | {name: torch.full_like(value, DROPPED_CONDITION if name == "condition" else NOT_TOLD)}
            assert (network(xt, t, **withheld) - output).abs().amax(dim=(1, 2, 3)).min() > 1e-3


def test_a_withheld_map_leaves_the_network_of_the_image_alone() -> None:
    network = build_small("skeleton")
    plain = build_small("nothing")
    weights = network.unet.state_dict()
    weights["conv_in.weight"] = weights["conv_in.weight"][:, : SMALL.unshuffle**2]
    plain.unet.load_state_dict(weights)
    xt, t = torch.randn(2, 1, 16, 16), torch.tensor([0.2, 0.7])
    with torch.no_grad():
        dropped = network(xt, t, torch.full_like(xt, DROPPED_CONDITION))
        torch.testing.assert_close(dropped, plain(xt, t), atol=1e-6, rtol=0)


def test_refining_is_the_same_at_every_place_of_a_block() -> None:
    network = build_small("nothing", refine_channels=8)
    assert network.refine is not None
    planes = torch.zeros(1, 5, 16, 16)
    with torch.no_grad():
        nothing = network.refine(planes)
        answers = []
        for row, column in ((6, 6), (7, 7)):  # two places of a block of 2 x 2
            planes.zero_()[..., row, column] = 1
            answers.append((network.refine(planes) - nothing)[0, 0, row - 3 : row + 4, column - 3 : column + 4])
    assert answers[0].abs().max() > 1e-3
    torch.testing.assert_close(answers[0], answers[1])


def test_a_map_spans_minus_one_to_one() -> None:
    points = torch.full((1, 23, 2), float("nan"))
    points[0, 0] = 8.0
    encoded = encode_skeleton(draw_skeleton(points, 16))
    assert (float(encoded.min()), float(encoded.max())) == (pytest.approx(-1, abs=1e-3), 1)


def test_what_a_network_is_told_is_given_where_it_belongs() -> None:
    image, t, ids = torch.zeros(1, 1, 16, 16), torch.zeros(1), torch.ones(1, dtype=torch.int64)
    with pytest.raises(ValueError, match="takes no condition"):
        build_small("nothing")(image, t, image)
    with pytest.raises(ValueError, match="takes no class ids"):
        build_small("nothing")(image, t, None, ids)
    with pytest.raises(ValueError, match="needs a condition"):
        build_small("skeleton")(image, t)
    with pytest.raises(ValueError, match="needs class ids"):
        build_small("both")(image, t, image)


@pytest.mark.parametrize("told", ["skeleton", "classes", "both"])
def test_guidance_goes_from_withheld_to_told_and_beyond(told: str) -> None:
    recipe = DdpmRecipe(size=16, network=SMALL, objective="v", **TOLD[told])
    network, given = build_small(told), draw_told(told, 2)
    # Faint, so that nothing is clamped.
    xt = 0.01 * torch.randn(2, 1, 16, 16)
    withheld = {name: torch.zeros_like(value) for name, value in given.items()}

    def predict(scale: float | None, told_now: dict[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            return predict_clean(network, recipe, xt, 0.1, guidance_scale=scale, **told_now)

    plain, full = predict(None, withheld), predict(None, given)
    assert full.abs().max() < 0.9 and (full - plain).abs().max() > 1e-3
    torch.testing.assert_close(predict(0.0, given), plain, atol=1e-6, rtol=0)
    torch.testing.assert_close(predict(1.0, given), full, atol=1e-6, rtol=0)
    torch.testing.assert_close(predict(2.0, given), 2 * full - plain, atol=1e-5, rtol=0)


def test_guidance_of_a_network_that_is_told_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="this one is told nothing"):
        predict_clean(build_small("nothing"), DdpmRecipe(), torch.zeros(1, 1, 16, 16), 0.5, guidance_scale=2.0)


def test_every_combination_of_classes_has_an_id() -> None:
    classes = ("curvature", "sex")
    assert count_class_ids(classes) == 18 and count_class_ids(()) == 1
    told = [
        encode_classes(classes, {"curvature": curvature, "sex": sex})
        for curvature in (None, *CURVATURE_CLASSES)
        for sex in (None, *SEXES)
    ]
    assert told == list(range(18))
    assert encode_classes(("sex",), {"sex": "female"}) == 2 and encode_classes(classes, {}) == NOT_TOLD
    with pytest.raises(ValueError, match="no sex 'm'; there are male, female"):
        encode_classes(classes, {"sex": "m"})
    with pytest.raises(ValueError, match="the network is told sex, not curvature"):
        encode_classes(("sex",), {"curvature": "lordotic"})
