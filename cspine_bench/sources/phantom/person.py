"""One person's dimensions, drawn from published means and spreads, correlated within the person.

A number without a source beside it is an assumption of ours: an adult proportion, set by eye.

Lengths are true millimetres (CT and dry-bone values; film values hold 1.1-1.2 x magnification and are divided by 1.15).
Levels run C2, C3 .. C7, T1, T2; discs run C2/3 .. T1/2.
"""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.classes import Disease, Sex

FloatArray = NDArray[np.float64]

BODY_LEVELS: Final = ("C2", "C3", "C4", "C5", "C6", "C7", "T1", "T2")

# Superior and inferior endplate depths. Source: Lu 1999; Frontiers Bioeng 2022 1036223 (n = 130, mean 16.1, SD 1.8);
# Neurosurg Q 2007 for the growth from C2 to C7 and for the sexes. T1, T2: continued; assumption.
_SUPERIOR_DEPTH: Final = np.array([14.3, 15.0, 15.3, 15.6, 16.2, 16.7, 17.0, 17.2])
_INFERIOR_DEPTH: Final = np.array([15.8, 16.4, 16.9, 17.5, 17.7, 17.3, 17.4, 17.8])
# Body heights: C5 lowest, C7 highest. Source: EJA 2020 (anterior 10.0, posterior 11.1, SD 1.4); Katz 1975.
_ANTERIOR_HEIGHT: Final = np.array([20.0, 10.3, 9.8, 9.3, 9.6, 11.0, 13.4, 14.6])
_POSTERIOR_HEIGHT: Final = np.array([19.0, 11.2, 10.9, 10.5, 10.8, 12.1, 14.2, 15.4])
# Source: Lu 1999 by level, for the anterior and posterior disc. C7/T1 and below: assumption.
_ANTERIOR_DISC: Final = np.array([4.1, 4.3, 4.0, 3.6, 3.6, 3.6, 3.6])
_POSTERIOR_DISC: Final = np.array([3.0, 2.8, 2.5, 2.9, 2.5, 2.6, 2.6])
# Body widths: growing downwards. Source: Frontiers Bioeng 2022 1036223 for C3-C7; C2, T1, T2 assumption.
MEAN_C2_WIDTH_MM: Final = 18.0
_WIDTH: Final = np.array([MEAN_C2_WIDTH_MM, 20.5, 21.5, 22.5, 24.0, 26.5, 28.0, 28.0])
# Spinous processes: C3 shortest, C7 longest. Source: EJA 2020 (15.3, SD 4.3 for C3-C6); Chin J Clin Anat 2017.
_SPINOUS_LENGTH: Final = np.array([18.0, 13.1, 13.7, 14.9, 19.4, 27.0, 28.0, 27.0])
_SPINOUS_SLANT_DEG: Final = np.array([18.0, 24.0, 26.0, 28.0, 28.0, 26.0, 32.0, 40.0])
# Bifid share. Source: Folia Morphol 2023: > 70 % for C2-C5, 21 % C6, 0 % C7.
_BIFID_SHARE: Final = np.array([0.9, 0.75, 0.8, 0.75, 0.21, 0.0, 0.0, 0.0])
# Sagittal canal. Source: Neurosurg Q 2007 on film, M 20.4 -> 19.5, F 19.8 -> 18.8 from C2 to C7, over 1.15.
_CANAL: Final = np.array([17.6, 16.6, 16.3, 16.2, 16.4, 16.8, 16.5, 16.5])

_SIZE_CORRELATION: Final = 0.6
"""Share of a dimension's spread that one latent size explains within a person: an assumption, no source found."""


@dataclass(frozen=True)
class Person:
    """Dimensions of one person (or, stacked, of a batch: every array gains a leading axis).

    Attributes:
        superior_depth, inferior_depth, anterior_height, posterior_height, width: (8,) mm, of the bodies C2..T2.
        anterior_disc, posterior_disc: (7,) mm, of the discs C2/3..T1/2.
        endplate_concavity: (8, 2) mm, depth of the superior and inferior endplates.
        endplate_dent: (8, 2, 3) place along the body's half depth (-1..1), radius and depth (mm) of a dent in an
            endplate; depth 0 = none.
        waist: (8,) depth at mid-height over the mean of the endplates.
        spinous_length, canal: (8,) mm. spinous_slant_rad: (8,). bifid: (8,) 0 or 1.
        cortex: () mm, thickness of the shell. density: () relative to a young adult's bone.
        osteophyte: (8, 2) mm, at the superior and inferior anterior rims. sclerosis: (8,) extra endplate mm.
        prevertebral: (3,) mm of soft tissue in front of C2-C3, C4 and C6-C7.
        neck_depth, neck_width, shoulder_drop, shoulder_width: () mm.
        bulk: () relative soft tissue. dens_height, dens_tilt_rad, atlantodental: () mm or rad.
        jaw_size, skull_length: () relative. hyoid_shift: (2,) mm, forwards and up.
        calcification: () 0..1, of the thyroid cartilage. fillings: () 0..1, metal in the teeth.
    """

    superior_depth: FloatArray
    inferior_depth: FloatArray
    anterior_height: FloatArray
    posterior_height: FloatArray
    width: FloatArray
    anterior_disc: FloatArray
    posterior_disc: FloatArray
    endplate_concavity: FloatArray
    endplate_dent: FloatArray
    waist: FloatArray
    spinous_length: FloatArray
    spinous_slant_rad: FloatArray
    bifid: FloatArray
    canal: FloatArray
    cortex: FloatArray
    density: FloatArray
    osteophyte: FloatArray
    sclerosis: FloatArray
    prevertebral: FloatArray
    neck_depth: FloatArray
    neck_width: FloatArray
    shoulder_drop: FloatArray
    shoulder_width: FloatArray
    bulk: FloatArray
    dens_height: FloatArray
    dens_tilt_rad: FloatArray
    atlantodental: FloatArray
    jaw_size: FloatArray
    skull_length: FloatArray
    hyoid_shift: FloatArray
    calcification: FloatArray
    fillings: FloatArray


def stack_people(people: list[Person]) -> Person:
    """People of a batch as one `Person` whose arrays lead with the batch."""
    return Person(**{item.name: np.stack([getattr(person, item.name) for person in people]) for item in fields(Person)})


def draw_person(generator: np.random.Generator, *, sex: Sex, age: int, disease: Disease) -> Person:
    """Draw one person.

    Args:
        generator: the person's own stream.
        age: years; bone thins and discs narrow with it.
        disease: spondylosis narrows discs (C5/6 and C6/7 first) and grows osteophytes and sclerosis.
    """
    size = generator.standard_normal()

    male = sex == "male"
    # Source: Neurosurg Q 2007: body depths 5 % larger in men, the canal 3 %.
    size_of_sex, canal_of_sex = (1.025, 1.015) if male else (0.975, 0.985)

    def spread(means: FloatArray, relative_sd: float, of_sex: float = size_of_sex) -> FloatArray:
        own = generator.standard_normal(means.shape)
        shared = np.sqrt(_SIZE_CORRELATION) * size + np.sqrt(1 - _SIZE_CORRELATION) * own
        return np.asarray(means * of_sex * (1 + relative_sd * np.clip(shared, -2.5, 2.5)))

    worn = _draw_wear(generator, age=age, disease=disease)
    superior_depth = spread(_SUPERIOR_DEPTH, 0.10)
    bulk = float(np.clip(generator.normal(1.0, 0.09), 0.8, 1.3))
    return Person(
        superior_depth=superior_depth,
        inferior_depth=superior_depth * (_INFERIOR_DEPTH / _SUPERIOR_DEPTH) * generator.normal(1, 0.02, 8),
        anterior_height=spread(_ANTERIOR_HEIGHT, 0.12) * (1 - 0.06 * worn.mean_wear),
        posterior_height=spread(_POSTERIOR_HEIGHT, 0.12),
        width=spread(_WIDTH, 0.05),
        anterior_disc=spread(_ANTERIOR_DISC, 0.25) * worn.disc_left,
        posterior_disc=spread(_POSTERIOR_DISC, 0.28) * (0.35 + 0.65 * worn.disc_left),
        # Source: ESJ 2013 22:1570: superior .9-1.2, inferior 2.1-2.7.
        endplate_concavity=np.stack([generator.uniform(0.9, 1.2, 8), generator.uniform(2.1, 2.7, 8)], axis=-1),
        endplate_dent=worn.dent,
        waist=np.clip(generator.normal(0.93, 0.02, 8), 0.86, 0.98),
        spinous_length=spread(_SPINOUS_LENGTH, 0.25),
        spinous_slant_rad=np.radians(_SPINOUS_SLANT_DEG + generator.normal(0, 5, 8) + generator.normal(0, 4)),
        bifid=(generator.random(8) < _BIFID_SHARE).astype(np.float64),
        canal=spread(_CANAL, 0.055, canal_of_sex),
        cortex=np.asarray(generator.uniform(0.55, 0.8) - 0.0015 * max(age - 45, 0)),
        density=np.asarray(np.clip(generator.normal(1.0, 0.1) - 0.0035 * max(age - 40, 0), 0.65, 1.3)),
        osteophyte=worn.osteophyte,
        sclerosis=worn.sclerosis,
        # Source: Skeletal Radiol: C3 = 3.7 - .02 age + .01 lb, here at 160 lb times bulk; Rojas 2009: 18 mm at most.
        prevertebral=np.array(
            [
                3.7 - 0.02 * age + 1.6 * bulk + generator.normal(0, 0.6),
                5.0 * bulk + generator.normal(0, 0.8),
                13.0 * bulk + generator.normal(0, 1.4),
            ]
        ),
        neck_depth=np.asarray((122 if male else 108) * bulk + generator.normal(0, 5)),
        neck_width=np.asarray((118 if male else 104) * bulk + generator.normal(0, 5)),
        shoulder_drop=np.asarray(generator.normal(2 if male else 5, 13)),
        shoulder_width=np.asarray((180 if male else 160) * (0.7 + 0.3 * bulk)),
        bulk=np.asarray(bulk),
        # Source: IJRMS: height 15.8; Monu 1987: tilt 17.4 deg, of which we leave half to the body's own slope.
        dens_height=np.asarray(15.8 * size_of_sex + generator.normal(0, 1.0)),
        dens_tilt_rad=np.asarray(np.radians(-generator.normal(8, 4))),
        atlantodental=np.asarray(np.clip(generator.normal(1.3, 0.37), 0.5, 2.6)),
        jaw_size=np.asarray(size_of_sex * generator.normal(1.0, 0.04)),
        skull_length=np.asarray(np.clip(generator.normal(1.0, 0.05), 0.88, 1.12)),
        hyoid_shift=generator.normal(0, (2.0, 4.0)),
        calcification=np.asarray(np.clip((age - 35) / 60 + generator.normal(0, 0.15), 0, 1)),
        fillings=np.asarray(float(generator.random() < 0.45) * generator.random()),
    )


@dataclass(frozen=True)
class _Wear:
    disc_left: FloatArray
    osteophyte: FloatArray
    sclerosis: FloatArray
    dent: FloatArray
    mean_wear: float


_WEAR_BY_DISC: Final = np.array([0.15, 0.4, 0.75, 1.0, 0.95, 0.4, 0.2])
"""Where spondylosis strikes, by disc: C5/6 and C6/7 most, as is commonly taught; the weights are an assumption."""


def _draw_wear(generator: np.random.Generator, *, age: int, disease: Disease) -> _Wear:
    # A floor, so that the disease shows on the film: a label that nobody could read would be noise.
    severity: float = 0.3 + 0.7 * generator.beta(2, 3) if disease == "spondylosis" else 0.15 * generator.beta(1, 4)
    severity *= float(np.clip(0.45 + age / 80, 0.7, 1.4))
    wear = np.clip(severity * _WEAR_BY_DISC * generator.gamma(3.0, 1 / 3.0, 7), 0, 1)
    rims = np.zeros((8, 2))
    rims[:-1, 1] = wear
    rims[1:, 0] = wear
    grown = 4.0 * np.clip(rims - 0.2, 0, None) * generator.uniform(0.5, 1.3, (8, 2))
    dent = np.stack(
        [
            generator.uniform(-0.45, 0.35, (8, 2)),
            generator.uniform(1.5, 3.2, (8, 2)),
            generator.uniform(0.6, 2.0, (8, 2)),
        ],
        axis=-1,
    )
    dent[..., 2] *= generator.random((8, 2)) < 0.06 + 0.5 * rims
    return _Wear(
        disc_left=1 - 0.6 * wear,
        osteophyte=grown,
        sclerosis=0.7 * np.max(rims, axis=1) * generator.uniform(0.3, 1.0, 8),
        dent=dent,
        mean_wear=float(wear.mean()),
    )
