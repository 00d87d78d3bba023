"""Point-source projection of solids: exact chord lengths, summed into images.

A pixel's ray runs from the source through the pixel. It is written from the midsagittal plane (y = 0), not from the
source, so that float32 keeps its digits: with the source 1.6 m away, the discriminant of a 4 mm pedicle would not.

Along a ray, a quadric is A t^2 + 2 B t + C <= 0. A, B and C are polynomials of degree two in the pixel's position, so
inside an 8 x 8 tile they come from one matrix product with the tile's 64 monomials, and a solid is only
evaluated in the tiles that its projected box touches.
"""

from dataclasses import dataclass

import torch

from cspine_bench.sources.phantom.solids import SolidGroup

TILE = 8
_CHUNK_TILES = 2048
"""Tiles evaluated at once on a CPU: 2048 x 64 float32 stay in its cache. A GPU takes all of them."""


@dataclass
class Camera:
    """Point source and detector, in the frame of the solids. All (B,), float64, mm.

    Attributes:
        source_x, source_z: where the central ray crosses the midsagittal plane.
        source_distance: from the source to the midsagittal plane.
        centre_x, centre_z: point of the midsagittal plane in the middle of the image.
        spacing: side of a pixel, in the midsagittal plane.
        mirror: +1 where the image's left is anterior (facing left), -1 where it is posterior.
    """

    source_x: torch.Tensor
    source_z: torch.Tensor
    source_distance: torch.Tensor
    centre_x: torch.Tensor
    centre_z: torch.Tensor
    spacing: torch.Tensor
    mirror: torch.Tensor

    def to(self, device: torch.device) -> "Camera":
        """The same camera on a device."""
        return Camera(**{name: tensor.to(device) for name, tensor in vars(self).items()})

    def project_points(self, points: torch.Tensor, size: int) -> torch.Tensor:
        """Pixel positions (B, N, 2), (x, y), of points (B, N, 3) mm; (0, 0) is the centre of the top-left pixel."""
        scale = self.source_distance[:, None] / (self.source_distance[:, None] + points[..., 1])
        x = self.source_x[:, None] + (points[..., 0] - self.source_x[:, None]) * scale
        z = self.source_z[:, None] + (points[..., 2] - self.source_z[:, None]) * scale
        middle = (size - 1) / 2
        column = middle - self.mirror[:, None] * (x - self.centre_x[:, None]) / self.spacing[:, None]
        row = middle - (z - self.centre_z[:, None]) / self.spacing[:, None]
        return torch.stack([column, row], dim=-1)


def project_solids(
    groups: list[SolidGroup], camera: Camera, *, size: int, num_channels: int, oversample: int = 1, power: float = 1.0
) -> torch.Tensor:
    """Weighted sums of chord lengths, per channel.

    Args:
        groups: solids of a batch of B radiographs.
        camera: of the same batch.
        size: side of the square image, px; a multiple of 8.
        num_channels: images per radiograph; a solid adds to the one that its `channels` names.
        oversample: rays per pixel along each axis, averaged: thin plates seen on edge need 2.
        power: chords are raised to it before they are summed. A caller that takes the root of the sum has a smooth
            union of overlapping solids instead of their sum.

    Returns:
        float32 (B, num_channels, size, size); mm for weight 1 and power 1. Differentiable in solids and camera.
    """
    rays = size * oversample
    spacing = camera.spacing / oversample
    batch = camera.spacing.shape[0]
    tiles_per_side = rays // TILE
    device = camera.spacing.device
    image = torch.zeros(batch * num_channels * tiles_per_side**2, TILE * TILE, dtype=torch.float32, device=device)
    for group in groups:
        corners = camera.project_points(group.corners.flatten(1, 2), size)
        corners = corners.unflatten(1, (-1, 8)) * oversample + (oversample - 1) / 2
        solid, tile_row, tile_column = _list_touched_tiles(corners, group.weights, tiles_per_side)
        if solid.numel() == 0:
            continue
        owner = solid // group.weights.shape[1]
        channel = group.channels[solid % group.weights.shape[1]]
        target = ((owner * num_channels + channel) * tiles_per_side + tile_row) * tiles_per_side + tile_column
        middle = (rays - 1) / 2
        u = (tile_column * TILE + (TILE - 1) / 2 - middle) * spacing[owner]
        v = (tile_row * TILE + (TILE - 1) / 2 - middle) * spacing[owner]
        forms, faces = _ray_polynomials(group, camera)
        weights = group.weights.flatten().to(torch.float32)
        step = _CHUNK_TILES if device.type == "cpu" else solid.numel()
        for part in torch.arange(solid.numel(), device=device).split(step):
            which = solid[part]
            monomials = _tile_monomials(device)
            scale = spacing[owner[part]]
            a_b_c = _shift_polynomials(forms[which], u[part], v[part], scale) @ monomials
            f_g = _shift_polynomials(faces[which], u[part], v[part], scale) @ monomials
            chord = _chord(a_b_c, f_g)
            if power != 1.0:
                chord = chord**power
            image = image.index_add(0, target[part], chord * weights[which, None])
    image = image.view(batch, num_channels, tiles_per_side, tiles_per_side, TILE, TILE)
    image = image.permute(0, 1, 2, 4, 3, 5).reshape(batch, num_channels, rays, rays)
    image = image * (_ray_length(camera, size=rays, spacing=spacing) ** power)[:, None]
    return torch.nn.functional.avg_pool2d(image, oversample) if oversample > 1 else image


def _list_touched_tiles(
    corners: torch.Tensor, weights: torch.Tensor, tiles_per_side: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pairs of a solid (flat index over B x N) and a tile that its projected box (corners, rays) touches."""
    with torch.no_grad():
        corners = corners.detach()
        first = ((corners.amin(2) - 0.5) / TILE).floor().clamp(0, tiles_per_side).long().flatten(0, 1)
        last = ((corners.amax(2) + 0.5) / TILE).floor().clamp(-1, tiles_per_side - 1).long().flatten(0, 1)
        extent = (last - first + 1).clamp(min=0) * (weights.flatten() != 0)[:, None]
        counts = extent[:, 0] * extent[:, 1]
        solid = torch.repeat_interleave(torch.arange(counts.numel(), device=counts.device), counts)
        start = torch.cumsum(counts, 0) - counts
        rank = torch.arange(solid.numel(), device=counts.device) - start[solid]
        columns = extent[solid, 0]
        return solid, first[solid, 1] + rank // columns, first[solid, 0] + rank % columns


def _ray_polynomials(group: SolidGroup, camera: Camera) -> tuple[torch.Tensor, torch.Tensor]:
    """Coefficients over (1, u, v, u^2, uv, v^2), u and v mm from the image's middle to the right and down.

    Returns:
        forms: float64 (B * N, K * 3, 6), the A, B, C of each quadric.
        faces: float64 (B * N, H * 2, 6), the f = -h . o and g = h . d of each half-space: t g <= f inside.
    """
    batch, zero, one = camera.spacing.shape[0], torch.zeros_like(camera.spacing), torch.ones_like(camera.spacing)
    offset_x = (camera.centre_x - camera.source_x) / camera.source_distance
    offset_z = (camera.centre_z - camera.source_z) / camera.source_distance
    origin = [
        torch.stack([camera.centre_x, zero, camera.centre_z, one], -1),
        torch.stack([-camera.mirror, zero, zero, zero], -1),
        torch.stack([zero, zero, -one, zero], -1),
    ]
    direction = [
        torch.stack([offset_x, one, offset_z, zero], -1),
        origin[1] / camera.source_distance[:, None],
        origin[2] / camera.source_distance[:, None],
    ]
    basis = torch.stack(origin + direction, -1)[:, None, None]
    form = basis.transpose(-1, -2) @ group.quadrics @ basis
    quadratic = []
    for rows, columns in ((slice(3, 6), slice(3, 6)), (slice(0, 3), slice(3, 6)), (slice(0, 3), slice(0, 3))):
        block = form[..., rows, columns]
        block = block + block.transpose(-1, -2)
        half = [block[..., 0, 0] / 2, block[..., 0, 1], block[..., 0, 2], block[..., 1, 1] / 2, block[..., 1, 2]]
        quadratic.append(torch.stack([*half, block[..., 2, 2] / 2], -1))
    forms = torch.stack(quadratic, -2).reshape(batch * group.quadrics.shape[1], -1, 6)
    linear = (group.planes[..., None, :] @ basis)[..., 0, :]
    padded = torch.zeros(*linear.shape[:-1], 2, 6, dtype=linear.dtype, device=linear.device)
    padded = torch.cat([torch.stack([-linear[..., :3], linear[..., 3:]], -2), padded[..., :3]], -1)
    return forms, padded.reshape(batch * group.planes.shape[1], -1, 6)


def _shift_polynomials(
    coefficients: torch.Tensor, u: torch.Tensor, v: torch.Tensor, spacing: torch.Tensor
) -> torch.Tensor:
    """Coefficients about a tile's middle (u, v), over steps of one ray; float32 (T, rows, 6)."""
    u, v, spacing = u[:, None], v[:, None], spacing[:, None]
    c, cu, cv, cuu, cuv, cvv = coefficients.unbind(-1)
    shifted = torch.stack(
        [
            c + u * (cu + cuu * u + cuv * v) + v * (cv + cvv * v),
            (cu + 2 * cuu * u + cuv * v) * spacing,
            (cv + 2 * cvv * v + cuv * u) * spacing,
            cuu * spacing**2,
            cuv * spacing**2,
            cvv * spacing**2,
        ],
        -1,
    )
    return shifted.to(torch.float32)


def _tile_monomials(device: torch.device) -> torch.Tensor:
    step = torch.arange(TILE, dtype=torch.float32, device=device) - (TILE - 1) / 2
    v, u = torch.meshgrid(step, step, indexing="ij")
    return torch.stack([torch.ones_like(u), u, v, u * u, u * v, v * v]).flatten(1)


def _chord(a_b_c: torch.Tensor, f_g: torch.Tensor) -> torch.Tensor:
    """Length of the intersection of intervals, in units of the ray's y; (T, 3K, P) and (T, 2H, P) -> (T, P).

    The clamps keep gradients finite where a ray grazes a surface or runs along it.
    """
    enter: torch.Tensor | None = None
    leave: torch.Tensor | None = None
    for k in range(0, a_b_c.shape[1], 3):
        a, b, c = a_b_c[:, k].clamp(min=1e-12), a_b_c[:, k + 1], a_b_c[:, k + 2]
        half = (b * b - a * c).clamp(min=1e-12).sqrt() / a
        near, far = -b / a - half, -b / a + half
        enter = near if enter is None else torch.maximum(enter, near)
        leave = far if leave is None else torch.minimum(leave, far)
    for k in range(0, f_g.shape[1], 2):
        f, g = f_g[:, k], f_g[:, k + 1]
        g = torch.where(g.abs() < 1e-7, torch.where(g < 0, -1e-7, 1e-7), g)
        crossing = f / g
        far = torch.where(g > 0, crossing, 1e9)
        near = torch.where(g > 0, -1e9, crossing)
        enter = near if enter is None else torch.maximum(enter, near)
        leave = far if leave is None else torch.minimum(leave, far)
    if enter is None or leave is None:
        raise ValueError("a solid needs at least one quadric or half-space")
    return (leave - enter).clamp(min=0)


def _ray_length(camera: Camera, *, size: int, spacing: torch.Tensor) -> torch.Tensor:
    """Millimetres of ray per millimetre of y; float32 (B, size, size)."""
    step = torch.arange(size, dtype=torch.float64, device=spacing.device) - (size - 1) / 2
    x = camera.centre_x[:, None] - camera.mirror[:, None] * step * spacing[:, None] - camera.source_x[:, None]
    z = camera.centre_z[:, None] - step * spacing[:, None] - camera.source_z[:, None]
    squared = (x[:, None, :] ** 2 + z[:, :, None] ** 2) / camera.source_distance[:, None, None] ** 2
    return (1 + squared).sqrt().to(torch.float32)
