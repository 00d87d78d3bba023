"""How a spine stands: the tilt of every vertebra, drawn so that it has the curvature class that was asked for.

Frames follow `solids.build_frame`: a vertebra's local z runs up through its body, x forwards; a positive pitch leans it
forwards. The chain is built on the C5 body, which is the origin of the person.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.classes import Curvature, Sex
from cspine_bench.sources.phantom.person import Person
from cspine_bench.sources.phantom.solids import build_frame, build_roll

FloatArray = NDArray[np.float64]

_C2, _C5 = 0, 3
"""Positions in `BODY_LEVELS`."""
_C2_C7_LENGTH_MM = 65.0
"""From the C2 centroid to the C7 upper corner of the mean person, mm: turns a cSVA into a mean tilt."""

ATLAS_ON_DENS = 0.55
"""Where along the dens C1's ring lies."""


@dataclass(frozen=True)
class Posture:
    """Angles of one person (or, stacked, of a batch), radians.

    Attributes:
        tilt: (8,) forward lean of the bodies C2..T2.
        head_pitch: () forward lean of the skull.
        atlas_pitch: () forward lean of C1.
        yaw, roll: () turn about the vertical and sideways lean of the whole person against the beam.
    """

    tilt: FloatArray
    head_pitch: FloatArray
    atlas_pitch: FloatArray
    yaw: FloatArray
    roll: FloatArray


def stack_postures(postures: list[Posture]) -> Posture:
    """Postures of a batch as one `Posture` whose arrays lead with the batch."""
    names = [item.name for item in fields(Posture)]
    return Posture(**{name: np.stack([getattr(posture, name) for posture in postures]) for name in names})


def draw_posture(
    generator: np.random.Generator,
    *,
    curvature: Curvature,
    sex: Sex,
    age: int,
    rotation_sd_deg: float,
    flexion_sd_deg: float,
) -> Posture:
    """Draw angles that usually have the class; the caller checks the landmarks and draws again.

    Args:
        generator: the posture's own stream.
        curvature: class to aim at.
        sex, age: move the cSVA and, in years, the lordosis.
        rotation_sd_deg: spread of the turn and lean against the beam; at 3 degrees, left and right sides separate. Both
            stay within 15 degrees: beyond, it would be another projection.
        flexion_sd_deg: spread of the head's flexion (positive) and extension; the upper neck takes part in it.

    Source: T1 slope 25.8 (SD 5.4), TIA 67.9 (7.8), cSVA 14.6 (8.2) mm and C2-C7 lordosis =
    .762 T1S - .392 cSVA + .25 TIA - 13.8, JOSR 2020 15:2 (n = 307); lordosis 7.6, 13.3 and 16.0 degrees below 40, to 60
    and above, and C2 further in front of C7 in men than in women: meta-analysis in Spine (n = 35,913). That is for the
    lordotic class, whose T1 slope sets the tilt of the whole neck. Straight, kyphotic and sigmoid spines are a mixture
    over it with smaller, negative and S-shaped angles; there the cSVA sets the tilt. The mixture's angles, the noise of
    single levels and the course of the bend are assumptions.
    """
    t1_slope = generator.normal(25.8, 5.4)
    t1_incidence = generator.normal(67.9, 7.8)
    vertical_axis = generator.normal(14.6, 8.2) + (2.5 if sex == "male" else -2.5)
    regression = 0.762 * t1_slope - 0.392 * vertical_axis + 0.25 * t1_incidence - 13.8 + generator.normal(0, 3.5)
    bend = 0.0
    match curvature:
        case "lordotic":
            lordosis = max(regression + 0.2 * (age - 50), 10.0)
        case "straight":
            lordosis = generator.normal(3.0, 4.0)
        case "kyphotic":
            lordosis = -6.0 - generator.gamma(2.5, 3.0)
        case "sigmoid1":
            lordosis, bend = generator.normal(2.0, 4.0), -generator.uniform(7, 17)
        case "sigmoid2":
            lordosis, bend = generator.normal(2.0, 4.0), generator.uniform(7, 17)
    # 0 at C7, 1 at C2; the exponent moves the bend up or down the neck.
    rise = np.linspace(1, 0, 6) ** float(np.exp(generator.normal(0, 0.18)))
    bent = np.cos(2 * np.pi * rise)
    t1_over_c7 = generator.normal(4.0, 1.5)
    if curvature == "lordotic":
        mean_tilt = t1_slope - t1_over_c7 - lordosis * rise.mean()
    else:
        mean_tilt = np.degrees(np.arcsin(np.clip(vertical_axis / _C2_C7_LENGTH_MM, -0.5, 0.5)))
    flexion = generator.normal(0, flexion_sd_deg)
    tilt = np.empty(8)
    tilt[:6] = mean_tilt + lordosis * (rise.mean() - rise) + bend * (bent - bent.mean()) + generator.normal(0, 1.3, 6)
    tilt[:6] += 0.4 * flexion * rise
    tilt[6] = tilt[5] + t1_over_c7
    tilt[7] = tilt[6] + generator.normal(3, 1.5)
    head = generator.normal(-2.0, 3.0) + flexion
    yaw, roll = np.clip(generator.normal(0, 1, 2) * rotation_sd_deg, -15, 15)
    return Posture(
        tilt=np.radians(tilt),
        head_pitch=np.asarray(np.radians(head)),
        atlas_pitch=np.asarray(np.radians(-8.0 + 0.5 * head + 0.25 * tilt[0] + generator.normal(0, 3))),
        yaw=np.asarray(np.radians(yaw)),
        roll=np.asarray(np.radians(roll)),
    )


@dataclass(frozen=True)
class Chain:
    """Frames of a batch, local to the person: (B, ..., 4, 4).

    Attributes:
        person: (B, 1, 4, 4) the upright person, turned against the beam; origin at the middle of C5.
        bodies: (B, 8, 4, 4) C2..T2, origins at the bodies' middles.
        atlas: (B, 1, 4, 4) origin at the middle of C1's ring opening for the dens.
        skull: (B, 1, 4, 4) origin between the occipital condyles.
    """

    person: FloatArray
    bodies: FloatArray
    atlas: FloatArray
    skull: FloatArray


def build_chain(person: Person, posture: Posture, *, view_rad: float = 0.0) -> Chain:
    """Stack the bodies on one another, disc by disc, then set C1 and the skull on C2.

    Args:
        person, posture: stacked, of a batch of B.
        view_rad: extra turn of the whole person about the vertical; 0 = lateral, pi / 2 = frontal.
    """
    batch = posture.tilt.shape[0]
    height = (person.anterior_height + person.posterior_height) / 2
    disc = (person.anterior_disc + person.posterior_disc) / 2
    up = np.stack([np.sin(posture.tilt), np.zeros_like(posture.tilt), np.cos(posture.tilt)], axis=-1)
    middles = np.zeros((batch, 8, 3))
    for upper in range(7):
        between = up[:, upper] + up[:, upper + 1]
        between /= np.linalg.norm(between, axis=-1, keepdims=True)
        step = height[:, upper, None] / 2 * up[:, upper] + disc[:, upper, None] * between
        middles[:, upper + 1] = middles[:, upper] - step - height[:, upper + 1, None] / 2 * up[:, upper + 1]
    middles -= middles[:, _C5 : _C5 + 1].copy()
    bodies = build_frame(origin=middles, pitch_rad=posture.tilt)
    dens_axis = posture.tilt[:, _C2] + person.dens_tilt_rad
    dens_up = np.stack([np.sin(dens_axis), np.zeros(batch), np.cos(dens_axis)], axis=-1)
    top = middles[:, _C2] + up[:, _C2] * height[:, _C2, None] / 2
    ring = top + dens_up * person.dens_height[:, None] * ATLAS_ON_DENS
    atlas = build_frame(origin=ring[:, None], pitch_rad=posture.atlas_pitch[:, None])
    condyles = ring + np.stack(
        [np.full(batch, -1.0) + 8 * np.sin(posture.atlas_pitch), np.zeros(batch), 9 * np.cos(posture.atlas_pitch)], -1
    )
    skull = build_frame(origin=condyles[:, None], pitch_rad=posture.head_pitch[:, None])
    turn = build_frame(origin=np.zeros((batch, 3)), yaw_rad=posture.yaw + view_rad) @ build_roll(posture.roll)
    turn = turn[:, None]
    return Chain(person=turn, bodies=turn @ bodies, atlas=turn @ atlas, skull=turn @ skull)
