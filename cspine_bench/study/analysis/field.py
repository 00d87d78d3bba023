"""What readers of other studies found, to read an accuracy against: each with its source, none of it measured here."""

from dataclasses import asdict, dataclass
from typing import Any, Final


@dataclass(frozen=True)
class FieldResult:
    """One published figure.

    Attributes:
        images: that were read.
        readers: who read.
        task: what they were asked, with its chance.
        found: as published.
        source: of it.
    """

    images: str
    readers: str
    task: str
    found: str
    source: str


FIELD_RESULTS: Final = (
    FieldResult(
        "body CT slices by a progressive GAN", "10 radiologists", "single images, real or synthetic; chance 50 %",
        "59.4 % right (1781 of 3000)",
        "Park et al. 2021, JMIR Medical Informatics 9(3), e23328, doi 10.2196/23328",
    ),
    FieldResult(
        "chest radiographs by a progressive GAN", "6 radiologists", "single images, real or synthetic; chance 50 %",
        "67.42 % right, 69.92 % in a second trial; kappa 0.10 and 0.14",
        "Jang et al. 2023, Scientific Reports 13, doi 10.1038/s41598-023-28175-1",
    ),
    FieldResult(
        "myocardial perfusion polar maps by a GAN", "cardiologists", "visual Turing test on a website",
        "61.1 % right (SD 21.5), 80.0 % (SD 15.8) once told what to look for",
        "Higaki et al. 2022, Cureus 14(10), e30646, doi 10.7759/cureus.30646",
    ),
    FieldResult(
        "colon polyps: real, augmented, by CycleGAN or diffusion", "32 gastroenterologists",
        "single images, three classes; chance 33 %", "61.2 % right (95 % interval 57.7 to 64.6)",
        "Evaluation of Perceptual Realism and Clinical Plausibility of AI-Generated Colon Polyp Images 2025, "
        "Biomedicines 13(7), 1561",
    ),
    FieldResult(
        "radiographs by GPT-4o", "17 radiologists", "single images, real or synthetic; chance 50 %",
        "75 % right (95 % interval 68 to 81)",
        "Tordjman et al. 2026, The Rise of Deepfake Medical Imaging, Radiology",
    ),
    FieldResult(
        "chest radiographs by RoentGen, a latent diffusion model", "16 radiologists",
        "visual Turing test with eye tracking",
        "96.6 % of the synthetic images identified as fake", "GazeVal 2025, arXiv 2503.20967",
    ),
)  # fmt: skip


def list_field_results() -> list[dict[str, Any]]:
    """JSON of all."""
    return [asdict(found) for found in FIELD_RESULTS]
