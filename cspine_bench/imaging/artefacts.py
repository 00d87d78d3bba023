"""Artefacts of a radiograph by name and strength, simulated on whole batches of images on any device.

faults = draw_faults(len(images), generator, strength=(0.2, 1.0), clean_share=0.2)
spoilt = spoil_images(images, faults)

An artefact is a function of the image and of its own draw alone, so an image of a batch is spoilt as it would be by
itself. Lengths are shares of the image's side, for not every film tells its pixels' size. No artefact moves anatomy.
The changes of gray level are the ones that phantoms have; the depth of each is our own choice, stated beside it, and
fitted to no device.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Gray = TypeVar("Gray", NDArray[np.float32], torch.Tensor)

CLEAN: Final = "none"
ARTEFACTS: Final = {
    "motion": "the mean of copies along a straight path of 4 % of the side",
    "blur": "Gaussian blur, sigma 1.6 % of the side",
    "noise": "Gaussian noise of 12 % of full scale at mid gray, more in bone, which fewer quanta pass",
    "under_exposure": "air lifted to 55 % of full scale, and noise of 4 %",
    "over_exposure": "45 % of full scale drowned in black",
    "clipping": "contrast times 4 about 45 % of full scale, both ends cut",
    "grid_lines": "stripes of 20 % of the gray level, 2.5 to 6 px apart",
    "overlay_text": "three lines of text in a corner or at an edge, half of them on a bar",
}
"""By name, what each is at strength 1."""
KINDS: Final = (CLEAN, *ARTEFACTS)
"""Names in the order of `Faults.kinds`."""

_PATH_STEPS: Final = 9
_LEAST_TEXT_PX: Final = 8


@dataclass(frozen=True)
class Faults:
    """What is wrong with each image of a batch.

    Attributes:
        kinds: int64 (B,), places in `KINDS`.
        strengths: float32 (B,), 0..1; 0 where there is no artefact.
        draws: float32 (B, 3), 0..1, what an artefact's shape is read from: direction, period, tilt.
        seeds: int64 (B,), of what takes more numbers: grain and text.
    """

    kinds: torch.Tensor
    strengths: torch.Tensor
    draws: torch.Tensor
    seeds: torch.Tensor

    def __len__(self) -> int:
        """How many."""
        return len(self.kinds)

    def take(self, chosen: slice | torch.Tensor) -> "Faults":
        """Those of some of the images."""
        return Faults(**{name: values[chosen] for name, values in vars(self).items()})


def draw_faults(count: int, generator: torch.Generator, *, strength: tuple[float, float], clean_share: float) -> Faults:
    """Faults of `count` images: each artefact as likely as any other.

    Args:
        count: of images.
        generator: on the CPU.
        strength: ends of an even distribution, 0..1.
        clean_share: chance of none.
    """
    draws = torch.rand((count, 6), generator=generator)
    seeds = torch.randint(2**62, (count,), generator=generator)
    clean = draws[:, 0] < clean_share
    kinds = 1 + (draws[:, 1] * len(ARTEFACTS)).long().clamp(max=len(ARTEFACTS) - 1)
    strengths = strength[0] + (strength[1] - strength[0]) * draws[:, 2]
    return Faults(torch.where(clean, 0, kinds), torch.where(clean, 0.0, strengths), draws[:, 3:], seeds)


def join_faults(parts: Sequence[Faults]) -> Faults:
    """One after the other."""
    return Faults(**{name: torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def spoil_images(images: torch.Tensor, faults: Faults, *, levels: int = 255) -> torch.Tensor:
    """Give each image its artefact.

    Args:
        images: float32 (B, 1, S, S), 0..1, bone bright.
        faults: of as many images.
        levels: steps of gray that the result is rounded to, as a file would have it: 255 or 65535. Without the
            rounding a network could tell an artefact by gray levels that no file holds.

    Returns:
        float32 (B, 1, S, S), 0..1, on the same device.

    Raises:
        ValueError: there are more or fewer faults than images.
    """
    if len(faults) != len(images):
        raise ValueError(f"{len(images)} images need as many faults, got {len(faults)}")
    spoilt = images.clone()
    for kind in np.unique(faults.kinds.numpy()).tolist():
        if KINDS[kind] != CLEAN:
            chosen = torch.nonzero(faults.kinds == kind)[:, 0]
            own = faults.take(chosen)
            depth = own.strengths.reshape(-1, 1, 1, 1).to(images.device)
            chosen = chosen.to(images.device)
            spoilt[chosen] = _SPOILERS[KINDS[kind]](images[chosen], depth, own).clip(0, 1)
    return (spoilt * levels).round() / levels


def lighten(image: Gray, strength: Any) -> Gray:
    """Too few quanta for the display: air turns gray. Gray levels 0..1, numpy or torch; likewise the next three."""
    lighter: Gray = 0.55 * strength + (1 - 0.55 * strength) * image
    return lighter


def darken(image: Gray, strength: Any) -> Gray:
    """Burnt through: thin tissue drowns in black."""
    darker: Gray = (image - 0.45 * strength).clip(0, 1) / (1 - 0.2 * strength)
    return darker


def clip_ends(image: Gray, strength: Any) -> Gray:
    """Too narrow a window: both ends are cut."""
    clipped: Gray = ((image - 0.45) * (1 + 3 * strength) + 0.45).clip(0, 1)
    return clipped


def shade(image: Gray, strength: Any, wave: Gray) -> Gray:
    """Shadows of a grid: `wave` in -1..1 for each pixel."""
    shaded: Gray = (image * (1 + 0.2 * strength * wave)).clip(0, 1)
    return shaded


def _move(images: torch.Tensor, strength: torch.Tensor, faults: Faults) -> torch.Tensor:
    """The patient moved during the exposure, along a path centred on the true place."""
    direction = 2 * math.pi * faults.draws[:, 0].to(images.device)
    # The side of an image is 2 in the units of a grid.
    reach = 2 * 0.04 * strength.flatten()
    steps = torch.stack([direction.cos(), direction.sin()], dim=1) * reach[:, None]
    path = torch.linspace(-0.5, 0.5, _PATH_STEPS, device=images.device)
    still = torch.eye(2, 3, device=images.device).expand(len(images), 2, 3)
    grid = torch.nn.functional.affine_grid(still, list(images.shape), align_corners=False)
    copies = [
        torch.nn.functional.grid_sample(
            images, grid + (steps * step)[:, None, None], mode="bilinear", padding_mode="border", align_corners=False
        )
        for step in path
    ]
    return torch.stack(copies).mean(dim=0)


def _blur(images: torch.Tensor, strength: torch.Tensor, faults: Faults) -> torch.Tensor:
    size = images.shape[-1]
    places = torch.arange(size, device=images.device, dtype=images.dtype)
    sigma = (0.016 * size * strength).clamp(min=1e-3)
    # What lies beyond the edge does not count, rather than counting as black.
    weights = (-((places[:, None] - places) ** 2) / (2 * sigma**2)).softmax(dim=-1)
    return weights @ images @ weights.mT


def _add_noise(images: torch.Tensor, strength: torch.Tensor, faults: Faults) -> torch.Tensor:
    # A display is about logarithmic in the quanta, so their noise grows exponentially with what stops them.
    return images + 0.12 * strength * (images - 0.5).exp() * _draw_grain(images, faults)


def _under_expose(images: torch.Tensor, strength: torch.Tensor, faults: Faults) -> torch.Tensor:
    return lighten(images, strength) + 0.04 * strength * _draw_grain(images, faults)


def _over_expose(images: torch.Tensor, strength: torch.Tensor, faults: Faults) -> torch.Tensor:
    return darken(images, strength)


def _clip(images: torch.Tensor, strength: torch.Tensor, faults: Faults) -> torch.Tensor:
    return clip_ends(images, strength)


def _rule(images: torch.Tensor, strength: torch.Tensor, faults: Faults) -> torch.Tensor:
    """Stripes down the image or across it, a little tilted."""
    side, period, tilt = faults.draws.to(images.device).reshape(-1, 3, 1, 1, 1).unbind(dim=1)
    places = torch.arange(images.shape[-1], device=images.device, dtype=images.dtype)
    rows, columns = places[:, None], places[None, :]
    slope = 0.1 * (tilt - 0.5)
    along = torch.where(side < 0.5, columns + slope * rows, rows + slope * columns)
    return shade(images, strength, torch.sin(2 * math.pi * along / (2.5 + 3.5 * period)))


def _write(images: torch.Tensor, strength: torch.Tensor, faults: Faults) -> torch.Tensor:
    """Text that a workstation burned in."""
    size = images.shape[-1]
    stamps = [
        _draw_stamp(size, float(depth), np.random.default_rng(int(seed)))
        for depth, seed in zip(faults.strengths, faults.seeds, strict=True)
    ]
    ink, cover = torch.from_numpy(np.stack(stamps)).to(images.device)[:, :, None].unbind(dim=1)
    return cover * ink + (1 - cover) * images


def _draw_grain(images: torch.Tensor, faults: Faults) -> torch.Tensor:
    """White noise of deviation 1, of each image's own seed, the same on every device."""
    grain = [torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(int(seed))) for seed in faults.seeds]
    return torch.stack(grain).to(images.device)


def _draw_stamp(size: int, strength: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """Gray levels of what is burned in, and how much of the image it covers; float32 (2, S, S), 0..1."""
    words = [
        f"W:{generator.integers(1, 9) * 512} L:{generator.integers(1, 9) * 256}",
        f"{generator.integers(55, 90)} kV {generator.integers(2, 40)} mAs",
        f"ID {generator.integers(10**5, 10**6)}",
        ("L", "R", "LAT", "C-SPINE LAT", "PORTABLE")[int(generator.integers(5))],
        f"20{generator.integers(10, 30)}-{generator.integers(1, 13):02}-{generator.integers(1, 29):02}",
    ]
    count = 1 + round(2 * strength)
    text = "\n".join(words[place] for place in generator.permutation(len(words))[:count])
    across, down = "lmr"[int(generator.integers(3))], "ad"[int(generator.integers(2))]
    margin = generator.uniform(0.01, 0.06) * size
    place = ({"l": margin, "m": size / 2, "r": size - margin}[across], {"a": margin, "d": size - margin}[down])
    font = _load_font(max(_LEAST_TEXT_PX, round(size * (0.03 + 0.03 * strength))))
    canvas = [Image.new("L", (size, size)) for _ in range(2)]
    ink, cover = (ImageDraw.Draw(plane) for plane in canvas)
    shape: dict[str, Any] = {"font": font, "anchor": f"{across}{down}", "spacing": 1}
    if generator.random() < 0.5:
        left, top, right, bottom = ink.multiline_textbbox(place, text, **shape)
        for plane, value in ((ink, int(generator.integers(0, 90))), (cover, 255)):
            plane.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=value)
    edge = int(generator.integers(2))
    cover.multiline_text(place, text, fill=255, stroke_width=edge, stroke_fill=255, **shape)
    ink.multiline_text(place, text, fill=int(generator.integers(200, 256)), stroke_width=edge, stroke_fill=0, **shape)
    return np.stack([np.asarray(plane, np.float32) / 255 for plane in canvas])


@lru_cache(maxsize=32)
def _load_font(size_px: int) -> Any:
    return ImageFont.load_default(size=size_px)


_SPOILERS: Final[dict[str, Callable[[torch.Tensor, torch.Tensor, Faults], torch.Tensor]]] = {
    "motion": _move,
    "blur": _blur,
    "noise": _add_noise,
    "under_exposure": _under_expose,
    "over_exposure": _over_expose,
    "clipping": _clip,
    "grid_lines": _rule,
    "overlay_text": _write,
}
