"""From line integrals to a radiograph: scatter, blur, quantum noise, and a film reader's display processing.

All images are float32 (B, S, S) tensors. Lengths are mm in the midsagittal plane, so the look does not depend on the
number of pixels. Random numbers come in as arrays, drawn by the caller from each sample's own generators.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass
class Exposure:
    """How a batch was exposed and displayed; every field a float64 tensor (B,).

    Attributes:
        spacing: mm per pixel in the midsagittal plane.
        photons: quanta per mm^2 that reach the detector without a patient, at the midsagittal plane.
        scatter_ratio: scattered over primary intensity behind the spine.
        blur: mm, standard deviation of focal spot and detector blur.
        detail, base: weights of the display's fine and coarse contrast (multi-scale processing).
        window_low, window_high: display window in units of the processed log signal.
        gamma: display curve.
        air: log signal below which the film counts as directly exposed.
    """

    spacing: torch.Tensor
    photons: torch.Tensor
    scatter_ratio: torch.Tensor
    blur: torch.Tensor
    detail: torch.Tensor
    base: torch.Tensor
    window_low: torch.Tensor
    window_high: torch.Tensor
    gamma: torch.Tensor
    air: torch.Tensor


_COARSEST_SIGMA_PX = 2.5
"""A blur is done on a coarser grid as long as it is at least this wide there."""


def gaussian_blur(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Blur each image (B, S, S) with its own sigma (B,), px; edges are replicated.

    Wide blurs are done on a coarser grid, which costs less and errs by about 1 % of the step at an edge. Images are
    blurred one by one: the result never depends on the others in the batch.
    """
    return torch.cat([_blur_one(image, width) for image, width in zip(images, sigma.tolist(), strict=True)])


def _blur_one(image: torch.Tensor, sigma: float) -> torch.Tensor:
    size, reduction = image.shape[-1], 1
    while sigma / (2 * reduction) >= _COARSEST_SIGMA_PX and size % (2 * reduction) == 0:
        reduction *= 2
    scaled = max(sigma / reduction, 1e-3)
    radius = min(max(1, round(3.0 * scaled)), size // reduction - 1)
    # Padded before it is made coarse, so that edges replicate the edge pixel and not a block's mean.
    # One coarse pixel more than the kernel needs: the way back to the fine grid interpolates between their middles.
    padded = functional.pad(image[None, None], ((radius + 1) * reduction,) * 4, mode="replicate")
    if reduction > 1:
        padded = functional.avg_pool2d(padded, reduction)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32, device=image.device)
    kernel = torch.exp(-0.5 * (offsets / scaled) ** 2)
    kernel = kernel / kernel.sum()
    blurred = functional.conv2d(functional.conv2d(padded, kernel[None, None, :, None]), kernel[None, None, None, :])
    if reduction > 1:
        blurred = functional.interpolate(blurred, scale_factor=reduction, mode="bilinear", align_corners=False)
    return blurred[0, :, reduction : reduction + size, reduction : reduction + size]


_SCATTER_CEILING = 0.35
_SCATTER_SCALE = 0.76
"""Makes scatter over primary behind C3-C7 equal `scatter_ratio` on the mean default film; measured, see the tests."""


def expose(line_integrals: torch.Tensor, exposure: Exposure) -> torch.Tensor:
    """Expected quanta per pixel behind the patient: Beer-Lambert primary, scatter, blur.

    Args:
        line_integrals: (B, S, S) sum of attenuation times chord.

    Scatter is the primary image spread by a broad Gaussian (25 mm, an assumption) and scaled: the convolution model of
    Ohnesorge et al. 1999. Deviation from it: rays through less than about a third of the neck's attenuation count no
    more than `_SCATTER_CEILING`, because quanta that pass beside the patient scatter nowhere.
    """
    primary = torch.exp(-line_integrals)
    spread = gaussian_blur(primary.clamp(max=_SCATTER_CEILING), 25.0 / exposure.spacing)
    total = primary + (_SCATTER_SCALE * exposure.scatter_ratio.to(torch.float32))[:, None, None] * spread
    total = gaussian_blur(total, exposure.blur / exposure.spacing)
    area = (exposure.photons * exposure.spacing**2).to(torch.float32)
    return total * area[:, None, None]


def develop(quanta: torch.Tensor, exposure: Exposure) -> torch.Tensor:
    """Display values 0..1 (bone bright) from detected quanta per pixel (B, S, S).

    Log signal, then coarse contrast compressed and fine contrast raised (a two-band Laplacian pyramid, the principle of
    multi-scale processing in digital radiography; Vuylsteke and Schoeters 1994), then window and curve.
    """
    area = (exposure.photons * exposure.spacing**2).to(torch.float32)[:, None, None]
    signal = -torch.log((quanta + 0.5) / area)
    coarse = gaussian_blur(signal, 14.0 / exposure.spacing)
    medium = gaussian_blur(signal, 1.6 / exposure.spacing)
    detail = exposure.detail.to(torch.float32)[:, None, None]
    base = exposure.base.to(torch.float32)[:, None, None]
    # Where the film is directly exposed the raised detail would only ring: fade it out towards air.
    air = exposure.air.to(torch.float32)[:, None, None]
    inside = torch.sigmoid((signal - air) * (3.3 / air))
    processed = base * coarse + inside * (0.5 + 0.5 * detail) * (medium - coarse) + inside * detail * (signal - medium)
    processed = processed + (1 - inside) * base * (signal - coarse)
    low = exposure.window_low.to(torch.float32)[:, None, None]
    high = exposure.window_high.to(torch.float32)[:, None, None]
    shown = ((processed - low) / (high - low)).clamp(min=0)
    # A soft shoulder instead of a hard clip, as film and display curves have.
    shown = torch.where(shown < 0.8, shown, 0.8 + 0.2 * (1 - torch.exp(-(shown - 0.8) / 0.2)))
    return shown.clamp(0, 1) ** exposure.gamma.to(torch.float32)[:, None, None]
