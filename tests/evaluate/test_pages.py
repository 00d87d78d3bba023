"""Pages of an evaluation: complete, self-contained, and without a real pixel where none may be shown."""

import base64
import hashlib
import io
import re
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from memorization_example import (
    build_memorization_figures,
    build_memorization_pictures,
    build_memorization_result,
    build_pairs,
)
from page_elements import Elements
from page_example import build_fidelity_figures, build_fidelity_pictures, build_fidelity_result, draw_films, near

from cspine_bench.evaluate.page.fidelity import build_fidelity_page
from cspine_bench.evaluate.page.memorization import build_memorization_page
from cspine_bench.evaluate.page.records import (
    AttackScores,
    DetectorView,
    FidelityPictures,
    MemorizationPictures,
    ParameterValues,
    Scores,
    Spectra,
)
from cspine_bench.measurement.figures import build_figure
from cspine_bench.metrics.copying import compute_similarity, remove_low_frequencies
from cspine_bench.metrics.intervals import Estimate
from cspine_bench.page.images import to_gray
from cspine_bench.page.tables import NotMeasured
from cspine_bench.page.wording import show_figure
from cspine_bench.results import parse_result, render_result

Films = list[NDArray[np.generic]]
HOSTILE = '"><script>alert(1)</script></svg>\ud800'


@pytest.fixture(scope="module")
def films() -> tuple[Films, Films, Films]:
    """Training films, films held out, and synthetic images that are copies of none."""
    return draw_films(8, 1), draw_films(6, 2), draw_films(10, 3)


@pytest.fixture(scope="module")
def pages(films: tuple[Films, Films, Films]) -> dict[str, bytes]:
    train, holdout, synthetic = films
    pictures = build_fidelity_pictures(train, synthetic)
    pairs = build_pairs(train, holdout, synthetic, num_copies=2)
    memorization = build_memorization_result(figures=build_memorization_figures(num_copies=2))
    found = build_memorization_pictures(train, synthetic, outcome="copies")
    return {
        "fidelity": build_fidelity_page(build_fidelity_result(), pictures),
        "fidelity without films": build_fidelity_page(build_fidelity_result(), pictures, real_pixels=False),
        "fidelity of nothing": build_fidelity_page(build_fidelity_result(figures=(), verdict=""), FidelityPictures()),
        "memorization": build_memorization_page(memorization, pairs, found),
        "memorization without films": build_memorization_page(
            memorization, pairs, found, real_pixels=False, real_ids=False
        ),
        "memorization of nothing": build_memorization_page(
            build_memorization_result(figures=(), verdict="", encoder=None, seed=None), [], MemorizationPictures()
        ),
    }


def decode_images(page: bytes) -> Films:
    found = re.findall(rb"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
    return [np.array(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def measure_likeness(images: Films, films: Films) -> NDArray[np.float32]:
    """Largest correlation of each image with a film, mirrored or not, as both would be seen at 64 px."""
    views = [(to_gray(one, side_px=64) * 255).astype(np.uint8) for one in (*images, *films)]
    maps = remove_low_frequencies(np.stack([*views, *(view[:, ::-1] for view in views[: len(images)])]))
    references = maps[len(images) : len(views)]
    found = compute_similarity(images=np.delete(maps, np.s_[len(images) : len(views)], axis=0), references=references)
    return found.max(axis=1).reshape(2, -1).max(axis=0)


@pytest.mark.parametrize("name", ["fidelity", "memorization"])
def test_every_figure_is_on_its_page(pages: dict[str, bytes], name: str) -> None:
    figures = build_fidelity_figures() if name == "fidelity" else build_memorization_figures(num_copies=2)
    text = Elements(pages[name]).text
    for figure in figures:
        shown = show_figure(figure)
        assert shown.value in text and shown.interval in text, figure


def test_a_figure_that_no_section_knows_is_shown_too() -> None:
    count = {"synthetic": 5}
    odd = build_figure(
        "liver_distance", near(98.76, 1), direction="lower", used=count, available=count, method="m",
        subgroup={"sex": "female"}, condition={"planet": "mars"}, note="odd",
    )  # fmt: skip
    for page in (
        build_fidelity_page(build_fidelity_result(figures=(odd,)), FidelityPictures()),
        build_memorization_page(build_memorization_result(figures=(odd,)), [], MemorizationPictures()),
    ):
        text = Elements(page).text
        assert all(words in text for words in ("liver distance", "98.8", "sex: female; planet: mars", "Odd."))


def test_what_is_missing_is_said(pages: dict[str, bytes]) -> None:
    fidelity, memorization = (Elements(pages[f"{name} of nothing"]).text for name in ("fidelity", "memorization"))
    assert fidelity.count("Not shown:") == 6 and memorization.count("Not shown:") == 6
    assert fidelity.count("gives no reason") == 6 and memorization.count("gives no reason") == 6
    for text in (fidelity, memorization):
        assert "The result states no verdict." in text
    assert "The result holds no bound" in memorization


def test_reasons_for_missing_parts_are_given() -> None:
    figures = [one for one in build_fidelity_figures() if "anatomy" not in one.name and one.name != "cmmd_distance"]
    why = (NotMeasured("anatomy", "no landmarks on the synthetic side"), NotMeasured("speed", "nobody asked"))
    page = build_fidelity_page(build_fidelity_result(figures=tuple(figures)), FidelityPictures(not_measured=why))
    text = Elements(page).text
    assert "Anatomy: No landmarks on the synthetic side." in text and "speed: Nobody asked." in text
    assert "CMMD: The result holds no such figure, and gives no reason" in text


def test_a_figure_without_interval_is_named() -> None:
    used = {"real": 4}
    bare = build_figure("recall", 0.5, direction="higher", used=used, available=used, note="too few images")
    text = Elements(build_fidelity_page(build_fidelity_result(figures=(bare,)), FidelityPictures())).text
    assert "Figures without an interval: Recall (too few images)." in text and "no interval" in text


def test_pages_ask_for_nothing(pages: dict[str, bytes]) -> None:
    for name, page in pages.items():
        elements = Elements(page)
        digest = base64.b64encode(hashlib.sha256(elements.style.encode()).digest()).decode()
        [policy] = [one["content"] for one in elements.of("meta") if one.get("http-equiv") == "Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; img-src data:; ") and f"'sha256-{digest}'" in policy, name
        assert not {"script", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in elements.found}, name
        assert "url(" not in elements.style and "@import" not in elements.style
        for _, attributes in elements.found:
            assert not [key for key in attributes if key.startswith("on") or key == "style"], name
            for key in ("src", "href", "xlink:href"):
                assert attributes.get(key, "#").startswith(("#", "data:image/png;base64,")), name


def test_pages_can_be_read_without_eyes_or_mouse(pages: dict[str, bytes]) -> None:
    for name, page in pages.items():
        elements = Elements(page)
        assert all(one.get("alt") for one in elements.of("img")), name
        assert all(one.get("aria-label") or one.get("aria-hidden") for one in elements.of("svg")), name
        assert all(one.get("scope") in ("row", "col") for one in elements.of("th")), name
        assert all(one.get("tabindex") == "0" and one["aria-label"] for one in elements.of("div") if one.get("role"))
        levels = [int(tag[1]) for tag, _ in elements.found if re.fullmatch(r"h\d", tag)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels)), name
        ids = [one["id"] for _, one in elements.found if "id" in one]
        assert len(ids) == len(set(ids)), name
        assert {one["href"][1:] for one in elements.of("a")} <= set(ids), name


def test_hostile_words_stay_words(films: tuple[Films, Films, Films]) -> None:
    train, holdout, synthetic = films
    named = [replace(one, sample_id=HOSTILE, train_id=HOSTILE) for one in build_pairs(train, holdout, synthetic[:2])]
    figures = tuple(one.model_copy(update={"note": HOSTILE}) for one in build_memorization_figures())
    memorization = build_memorization_page(
        build_memorization_result(figures=figures, verdict=HOSTILE), named,
        replace(build_memorization_pictures(train, synthetic), command=HOSTILE, warnings=(HOSTILE,)),
    )  # fmt: skip
    pictures = build_fidelity_pictures(train, synthetic)
    fidelity = build_fidelity_page(
        build_fidelity_result(device=HOSTILE),
        replace(
            pictures,
            synthetic=((HOSTILE, synthetic[0]),),
            anatomy=tuple(replace(one, name=HOSTILE, unit=HOSTILE) for one in pictures.anatomy),
        ),
    )
    for page in (memorization, fidelity):
        elements = Elements(page)
        assert not elements.of("script") and "<script>alert(1)</script>" in elements.text


def test_same_inputs_same_bytes(films: tuple[Films, Films, Films], pages: dict[str, bytes]) -> None:
    train, holdout, synthetic = films
    pairs = build_pairs(train, holdout, synthetic, num_copies=2)
    again = build_memorization_page(
        build_memorization_result(figures=build_memorization_figures(num_copies=2)), pairs[::-1],
        build_memorization_pictures(train, synthetic, outcome="copies"),
    )  # fmt: skip
    assert again == pages["memorization"], "nor does the order of the pairs matter"
    assert build_fidelity_page(build_fidelity_result(), build_fidelity_pictures(train, synthetic)) == pages["fidelity"]


def test_a_result_file_gives_the_page_of_its_result(pages: dict[str, bytes], films: tuple[Films, Films, Films]) -> None:
    read = parse_result(render_result(build_fidelity_result()), where="test")
    assert build_fidelity_page(read, build_fidelity_pictures(films[0], films[2])) == pages["fidelity"]


def test_without_films_no_picture_shows_one(films: tuple[Films, Films, Films], pages: dict[str, bytes]) -> None:
    train, holdout, _ = films
    real = train + holdout
    for name in ("fidelity", "memorization"):
        # The check itself: it sees the films where they are shown.
        assert (measure_likeness(decode_images(pages[name]), real) > 0.9).sum() >= 8
        hidden = decode_images(pages[f"{name} without films"])
        assert len(hidden) >= 8 and measure_likeness(hidden, real).max() < 0.6


def test_without_films_suspected_copies_are_withheld(films: tuple[Films, Films, Films]) -> None:
    train, holdout, synthetic = films
    # Not listed, not confirmed, but near: neither as a sample nor as a duplicate may it be shown.
    pairs = [
        replace(one, listed=False, confirmed=None) for one in build_pairs(train, holdout, synthetic[:1], num_copies=1)
    ]
    pictures = build_memorization_pictures(train, synthetic)
    copy = replace(pictures.duplicates[0], first_id=pairs[0].sample_id, first=pairs[0].synthetic)
    page = build_memorization_page(
        build_memorization_result(), pairs, replace(pictures, duplicates=(copy,)), real_pixels=False
    )
    assert decode_images(page) == []
    assert "withheld: may show a training film" in Elements(page).text


@pytest.mark.parametrize("outcome", [None, "underpowered"])
def test_without_films_a_search_that_could_not_tell_shows_nothing(
    films: tuple[Films, Films, Films], outcome: str | None
) -> None:
    train, holdout, synthetic = films
    pairs = build_pairs(train, holdout, synthetic)
    pictures = build_memorization_pictures(train, synthetic, outcome=outcome)
    page = build_memorization_page(build_memorization_result(), pairs, pictures, real_pixels=False)
    assert decode_images(page) == [] and "this search could not have told" in Elements(page).text


def test_real_ids_can_be_hidden(films: tuple[Films, Films, Films]) -> None:
    train, holdout, synthetic = films
    pairs = build_pairs(train, holdout, synthetic, num_copies=1)
    figures = tuple(
        one.model_copy(update={"note": "see train-0000, not train-00001"}) for one in build_memorization_figures()
    )
    result = build_memorization_result(figures=figures, verdict="synthetic-00000 is train-0000.")
    pictures = replace(
        build_memorization_pictures(train, synthetic), notes={"pairs": ("holdout-0001 and a/b.1 are odd",)}
    )
    pictures = replace(pictures, holdout_ids=("holdout-0009", "a/b.1"))
    page = build_memorization_page(result, pairs, pictures, real_ids=False)
    text = Elements(page).text
    assert not re.search(rb"train-\d{4}(?!\d)|holdout-\d{4}", page)
    assert (
        "synthetic-00000 is training film 1." in text
        and "train-00001" in text
        and "Held-out film 2 and held-out film 7 are odd." in text
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outcome": "none"}, "no copy was found, but the result counts 2"),
        ({"outcome": "none"}, "2 pairs below are confirmed copies"),
        ({"outcome": "none", "gate": False}, "a gate below was missed"),
    ],
)
def test_a_verdict_against_its_figures_is_called_out(
    films: tuple[Films, Films, Films], changes: dict[str, object], words: str
) -> None:
    train, holdout, synthetic = films
    pictures = build_memorization_pictures(train, synthetic, outcome=changes["outcome"])
    if "gate" in changes:
        pictures = replace(pictures, gates=(replace(pictures.gates[0], passed=False),))
    pairs = build_pairs(train, holdout, synthetic, num_copies=2)
    figures = build_memorization_figures(num_copies=2)
    assert words in Elements(build_memorization_page(build_memorization_result(figures=figures), pairs, pictures)).text


def test_the_bound_is_told_in_images() -> None:
    page = build_memorization_page(build_memorization_result(), [], MemorizationPictures())
    # 0 of 96 by Clopper-Pearson: 1 - 0.025^(1/96) = 3.77 %, over a recall of 0.9: 4.19 %, 4.0 images.
    assert "at most 4.19 % of the synthetic images (4.0 of 96)" in Elements(page).text


def test_the_ladder_compares_at_its_own_number_of_images(films: tuple[Films, Films, Films]) -> None:
    words = "rest on other numbers of images"
    figures = build_fidelity_figures()
    assert words in Elements(build_fidelity_page(build_fidelity_result(figures=figures), FidelityPictures())).text
    count = {"real": 300, "synthetic": 300}
    on_ladder = tuple(
        build_figure(
            name, near(0.5, 0.1), direction="lower", used=count, available=count, method="m",
            condition={"degradation": "synthetic", "strength": ""},
        )
        for name in ("frechet_distance", "kernel_distance", "coverage")
    )  # fmt: skip
    page = build_fidelity_page(build_fidelity_result(figures=figures + on_ladder), FidelityPictures())
    assert words not in Elements(page).text


def test_a_search_without_recall_excludes_nothing() -> None:
    used = {"synthetic": 96}
    rate = build_figure(
        "copy_rate", Estimate(0.01, 0.001, 1.0), direction="lower", used=used, available=used, method="m", unit="share"
    )
    page = build_memorization_page(build_memorization_result(figures=(rate,)), [], MemorizationPictures())
    text = Elements(page).text
    assert "No share of copies is excluded" in text and "At least 0.100 %" in text and "At most" not in text


def test_odd_pictures_make_a_page() -> None:
    dot, blank = np.full((1, 1), 3, np.uint8), np.zeros((3, 700), np.uint16)
    nothing = np.array([])
    odd = FidelityPictures(
        real=(("dot", dot),),
        synthetic=(("blank", blank),),
        spectra=Spectra(np.zeros(1), np.ones(1), np.ones(1)),
        anatomy=(ParameterValues("CCI", "percent", nothing, np.full(3, np.nan)),),
        quality=(ParameterValues("sharpness", "", np.ones(3), np.ones(2)),),
        detector=DetectorView(change=np.full((2, 2), np.nan)),
    )
    [pair] = build_pairs([dot], [blank], [blank])
    flat = Scores("score", np.ones(2), np.ones(1), "low", 1.0)
    found = MemorizationPictures(
        scores=(flat,), p_values=nothing, attacks=(AttackScores("loss", "", nothing, nothing),)
    )
    for page in (
        build_fidelity_page(build_fidelity_result(), odd),
        build_memorization_page(build_memorization_result(), [replace(pair, move=None)], found),
    ):
        numbers = [
            value for _, one in Elements(page).found for key, value in one.items() if key in ("x", "y", "d", "cx")
        ]
        assert numbers and not [value for value in numbers if "nan" in value or "inf" in value]


def test_fifty_pairs_stay_small() -> None:
    noise = [np.random.default_rng(seed).integers(0, 256, (256, 256), np.uint8) for seed in range(3)]
    pairs = build_pairs(noise[:1], noise[1:2], noise[2:] * 50)
    page = build_memorization_page(build_memorization_result(), pairs, MemorizationPictures())
    assert page.count(b"data:image/png") == 200
    assert len(page) < 15_000_000, "of noise, which nothing compresses"
