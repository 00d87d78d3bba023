"""Point-source projection of solids: exact chord lengths, summed into images.

A pixel's ray runs from the source through the pixel. It is written from the midsagittal plane (y = 0), not from the
source, so that float32 keeps its digits: with the source 1.6 m away, the discriminant of a 4 mm pedicle would not.

Along a ray, a quadric is A t^2 + 2 B t + C <= 0. A, B and C are polynomials of degree two in the pixel's position, so
inside an 8 x 8 tile they come from one matrix product with the tile's 64 monomials, and a solid is only
evaluated in the tiles that its projected box touches.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from cspine_bench.sources.phantom.solids import SolidGroup

TILE = 8
_CHUNK_TILES = 1024
"""Tiles evaluated at once on a CPU: a few arrays of 1024 x 64 float32 stay in its cache. A GPU takes all of them."""


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
    groups: list[SolidGroup],
    camera: Camera,
    *,
    size: int,
    num_channels: int,
    oversample: int = 1,
    fourth_power: bool = False,
) -> torch.Tensor:
    """Weighted sums of chord lengths, per channel.

    Args:
        groups: solids of a batch of B radiographs.
        camera: of the same batch.
        size: side of the square image, px; a multiple of 8.
        num_channels: images per radiograph; a solid adds to the one that its `channels` names.
        oversample: rays per pixel along each axis, averaged (a divisor of 8): thin plates seen on edge need 2.
        fourth_power: sum fourth powers of the chords. A caller that takes the fourth root has a smooth union of
            overlapping solids instead of their sum.

    Returns:
        float32 (B, num_channels, size, size), mm (or mm^4) for weight 1. Differentiable in the solids.
    """
    tiles = _sum_tiles(
        groups, camera, size=size, num_channels=num_channels, oversample=oversample, fourth_power=fourth_power
    )
    if oversample > 1:
        # Inside the tiles: a quarter of the data is left to be put in order.
        pooled = functional.avg_pool2d(tiles.view(-1, TILE, TILE), oversample)
        tiles = pooled.view(*tiles.shape[:4], -1)
    image = _join_tiles(tiles)
    length = _ray_length(camera, size)[:, None]
    return image * (length**4 if fourth_power else length)


def project_labels(groups: list[SolidGroup], camera: Camera, *, size: int, num_channels: int) -> torch.Tensor:
    """The channel with the longest weighted chord, plus 1, where that is above 1; else 0: uint8 (B, size, size).

    Each solid's weight is 1 over the chord (mm) from which on a pixel belongs to it.
    """
    tiles = _sum_tiles(groups, camera, size=size, num_channels=num_channels, oversample=1, fourth_power=False)
    longest, channel = tiles.max(dim=1, keepdim=True)
    return _join_tiles(torch.where(longest > 1, channel + 1, 0).to(torch.uint8))[:, 0]


def _join_tiles(tiles: torch.Tensor) -> torch.Tensor:
    """(B, C, tiles down, tiles across, pixels of a square tile) -> (B, C, S, S)."""
    batch, channels, side = tiles.shape[:3]
    tile = math.isqrt(int(tiles.shape[-1]))
    joined = tiles.view(batch, channels, side, side, tile, tile).permute(0, 1, 2, 4, 3, 5)
    return joined.reshape(batch, channels, side * tile, side * tile)


def _sum_tiles(
    groups: list[SolidGroup], camera: Camera, *, size: int, num_channels: int, oversample: int, fourth_power: bool
) -> torch.Tensor:
    """Sums of weighted chords, in units of the ray's y: float32 (B, num_channels, S / 8, S / 8, 64), S rays a side."""
    rays = size * oversample
    spacing = camera.spacing / oversample
    batch, device = camera.spacing.shape[0], camera.spacing.device
    side = rays // TILE
    image = torch.zeros(batch * num_channels * side**2, TILE * TILE, dtype=torch.float32, device=device)
    monomials = _tile_monomials(device)
    for group in groups:
        low, high = _project_boxes(group, camera, size, oversample)
        solid, tile_row, tile_column = _list_touched_tiles(low, high, group.weights, side)
        owner, number = solid // group.weights.shape[1], solid % group.weights.shape[1]
        target = ((owner * num_channels + group.channels[number]) * side + tile_row) * side + tile_column
        middle = (rays - 1) / 2
        u = (tile_column * TILE + (TILE - 1) / 2 - middle) * spacing[owner]
        v = (tile_row * TILE + (TILE - 1) / 2 - middle) * spacing[owner]
        polynomials = _shift(_ray_polynomials(group, camera)[:, solid], u, v, spacing[owner])
        weights = group.weights.flatten().to(torch.float32)[solid, None]
        of_quadrics = 3 * group.quadrics.shape[2]
        depths = torch.stack(
            [group.centres[..., 1] - group.extents[..., 1], group.centres[..., 1] + group.extents[..., 1]]
        )
        for tiles, rows in _sort_by_planes(polynomials, of_quadrics, depths.flatten(1)[:, solid]):
            for part in _split_by_owner(owner[tiles], batch):
                chosen = tiles[part]
                values = polynomials[:rows, chosen] @ monomials
                chord = _chord(values[:of_quadrics], values[of_quadrics:])
                if fourth_power:
                    chord = (chord * chord) ** 2
                image.index_add_(0, target[chosen], chord * weights[chosen])
    return image.view(batch, num_channels, side, side, TILE * TILE)


def _sort_by_planes(
    polynomials: torch.Tensor, of_quadrics: int, depths: torch.Tensor
) -> list[tuple[torch.Tensor, int]]:
    """Tiles whose rays no plane cuts inside the solid, and tiles where one may; tiles beyond a plane are left out.

    Args:
        polynomials: (3 K + 2 H, T, 6) about the tiles' middles, in steps of one ray.
        of_quadrics: 3 K.
        depths: (2, T) least and greatest y of the solid's box, mm: along a ray, t = y.

    Returns:
        Indices of tiles, with the number of rows of `polynomials` that they need.
    """
    with torch.no_grad():
        f, g = polynomials[of_quadrics::2, :, :3].double(), polynomials[of_quadrics + 1 :: 2, :, :3].double()
        # Inside where f - t g >= 0: affine in u, v and in t, so its extremes lie at the tile's and the box's ends.
        at_ends = f - depths[:, None, :, None] * g
        swing = at_ends[..., 1:].abs().sum(-1) * ((TILE - 1) / 2)
        lowest, highest = (at_ends[..., 0] - swing).amin(0), (at_ends[..., 0] + swing).amax(0)
        outside, uncut = (highest < 0).any(0), (lowest > 0).all(0)
        whole, cut = torch.nonzero(uncut).flatten(), torch.nonzero(~uncut & ~outside).flatten()
    return [(whole, of_quadrics), (cut, polynomials.shape[0])]


def _split_by_owner(owner: torch.Tensor, batch: int) -> list[slice]:
    """Ranges of tiles that are evaluated together.

    On a CPU they never mix radiographs: a matrix product may round a row differently at another place in the matrix,
    and a sample's pixels must not depend on its neighbours. A GPU takes all at once.
    """
    if owner.device.type != "cpu":
        return [slice(0, owner.numel())]
    ends = torch.cumsum(torch.bincount(owner, minlength=batch), 0).tolist()
    parts = []
    for first, last in zip([0, *ends[:-1]], ends, strict=True):
        parts += [slice(start, min(start + _CHUNK_TILES, last)) for start in range(first, last, _CHUNK_TILES)]
    return parts


def _project_boxes(group: SolidGroup, camera: Camera, size: int, oversample: int) -> tuple[torch.Tensor, torch.Tensor]:
    """First and last ray (B * N, 2), (column, row), that may meet each solid's box."""
    with torch.no_grad():
        nearest = group.centres[..., 1] - group.extents[..., 1]
        reach = camera.source_distance[:, None]
        grown = reach / (reach + nearest).clamp(min=1.0)
        # The shadow of a box: its middle's shadow, its half sides magnified as at its nearest face, and the slant of
        # the rays through its thickness.
        middle = camera.project_points(group.centres, size)
        lever = torch.stack(
            [group.centres[..., 0] - camera.source_x[:, None], group.centres[..., 2] - camera.source_z[:, None]], -1
        ).abs()
        slant = lever * (group.extents[..., 1] / (reach + nearest).clamp(min=1.0) * grown)[..., None]
        half = (group.extents[..., ::2] * grown[..., None] + slant) / camera.spacing[:, None, None]
        low, high = (middle - half).flatten(0, 1), (middle + half).flatten(0, 1)
        return low * oversample - 1, high * oversample + oversample


def _list_touched_tiles(
    low: torch.Tensor, high: torch.Tensor, weights: torch.Tensor, tiles_per_side: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pairs of a solid (flat index over B x N) and a tile (row, column) that its shadow's box touches."""
    with torch.no_grad():
        first = (low / TILE).floor().clamp(0, tiles_per_side).long()
        last = (high / TILE).floor().clamp(-1, tiles_per_side - 1).long()
        extent = (last - first + 1).clamp(min=0) * (weights.flatten() != 0)[:, None]
        counts = extent[:, 0] * extent[:, 1]
        solid = torch.repeat_interleave(torch.arange(counts.numel(), device=counts.device), counts)
        start = torch.cumsum(counts, 0) - counts
        rank = torch.arange(solid.numel(), device=counts.device) - start[solid]
        columns = extent[solid, 0]
        return solid, first[solid, 1] + rank // columns, first[solid, 0] + rank % columns


def _ray_polynomials(group: SolidGroup, camera: Camera) -> torch.Tensor:
    """Coefficients over (1, u, v, u^2, uv, v^2), u and v mm from the image's middle to the right and down.

    Returns:
        float64 (3 K + 2 H, B * N, 6): the A, B, C of each quadric, then the f = -h . o and g = h . d of each
        half-space, inside which t g <= f.
    """
    zero, one = torch.zeros_like(camera.spacing), torch.ones_like(camera.spacing)
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
    solids = group.quadrics.shape[0] * group.quadrics.shape[1]
    forms = torch.stack(quadratic, -2).reshape(solids, 3 * group.quadrics.shape[2], 6)
    linear = (group.planes[..., None, :] @ basis)[..., 0, :]
    faces = torch.stack([-linear[..., :3], linear[..., 3:]], -2).reshape(solids, 2 * group.planes.shape[2], 3)
    return torch.cat([forms, functional.pad(faces, (0, 3))], 1).transpose(0, 1)


def _shift(coefficients: torch.Tensor, u: torch.Tensor, v: torch.Tensor, spacing: torch.Tensor) -> torch.Tensor:
    """Polynomials (R, T, 6) about the middles (u, v) of T tiles, in steps of one ray; float32.

    They are moved in float64; only the small steps inside a tile are taken in float32.
    """
    c, cu, cv, cuu, cuv, cvv = coefficients.unbind(-1)
    squared = spacing * spacing
    moved = torch.stack(
        [
            c + u * (cu + cuu * u + cuv * v) + v * (cv + cvv * v),
            (cu + 2 * cuu * u + cuv * v) * spacing,
            (cv + 2 * cvv * v + cuv * u) * spacing,
            cuu * squared,
            cuv * squared,
            cvv * squared,
        ],
        -1,
    )
    return moved.to(torch.float32)


def _tile_monomials(device: torch.device) -> torch.Tensor:
    step = torch.arange(TILE, dtype=torch.float32, device=device) - (TILE - 1) / 2
    v, u = torch.meshgrid(step, step, indexing="ij")
    return torch.stack([torch.ones_like(u), u, v, u * u, u * v, v * v]).flatten(1)


def _chord(a_b_c: torch.Tensor, f_g: torch.Tensor) -> torch.Tensor:
    """Length of the intersection of intervals, in units of the ray's y; (3K, T, P) and (2H, T, P) -> (T, P).

    The clamps keep gradients finite where a ray grazes a surface or runs along it.
    """
    enters, leaves = [], []
    for k in range(0, a_b_c.shape[0], 3):
        a, b, c = a_b_c[k].clamp(min=1e-12), a_b_c[k + 1], a_b_c[k + 2]
        half = (b * b - a * c).clamp(min=1e-12).sqrt() / a
        if a_b_c.shape[0] == 3 and f_g.shape[0] == 0:
            return 2 * half
        middle = b / a
        enters.append(-half - middle)
        leaves.append(half - middle)
    for k in range(0, f_g.shape[0], 2):
        # The shift keeps a ray that runs exactly along the plane from dividing by zero.
        g = f_g[k + 1] + 1e-9
        crossing, outwards = f_g[k] / g, g > 0
        leaves.append(torch.where(outwards, crossing, 1e9))
        enters.append(torch.where(outwards, -1e9, crossing))
    leave, enter = leaves[0], enters[0]
    for other_leave, other_enter in zip(leaves[1:], enters[1:], strict=True):
        leave, enter = torch.minimum(leave, other_leave), torch.maximum(enter, other_enter)
    return (leave - enter).clamp(min=0)


def _ray_length(camera: Camera, size: int) -> torch.Tensor:
    """Millimetres of ray per millimetre of y; float32 (B, size, size)."""
    step = torch.arange(size, dtype=torch.float64, device=camera.spacing.device) - (size - 1) / 2
    x = camera.centre_x[:, None] - camera.mirror[:, None] * step * camera.spacing[:, None] - camera.source_x[:, None]
    z = camera.centre_z[:, None] - step * camera.spacing[:, None] - camera.source_z[:, None]
    reach = camera.source_distance[:, None]
    across, along = ((x / reach) ** 2).to(torch.float32), ((z / reach) ** 2).to(torch.float32)
    return (1 + across[:, None, :] + along[:, :, None]).sqrt()
