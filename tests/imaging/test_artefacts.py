"""Simulated artefacts: depths by hand, what each does and does not do, and that a batch is as good as one by one."""

import numpy as np
import pytest
import torch

from cspine_bench.imaging.artefacts import (
    ARTEFACTS,
    KINDS,
    Faults,
    clip_ends,
    darken,
    draw_faults,
    join_faults,
    lighten,
    shade,
    spoil_images,
)
from cspine_bench.metrics.structural_similarity import structural_similarity
from cspine_bench.sources.phantom.artefacts import ARTEFACTS as PHANTOM_ARTEFACTS

SIZE = 96


def draw_faults_of(kind: str, strength: float, count: int = 4, seed: int = 0) -> Faults:
    faults = draw_faults(count, torch.Generator().manual_seed(seed), strength=(0.5, 1.0), clean_share=0.0)
    return Faults(
        torch.full((count,), KINDS.index(kind)), torch.full((count,), strength), faults.draws, faults.seeds
    )  # fmt: skip


def draw_images(count: int = 4) -> torch.Tensor:
    """A bright disc with an edge and fine structure on a dark ground."""
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    disc = 0.15 + 0.6 / (1 + np.exp((np.hypot(rows, columns) - 28) / 1.5)) + 0.04 * np.sin(rows) * np.cos(1.3 * columns)
    images = torch.from_numpy(np.tile(disc, (count, 1, 1)).astype(np.float32))[:, None]
    return (images * 255).round() / 255


def compare(images: torch.Tensor, faults: Faults) -> float:
    spoilt = spoil_images(images, faults)
    return float(structural_similarity(preds=spoilt, target=images, data_range=1.0).mean())


def test_changes_of_gray_level_by_hand() -> None:
    gray = torch.tensor([0.0, 0.45, 1.0])
    assert lighten(gray, 1.0).tolist() == pytest.approx([0.55, 0.55 + 0.45 * 0.45, 1.0])
    assert darken(gray, 1.0).tolist() == pytest.approx([0.0, 0.0, 0.55 / 0.8])
    assert clip_ends(torch.tensor([0.3, 0.45, 0.5, 0.7]), 1.0).tolist() == pytest.approx([0.0, 0.45, 0.65, 1.0])
    assert shade(np.float32([0.5, 1.0]), 1.0, np.float32([-1.0, 1.0])).tolist() == pytest.approx([0.4, 1.0])


def test_the_names_are_those_of_phantoms() -> None:
    assert set(ARTEFACTS) == set(PHANTOM_ARTEFACTS)


@pytest.mark.parametrize("name", list(ARTEFACTS))
def test_a_stronger_artefact_harms_more(name: str) -> None:
    images = draw_images()
    weak, strong = (compare(images, draw_faults_of(name, strength)) for strength in (0.4, 0.9))
    assert strong < weak < 1
    assert compare(images, draw_faults_of("none", 0.0)) == 1.0


def test_gray_levels_are_those_of_a_file() -> None:
    images = draw_images(16)
    for levels in (255, 65535):
        faults = draw_faults(16, torch.Generator().manual_seed(1), strength=(0.2, 1.0), clean_share=0.2)
        spoilt = spoil_images(images, faults, levels=levels).double()
        assert float(spoilt.min()) >= 0 and float(spoilt.max()) <= 1
        assert float((spoilt * levels - (spoilt * levels).round()).abs().max()) < 1e-2


def test_an_image_of_a_batch_is_spoilt_as_by_itself() -> None:
    images = draw_images(24)
    before = images.clone()
    generators = [torch.Generator().manual_seed(seed) for seed in range(24)]
    drawn = [draw_faults(1, generator, strength=(0.2, 1.0), clean_share=0.1) for generator in generators]
    together = spoil_images(images, join_faults(drawn))
    apart = torch.cat([spoil_images(images[place : place + 1], one) for place, one in enumerate(drawn)])
    # Sums in another order may fall to the other side of a rounding step.
    assert float((together - apart).abs().max()) <= 1.01 / 255
    assert torch.equal(images, before)
    assert len(set(join_faults(drawn).kinds.tolist())) >= 6


def test_kinds_are_drawn_as_asked() -> None:
    faults = draw_faults(9000, torch.Generator().manual_seed(2), strength=(0.3, 0.6), clean_share=0.2)
    shares = np.bincount(faults.kinds.numpy(), minlength=len(KINDS)) / len(faults)
    # Five standard errors of a share.
    assert shares == pytest.approx([0.2, *[0.1] * 8], abs=5 * (0.16 / 9000) ** 0.5)
    spoilt = faults.strengths[faults.kinds > 0]
    assert 0.3 <= float(spoilt.min()) < 0.31 and 0.59 < float(spoilt.max()) <= 0.6
    assert not faults.strengths[faults.kinds == 0].any()


def test_no_artefact_moves_anatomy() -> None:
    """A dot stays where it is: its centre of mass, where an artefact spreads it."""
    dot = torch.zeros(4, 1, SIZE, SIZE)
    dot[:, :, 20, 28] = 1.0
    for name in ("motion", "blur"):
        faults = draw_faults_of(name, 1.0)
        spread = spoil_images(dot, faults, levels=65535)[:, 0]
        assert float(spread.max()) < 0.6
        places = torch.arange(SIZE, dtype=torch.float32)
        total = spread.sum(dim=(1, 2))
        rows = (spread.sum(dim=2) * places).sum(dim=1) / total
        columns = (spread.sum(dim=1) * places).sum(dim=1) / total
        assert torch.allclose(rows, torch.tensor(20.0), atol=0.05) and torch.allclose(
            columns, torch.tensor(28.0), atol=0.05
        )


def test_noise_has_the_depth_that_is_stated() -> None:
    gray = torch.full((2, 1, 128, 128), 0.5)
    noisy = spoil_images(gray, draw_faults_of("noise", 0.5, count=2), levels=65535)
    # 16384 draws: five standard errors of a standard deviation are under 3 %.
    assert noisy.std(dim=(1, 2, 3)).tolist() == pytest.approx([0.06, 0.06], rel=0.03)
    assert not torch.equal(noisy[0], noisy[1])


def test_as_many_faults_as_images() -> None:
    with pytest.raises(ValueError, match="4 images need as many faults, got 3"):
        spoil_images(draw_images(), draw_faults_of("blur", 0.5, count=3))
