"""A batch of subjects in, displayed radiographs with exact labels out. The same code on a CPU and on a GPU.

Line integral of a ray = soft * (outline - air) + (cortical - soft) * BONE - (cortical - trabecular) * MARROW, with the
chords of `projection`. Overlapping soft outlines are blended by a fourth-power mean, a smooth stand-in for their
union; bones add up as they are.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from cspine_bench.anatomy.landmarks import LEVELS
from cspine_bench.seeding import numpy_generator
from cspine_bench.sources.phantom.arch import add_dens_and_atlas, add_posterior_elements
from cspine_bench.sources.phantom.artefacts import apply_artefact, divide_dose
from cspine_bench.sources.phantom.body import add_bodies, add_rims, build_bodies, find_landmarks
from cspine_bench.sources.phantom.bone import BONE, MARROW
from cspine_bench.sources.phantom.detector import Exposure, develop, expose, gaussian_blur
from cspine_bench.sources.phantom.head import add_hyoid, add_jaw, add_skull
from cspine_bench.sources.phantom.neck import AIR, OUTLINE, TISSUE_IN_AIR, add_air, add_outline
from cspine_bench.sources.phantom.person import stack_people
from cspine_bench.sources.phantom.posture import build_chain, stack_postures
from cspine_bench.sources.phantom.projection import Camera, project_labels, project_solids
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.shutter import draw_marker, draw_shutter
from cspine_bench.sources.phantom.silhouette import add_silhouettes
from cspine_bench.sources.phantom.solids import SolidGroup, SolidList
from cspine_bench.sources.phantom.subject import Subject, build_camera

# Linear attenuation per mm at 60 keV. Source: NIST XCOM, soft tissue and cortical bone of 1.92 g/cm^3. Trabecular bone
# at a quarter of the step between them: an assumption.
MU_SOFT: Final = 0.0205
MU_CORTICAL: Final = 0.0604
MU_TRABECULAR: Final = MU_SOFT + 0.25 * (MU_CORTICAL - MU_SOFT)

_LATERAL_LIMIT_DEG: Final = 10.0
"""A person turned further against the beam is not seen from the side: no landmarks, facing or spacing."""


@dataclass(frozen=True)
class Fault:
    """An artefact's name and how strong it is, 0..1."""

    name: str
    strength: float


@dataclass(frozen=True)
class Rendering:
    """One finished sample.

    Attributes:
        image: uint8 or uint16 (S, S), bone bright.
        mask: uint8 (S, S), label ids.
        landmarks_xy: float32 (23, 2) px; NaN where the view is not lateral.
        spacing_mm: side of a pixel in the midsagittal plane.
        artefact: what was simulated, if anything.
    """

    image: NDArray[np.uint8] | NDArray[np.uint16]
    mask: NDArray[np.uint8]
    landmarks_xy: NDArray[np.float32]
    spacing_mm: float
    artefact: Fault | None


@dataclass(frozen=True)
class BoneFree:
    """A film, and what it would be had the person no bones.

    Attributes:
        film: uint8 or uint16 (S, S), as `Rendering.image`.
        bone_free: the same type and shape.
        shadow: float32 (S, S), attenuation by bone along each ray, less that of the soft tissue in its place: 0 where
            no bone lies, 0.1 where it stops about a tenth of the quanta.
    """

    film: NDArray[np.uint8] | NDArray[np.uint16]
    bone_free: NDArray[np.uint8] | NDArray[np.uint16]
    shadow: NDArray[np.float32]


@dataclass
class Anatomy:
    """A batch of people as solids, ready to be projected from anywhere."""

    fine: list[SolidGroup]
    coarse: list[SolidGroup]
    tissue: list[SolidGroup]
    silhouettes: list[SolidGroup]

    def to(self, device: torch.device) -> "Anatomy":
        """The same people with their solids on a device."""
        layers = (self.fine, self.coarse, self.tissue, self.silhouettes)
        return Anatomy(*([group.to(device) for group in groups] for groups in layers))


def build_anatomy(subjects: list[Subject]) -> tuple[Anatomy, torch.Tensor]:
    """Describe every bone and soft part of a batch; subjects of one batch share their view angle.

    Returns:
        The solids, and the 23 landmarks (B, 23, 3), float64, mm, in the frame of the solids.
    """
    person = stack_people([subject.person for subject in subjects])
    postures = stack_postures([subject.posture for subject in subjects])
    chain = build_chain(person, postures, view_rad=subjects[0].view_rad)
    body = build_bodies(person)
    fine, coarse, tissue, silhouettes = (SolidList(len(subjects)) for _ in range(4))
    add_bodies(fine, person, body, chain)
    add_rims(coarse, person, body, chain)
    add_posterior_elements(coarse, person, body, chain)
    add_dens_and_atlas(coarse, person, body, chain)
    add_skull(coarse, person, chain)
    add_jaw(coarse, person, chain)
    add_hyoid(coarse, person, chain)
    add_outline(tissue, person, chain)
    add_air(tissue, person, chain)
    add_silhouettes(silhouettes, person, body, chain, lateral=find_lateral(subjects))
    layers = (fine, coarse, tissue, silhouettes)
    return Anatomy(*(solids.build_groups() for solids in layers)), torch.from_numpy(find_landmarks(body, chain))


def find_lateral(subjects: list[Subject]) -> NDArray[np.bool_]:
    """Which subjects (B,) the film shows from the side."""
    turns = np.array([subject.view_rad + float(subject.posture.yaw) for subject in subjects])
    return np.asarray(np.abs(np.degrees(turns)) <= _LATERAL_LIMIT_DEG)


def project_bone(anatomy: Anatomy, camera: Camera, size: int) -> torch.Tensor:
    """Chords of bone and marrow, float32 (B, 2, S, S), mm. Endplates lie on edge: bodies get 2 x 2 rays a pixel."""
    fine = project_solids(anatomy.fine, camera, size=size, num_channels=2, oversample=2)
    return fine + project_solids(anatomy.coarse, camera, size=size, num_channels=2)


def project_soft(anatomy: Anatomy, camera: Camera, size: int) -> torch.Tensor:
    """Chords of soft tissue, float32 (B, S, S), mm: the blended outline less the air in it."""
    blended = project_solids(anatomy.tissue, camera, size=size, num_channels=3, fourth_power=True)
    blended = blended.clamp(min=0).sqrt().sqrt()
    air = (blended[:, AIR] - blended[:, TISSUE_IN_AIR]).clamp(min=0)
    return blended[:, OUTLINE] - torch.minimum(air, 0.9 * blended[:, OUTLINE])


def render_masks(anatomy: Anatomy, camera: Camera, size: int) -> NDArray[np.uint8]:
    """Label ids, uint8 (B, S, S): bodies C2 (with dens) to T1 and the arches of C1, where their shadows are.

    On lateral films a body's mask is the shadow of its midsagittal slice, whose corners are the landmarks.
    """
    labels = project_labels(anatomy.silhouettes, camera, size=size, num_channels=len(LEVELS))
    return labels.cpu().numpy()


@torch.inference_mode()
def render_subjects(
    recipe: PhantomRecipe, seed: int, subjects: list[Subject], device: torch.device | None = None
) -> list[Rendering]:
    """Render subjects that share a view angle.

    Every random number comes from the sample's own streams, drawn on the CPU. The geometry of all subjects is built
    together; on a CPU their images are then made one by one, so that a sample's bytes cannot depend on its neighbours.
    """
    device = device or torch.device("cpu")
    size = recipe.size
    anatomy, points = build_anatomy(subjects)
    anatomy = anatomy.to(device)
    camera = build_camera(subjects, size).to(device)
    landmarks = camera.project_points(points.to(device), size).cpu().numpy().astype(np.float32)
    landmarks[~find_lateral(subjects)] = np.nan
    masks = render_masks(anatomy, camera, size)
    bone = project_bone(anatomy, camera, size) if recipe.layer != "soft" else None
    soft = project_soft(anatomy, camera, size) if recipe.layer != "bone" else None
    artefacts = [_draw_artefact(recipe, seed, subject.index) for subject in subjects]
    renderings = []
    together = 1 if device.type == "cpu" else len(subjects)
    for start in range(0, len(subjects), together):
        rows = slice(start, start + together)
        shown = _expose_and_develop(
            recipe,
            seed,
            subjects[rows],
            artefacts[rows],
            spacing=camera.spacing[rows],
            bone=None if bone is None else bone[rows],
            soft=None if soft is None else soft[rows],
        )
        for row, subject in enumerate(subjects[rows], start=start):
            spacing = subject.geometry.field_of_view / size
            image = _finish(shown[row - start], recipe, seed, subject, landmarks[row], artefacts[row], spacing)
            renderings.append(Rendering(image, masks[row], landmarks[row], spacing, artefacts[row]))
    return renderings


@torch.inference_mode()
def render_bone_free(
    recipe: PhantomRecipe, seed: int, subjects: list[Subject], device: torch.device | None = None
) -> list[BoneFree]:
    """The films of subjects that share a view angle, with and without every bone: of spine, skull, jaw and
    throat, teeth too.

    Soft tissue takes the place of bone. Person, beam, display settings, marker, shutter and artefact are the same. So
    is the noise: each pixel's count lies as many standard deviations from what is expected of it, so that beside bone
    the two differ only by the bone's share in the scatter and in the display's coarse contrast.

    Raises:
        ValueError: the recipe projects one layer alone.
    """
    if recipe.layer != "all":
        raise ValueError(f"layer is {recipe.layer!r}; bone is taken out of films with all layers alone")
    device = device or torch.device("cpu")
    anatomy, points = build_anatomy(subjects)
    anatomy, camera = anatomy.to(device), build_camera(subjects, recipe.size).to(device)
    landmarks = camera.project_points(points.to(device), recipe.size).cpu().numpy().astype(np.float32)
    landmarks[~find_lateral(subjects)] = np.nan
    bone, soft = project_bone(anatomy, camera, recipe.size), project_soft(anatomy, camera, recipe.size)
    pairs = []
    for row, subject in enumerate(subjects):
        one, artefact = slice(row, row + 1), _draw_artefact(recipe, seed, subject.index)
        spacing = camera.spacing[one]
        exposure = _draw_exposure(recipe, seed, [subject], [artefact], spacing)
        whole, bare = (
            _line_integrals(recipe, seed, [subject], spacing=spacing, bone=shadows, soft=soft[one])
            for shadows in (bone[one], None)
        )
        expected, expected_bare = (expose(integrals, exposure).cpu().numpy() for integrals in (whole, bare))
        quanta = _draw_quanta(expected, seed, [subject])
        same_noise = expected_bare + (quanta - expected) * np.sqrt(expected_bare / expected)
        film, bone_free = (
            _finish(
                develop(torch.from_numpy(counts).to(device), exposure).cpu().numpy()[0],
                recipe,
                seed,
                subject,
                landmarks[row],
                artefact,
                subject.geometry.field_of_view / recipe.size,
            )
            for counts in (quanta, same_noise.clip(min=0))
        )
        pairs.append(BoneFree(film, bone_free, (whole - bare)[0].cpu().numpy()))
    return pairs


def _expose_and_develop(
    recipe: PhantomRecipe,
    seed: int,
    subjects: list[Subject],
    artefacts: list[Fault | None],
    *,
    spacing: torch.Tensor,
    bone: torch.Tensor | None,
    soft: torch.Tensor | None,
) -> NDArray[np.float32]:
    """Display values (B, S, S), 0..1, from chords; all random numbers come from each sample's streams."""
    exposure = _draw_exposure(recipe, seed, subjects, artefacts, spacing)
    integrals = _line_integrals(recipe, seed, subjects, spacing=spacing, bone=bone, soft=soft)
    expected = expose(integrals, exposure).cpu().numpy()
    quanta = torch.from_numpy(_draw_quanta(expected, seed, subjects)).to(integrals.device)
    shown: NDArray[np.float32] = develop(quanta, exposure).cpu().numpy()
    return shown


def _draw_quanta(expected: NDArray[np.float32], seed: int, subjects: list[Subject]) -> NDArray[np.float32]:
    quanta = np.empty_like(expected)
    for row, subject in enumerate(subjects):
        quanta[row] = numpy_generator(seed, "phantom.quanta", subject.index).poisson(expected[row].astype(np.float64))
    return quanta


def _line_integrals(
    recipe: PhantomRecipe,
    seed: int,
    subjects: list[Subject],
    *,
    spacing: torch.Tensor,
    bone: torch.Tensor | None,
    soft: torch.Tensor | None,
) -> torch.Tensor:
    """Attenuation (B, S, S), with trabecular texture in the marrow and fat planes in the soft tissue."""
    size, device = recipe.size, spacing.device
    # One white field serves both textures: their bands of frequencies do not overlap.
    grain = np.stack(
        [
            numpy_generator(seed, "phantom.texture", subject.index).standard_normal((size, size), dtype=np.float32)
            for subject in subjects
        ]
    )
    white = torch.from_numpy(grain).to(device)
    total = torch.zeros(len(subjects), size, size, device=device)
    if bone is not None:
        trabeculae = _band(white, 0.45 / spacing, 1.5 / spacing)
        marrow = bone[:, MARROW].clamp(min=0)
        total = (MU_CORTICAL - MU_SOFT) * bone[:, BONE].clamp(min=0) - (MU_CORTICAL - MU_TRABECULAR) * marrow
        total = total.clamp(min=0) + 0.009 * (marrow + 1e-6).sqrt() * trabeculae
    if soft is not None:
        # Fat planes are wide: drawn on a grid of about 3 mm, where blurring costs next to nothing.
        reduction = max(1, size // 64)
        grid = functional.avg_pool2d(white[:, None], reduction)[:, 0]
        fat = _band(grid, 2.0 / (spacing * reduction), 9.0 / (spacing * reduction))
        fat = functional.interpolate(fat[:, None], size=(size, size), mode="bilinear", align_corners=False)[:, 0]
        total = total + MU_SOFT * (soft + 0.01 * soft.clamp(min=0, max=120) * fat)
    return total.clamp(min=0)


def _band(white: torch.Tensor, fine: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
    """White noise (B, S, S) between two blurs, scaled to unit spread."""
    band = gaussian_blur(white, fine) - gaussian_blur(white, coarse)
    return band / band.flatten(1).std(1)[:, None, None]


def _draw_artefact(recipe: PhantomRecipe, seed: int, index: int) -> Fault | None:
    generator = numpy_generator(seed, "phantom.artefact", index)
    if not recipe.artefacts or generator.random() >= recipe.artefact_share:
        return None
    name = recipe.artefacts[int(generator.integers(len(recipe.artefacts)))]
    return Fault(name, float(np.float32(generator.uniform(*recipe.artefact_strength))))


def _draw_exposure(
    recipe: PhantomRecipe, seed: int, subjects: list[Subject], artefacts: list[Fault | None], spacing: torch.Tensor
) -> Exposure:
    rows = []
    for subject, artefact in zip(subjects, artefacts, strict=True):
        generator = numpy_generator(seed, "phantom.exposure", subject.index)
        photons = np.exp(generator.uniform(*np.log(recipe.photons_per_mm2)))
        if artefact:
            photons /= divide_dose(artefact.name, artefact.strength)
        # Bone alone attenuates a fifth of what a neck does: it gets a window of its own.
        low, high, air = (0.01, 0.62, 0.05) if recipe.layer == "bone" else (0.12, 2.35, 0.55)
        # Display settings without a source: chosen by eye, so that films look like films.
        rows.append(
            {
                "photons": photons,
                "scatter_ratio": generator.uniform(*recipe.scatter_ratio),
                "blur": generator.uniform(*recipe.blur_mm),
                "detail": generator.uniform(1.7, 2.6),
                "base": generator.uniform(0.52, 0.68),
                "window_low": low * generator.uniform(1, 2.5),
                "window_high": high * generator.uniform(1, 1.2),
                "gamma": generator.uniform(0.85, 1.15),
                "air": air,
            }
        )
    columns = {
        name: torch.tensor([row[name] for row in rows], dtype=torch.float64, device=spacing.device) for name in rows[0]
    }
    return Exposure(spacing=spacing, **columns)


def _finish(
    shown: NDArray[np.float32],
    recipe: PhantomRecipe,
    seed: int,
    subject: Subject,
    landmarks: NDArray[np.float32],
    artefact: Fault | None,
    spacing_mm: float,
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Shutter, marker and artefact, then the image's own number of bits."""
    generator = numpy_generator(seed, "phantom.shutter", subject.index)
    has_shutter, has_marker = generator.random(2) < (recipe.collimation_share, recipe.marker_share)
    if has_marker:
        shown = draw_marker(shown, generator, facing=recipe.facing)
    if has_shutter:
        shown = draw_shutter(shown, generator, keep_xy=landmarks)
    if artefact:
        faults = numpy_generator(seed, "phantom.fault", subject.index)
        shown = apply_artefact(
            shown, name=artefact.name, strength=artefact.strength, spacing_mm=spacing_mm, generator=faults
        )
    clipped = np.clip(shown, 0, 1)
    if recipe.bit_depth == 8:
        return np.round(clipped * np.float32(255)).astype(np.uint8)
    return np.round(clipped * np.float32(65535)).astype(np.uint16)
