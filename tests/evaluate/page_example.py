"""A result and pictures as `evaluate fidelity` might hand them to its page: made up, for tests of pages alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cspine_bench.evaluate.page.records import (
    DetectorView,
    FidelityPictures,
    LadderPicture,
    OddSpine,
    ParameterValues,
    Spectra,
)
from cspine_bench.imaging.degrade import LADDER
from cspine_bench.measurement.figures import CLOPPER_PEARSON, JACKKNIFE, build_figure
from cspine_bench.metrics.intervals import Estimate, clopper_pearson_interval
from cspine_bench.page.tables import NotMeasured
from cspine_bench.results import EncoderUsed, Figure, Floor, Input, Result

SIDE = 64
DISTANCES = {"frechet_distance": 24.1, "frechet_distance_limit": 11.6, "kernel_distance": 0.0031, "cmmd_distance": 0.42}
SHARES = {"precision": 0.81, "recall": 0.62, "density": 0.88, "coverage": 0.74}


@dataclass(frozen=True)
class Clue:
    name: str
    auroc: Estimate
    contribution: float


@dataclass(frozen=True)
class Fact:
    name: str
    real: float
    synthetic: float
    auroc: Estimate


def draw_films(count: int, seed: int, *, side: int = SIDE, dtype: type = np.uint8) -> list[NDArray[np.generic]]:
    """Radiographs of a sort: one column for all, each with a texture of its own."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] / side
    column = np.exp(-(((columns - 0.5 - 0.08 * np.sin(3 * rows)) / 0.12) ** 2)) * (0.75 + 0.25 * np.sin(40 * rows))
    films = []
    for _ in range(count):
        texture = ndimage.gaussian_filter(generator.standard_normal((side, side)), 1.2)
        film = 0.25 + 0.45 * column + 0.12 * texture / texture.std()
        films.append((film.clip(0, 1) * np.iinfo(dtype).max).astype(dtype))
    return films


def near(value: float, width: float) -> Estimate:
    return Estimate(value, value - width / 2, value + width / 2)


def build_fidelity_figures() -> tuple[Figure, ...]:
    used = {"real": 600, "synthetic": 96}
    figures = []
    for name, value in (DISTANCES | SHARES).items():
        lower = name in DISTANCES
        best = 0.3 * value if lower else min(1.0, value + 0.15)
        floor = Floor(
            value=best,
            low=0.8 * best,
            high=1.2 * best if lower else max(best, min(1.05 * best, 1.0)),
            method="10 random halves by patient",
            n_used=(300, 300),
            matched=0.9 * value,
        )
        figures.append(
            build_figure(
                name,
                near(value, 0.2 * value),
                direction="lower" if lower else "higher",
                used=used,
                available={"real": 600, "synthetic": 120},
                method=JACKKNIFE,
                floor=floor,
            )
        )
        for group, count in (({"sex": "female"}, 52), ({"sex": "male"}, 44), ({"age_band": "40-49"}, 51)):
            figures.append(
                build_figure(
                    name,
                    near(1.1 * value, 0.4 * value),
                    direction="lower" if lower else "higher",
                    method=JACKKNIFE,
                    used={"real": 3 * count, "synthetic": count},
                    available={"real": 3 * count, "synthetic": count},
                    subgroup=group,
                )
            )
    for name in ("frechet_distance", "kernel_distance", "coverage"):
        start = 0.2 * DISTANCES[name] if name in DISTANCES else 0.95
        for degradation, strength, step in [("none", "", 0), *((one.name, one.strength, one.step) for one in LADDER)]:
            factor = 1 + (2.6**step - 1 if name in DISTANCES else -0.28 * step)
            condition = {"degradation": degradation} | ({"strength": strength} if strength else {})
            figures.append(
                build_figure(
                    name,
                    near(start * factor, 0.15 * start),
                    direction="lower" if name in DISTANCES else "higher",
                    used={"real": 300, "degraded": 300},
                    available={"real": 600, "degraded": 600},
                    method=JACKKNIFE,
                    condition=condition,
                )
            )
    return (*figures, *build_other_figures(used))


def build_other_figures(used: dict[str, int]) -> list[Figure]:
    figures = []
    for parameter, unit, value in (("C2-7Cobb", "deg", 2.1), ("CCI", "percent", 1.4), ("SVA", "mm", 3.2)):
        figures.append(
            build_figure(
                "anatomy_wasserstein_distance",
                near(value, 0.6),
                direction="lower",
                used=used,
                available=used,
                method=JACKKNIFE,
                unit=unit,
                condition={"parameter": parameter},
                floor=Floor(value=0.7, low=0.4, high=1.1, method="10 random halves by patient", n_used=(300, 300)),
            )
        )
    for side, count in (("real", 2), ("synthetic", 9)):
        share = clopper_pearson_interval(successes=count, total=used[side])
        figures.append(
            build_figure(
                "implausible_share",
                share,
                direction="none" if side == "real" else "lower",
                used={side: used[side]},
                available={side: used[side]},
                method=CLOPPER_PEARSON,
                unit="share",
                condition={"side": side},
            )
        )
    for name in ("noise_power", "sharpness", "dynamic_range"):
        figures.append(
            build_figure(
                "quality_wasserstein_distance",
                near(0.031, 0.01),
                direction="lower",
                used=used,
                available=used,
                method=JACKKNIFE,
                condition={"property": name},
            )
        )
    figures.append(
        build_figure(
            "detectability_auroc",
            near(0.93, 0.05),
            direction="lower",
            used=used,
            available=used,
            method="DeLong",
            floor=Floor(value=0.5, low=0.44, high=0.56, method="10 random halves", n_used=(96, 96)),
        )
    )
    for transmission, strength, value in (
        ("jpeg", "quality 40", 0.88),
        ("resize", "one half", 0.81),
        ("screenshot", "", 0.7),
    ):
        condition = {"transmission": transmission} | ({"strength": strength} if strength else {})
        figures.append(
            build_figure(
                "detectability_auroc",
                near(value, 0.08),
                direction="lower",
                used=used,
                available=used,
                method="DeLong",
                condition=condition,
            )
        )
    return figures


def build_result(measure: str, **changes: object) -> Result:
    roles = ("real", "synthetic") if measure == "fidelity" else ("train", "holdout", "synthetic")
    values: dict[str, object] = {
        "measure": measure,
        "measure_version": "1",
        "inputs": tuple(
            Input(role=role, name=f"example-{role}", digest=f"{place:064x}", num_samples=600 - 100 * place)
            for place, role in enumerate(roles)
        ),
        "encoder": EncoderUsed(
            name="efficientnet-lite0", weights_sha256="ab" * 32, resize="bilinear to 224 px", bit_depth=8
        ),
        "settings": {"num_floors": 10, "parts": ["distribution", "ladder"], "encoder": "efficientnet-lite0"},
        "verdict": "The synthetic radiographs can be told from real ones; on this encoder they are farther from real "
        "radiographs than real ones are from each other.",
        "seed": 7,
        "package_version": "0.1.0",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "device": "cpu",
        "seconds": 312.4,
    }
    return Result.model_validate(values | changes)


def build_fidelity_result(**changes: object) -> Result:
    return build_result("fidelity", **({"figures": build_fidelity_figures()} | changes))


def build_fidelity_pictures(real: list[NDArray[np.generic]], synthetic: list[NDArray[np.generic]]) -> FidelityPictures:
    generator = np.random.default_rng(5)
    frequency = np.linspace(0.02, 0.5, 40)
    power = 1e-2 * frequency**-2.2
    spread = np.array([[0.7], [1.4]])
    change = generator.random((8, 8)) ** 2 - 0.1
    return FidelityPictures(
        real=tuple((f"film-{place:03d}", image) for place, image in enumerate(real[:12])),
        synthetic=tuple((f"synthetic-{place:05d}", image) for place, image in enumerate(synthetic[:12])),
        ladder=tuple(
            LadderPicture(one.name, one.strength, one.apply(real[0], generator)) for one in LADDER if one.step == 3
        ),
        spectra=Spectra(
            frequency, power, power * (0.5 + frequency), power * spread, power * (0.5 + frequency) * spread
        ),
        anatomy=tuple(
            ParameterValues(name, unit, generator.normal(12, 9, 600), generator.normal(14, 7, 96))
            for name, unit in (("C2-7Cobb", "deg"), ("CCI", "percent"), ("SVA", "mm"))
        ),
        quality=(ParameterValues("noise_power", "", generator.gamma(3, 1, 600), generator.gamma(4, 1, 96)),),
        detector=DetectorView(
            mean_real=np.mean(real, axis=0),
            mean_synthetic=np.mean(synthetic, axis=0),
            change=change,
            significant=change > 0.8,
            p_value=0.004,
            num_images=40,
            clues=tuple(
                Clue(f"{low} to {2 * low} cycles/px", Estimate(area, area - 0.06, area + 0.06), area - 0.5)
                for low, area in ((0.03, 0.52), (0.06, 0.55), (0.12, 0.64), (0.25, 0.71))
            ),
            facts=(Fact("gray_levels", 251.0, 230.0, Estimate(0.61, 0.5, 0.7)),),
        ),
        implausible=(
            OddSpine("synthetic", "synthetic-00004", "C5 lies above C4"),
            OddSpine("real", "film-004", "C3 is 31 mm high"),
        ),
        notes={"anatomy": ("Landmarks of the synthetic images were measured by a teacher.",)},
        not_measured=(NotMeasured("FID", "its network's weights were not given, so no figure is called FID"),),
        warnings=("synthetic: 3 images have fewer than 32 gray levels",),
        command="cspine-bench evaluate fidelity --real films --synthetic samples --out result --seed 7",
        citation="Cite this result by the digests of its inputs.",
    )
