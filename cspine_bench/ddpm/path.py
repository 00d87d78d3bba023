"""How an image becomes noise: x_t = alpha(t) x0 + sigma(t) eps, for t from 0 (image) to 1 (noise).

`x0` are pixels from -1 to 1, `eps` is standard normal noise of the same shape. Sampling starts at sigma(1) eps.
"""

import math
from dataclasses import dataclass
from typing import Final, Protocol

import torch

from cspine_bench.ddpm.recipe import DdpmRecipe

_LOG_SNR_LIMIT: Final = 15.0
_COSINE_BEGIN: Final = math.atan(math.exp(-_LOG_SNR_LIMIT / 2))
_COSINE_END: Final = math.atan(math.exp(_LOG_SNR_LIMIT / 2))


class Path(Protocol):
    """Share of the image and share of the noise at each time."""

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        """Share of the image, 1 or falling from 1; shape and type of `t`, which is floating point in 0..1."""

    def sigma(self, t: torch.Tensor) -> torch.Tensor:
        """Share of the noise, rising; shape and type of `t`, which is floating point in 0..1."""


@dataclass(frozen=True)
class FlowPath:
    """A straight line from image to noise.

    Source: Lipman et al. 2023 (2210.02747), equation 20 with sigma_min = 0; Liu et al. 2023 (2209.03003), equation 1.
    Both have noise at 0 and the image at 1; here time runs the other way, as in the other paths.
    """

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        """1 - t."""
        return 1 - t

    def sigma(self, t: torch.Tensor) -> torch.Tensor:
        """t."""
        return t


@dataclass(frozen=True)
class CosinePath:
    """A quarter of a circle at even speed, with log(alpha^2 / sigma^2) kept within -15 and 15.

    The limits leave a trace of the image at t = 1: without it nothing could be told about x0 from a prediction of eps.

    Source: Nichol, Dhariwal 2021 (2102.09672), equation 17; with limits instead of their offset, as in
    Hoogeboom et al. 2023 (2301.11093), section 2.
    """

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        """cos of an angle from 0 to 90 degrees."""
        return torch.cos(self._angle(t))

    def sigma(self, t: torch.Tensor) -> torch.Tensor:
        """sin of the same angle."""
        return torch.sin(self._angle(t))

    def _angle(self, t: torch.Tensor) -> torch.Tensor:
        return _COSINE_BEGIN + (_COSINE_END - _COSINE_BEGIN) * t


@dataclass(frozen=True)
class LinearPath:
    """The noise rate rises linearly from .1 to 20, the limit of a thousand steps with beta from 1e-4 to .02.

    Source: Ho et al. 2020 (2006.11239), section 4; in continuous time Song et al. 2021 (2011.13456), equation 33.
    """

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        """exp of minus half the noise rate's integral."""
        return torch.exp(-self._integral(t) / 2)

    def sigma(self, t: torch.Tensor) -> torch.Tensor:
        """sqrt(1 - alpha^2)."""
        return torch.sqrt(-torch.expm1(-self._integral(t)))

    def _integral(self, t: torch.Tensor) -> torch.Tensor:
        return 0.1 * t + (20 - 0.1) / 2 * t**2


@dataclass(frozen=True)
class ZeroTerminalPath:
    """Another path, shifted and stretched so that it ends in noise alone and begins where it did.

    Source: Lin et al. 2024 (2305.08891), algorithm 1.
    """

    path: Path

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        """The other path's, shifted by its end and stretched back to its beginning; exactly 0 at t = 1."""
        return self._alpha(t).to(t.dtype)

    def sigma(self, t: torch.Tensor) -> torch.Tensor:
        """sqrt(1 - alpha^2)."""
        return torch.sqrt(1 - self._alpha(t) ** 2).to(t.dtype)

    def _alpha(self, t: torch.Tensor) -> torch.Tensor:
        # In double precision: near t = 0, 1 - alpha^2 is a small difference of large numbers.
        time = t.double()
        first, last = self.path.alpha(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist()
        shifted = (self.path.alpha(time) - last) * (first / (first - last))
        return torch.where(time < 1, shifted, 0.0)


@dataclass(frozen=True)
class EdmPath:
    """The image stays, and noise is piled on it: sigma from .002 to 80, its seventh root even in t.

    An even grid of times is therefore Karras's grid of sigmas.

    Source: Karras et al. 2022 (2206.00364), equation 5 and table 1.
    """

    smallest: float = 0.002
    largest: float = 80.0
    root: int = 7

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        """1."""
        return torch.ones_like(t)

    def sigma(self, t: torch.Tensor) -> torch.Tensor:
        """(root of the smallest + t (root of the largest - root of the smallest)) to the seventh power."""
        low, high = self._roots()
        return (low + t * (high - low)) ** self.root

    def find_time(self, sigma: torch.Tensor) -> torch.Tensor:
        """The time of a sigma, of its shape; 0 or 1 where `sigma` lies beyond the path's ends."""
        low, high = self._roots()
        return ((sigma ** (1 / self.root) - low) / (high - low)).clamp(0, 1)

    def _roots(self) -> tuple[float, float]:
        low: float = self.smallest ** (1 / self.root)
        high: float = self.largest ** (1 / self.root)
        return low, high


FLOW: Final = FlowPath()
EDM: Final = EdmPath()
COSINE: Final = CosinePath()
LINEAR: Final = LinearPath()


def select_path(recipe: DdpmRecipe) -> Path:
    """The path that a recipe's network is trained on."""
    if recipe.objective in ("flow", "flow-edm"):
        return FLOW
    if recipe.objective == "edm":
        return EDM
    path = COSINE if recipe.schedule == "cosine" else LINEAR
    return ZeroTerminalPath(path) if recipe.zero_terminal_snr else path
