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
        scatter_ratio: scattered over primary intensity behind the neck. With the large air gap of a lateral neck film
            and no grid it is about 0.3 to 1.
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


def gaussian_blur(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Blur each image (B, S, S) with its own sigma (B,), px; edges are replicated.

    Large sigmas are blurred on a coarser grid, which costs less and errs by less than 1 % of the step at an edge.
    """
    reduction = 1
    while float(sigma.min()) / reduction > 4.0 and images.shape[-1] % (2 * reduction) == 0:
        reduction *= 2
    coarse = functional.avg_pool2d(images[:, None], reduction)[:, 0] if reduction > 1 else images
    scaled = (sigma / reduction).to(torch.float32)
    radius = max(1, int(3.0 * float(scaled.max()) + 0.5))
    radius = min(radius, coarse.shape[-1] - 1)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / scaled.clamp(min=1e-3)[:, None]) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    padded = functional.pad(coarse[None], (radius, radius, radius, radius), mode="replicate")
    batch = images.shape[0]
    rows = functional.conv2d(padded, kernel[:, None, :, None], groups=batch)
    both = functional.conv2d(rows, kernel[:, None, None, :], groups=batch)
    if reduction > 1:
        both = functional.interpolate(both, size=images.shape[-2:], mode="bilinear", align_corners=False)
    return both[0]


def expose(line_integrals: torch.Tensor, exposure: Exposure) -> torch.Tensor:
    """Expected quanta per pixel behind the patient: Beer-Lambert primary, scatter, blur.

    Args:
        line_integrals: (B, S, S) sum of attenuation times chord.

    Scatter is the primary image spread by a broad Gaussian (25 mm) and scaled: the usual convolution model, without its
    dependence on thickness. Source: Ohnesorge et al. 1999 for the form; the width is an assumption.
    """
    primary = torch.exp(-line_integrals)
    scatter = gaussian_blur(primary.clamp(max=0.35), 25.0 / exposure.spacing)
    total = primary + exposure.scatter_ratio.to(torch.float32)[:, None, None] * scatter * 0.35
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
