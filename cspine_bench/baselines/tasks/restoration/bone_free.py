"""What phantoms are without bone: rendered once, kept in the user's cache, and checked against the films at hand.

CACHE/bone-free/SERIES/00000012.png    three planes, one below the other: film, bone-free, and white where bone lies

A series is a recipe of the phantom with its seed, at one size and bit depth. A file is whole or not there, so any
number of processes may share them.
"""

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from cspine_bench.baselines.cases import Cases, PhantomOrigin
from cspine_bench.dataset.files import explain_full_disk
from cspine_bench.errors import DataError
from cspine_bench.imaging.png import decode_png, encode_png
from cspine_bench.imaging.shrink import shrink_image
from cspine_bench.provenance import sha256_json
from cspine_bench.sources.phantom.bone_free import iter_bone_free
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.render import BoneFree
from cspine_bench.sources.phantom.source import PHANTOM_VERSION

FORMAT: Final = 1
"""Raised when the same phantom would give other planes."""
LEAST_SHADOW: Final = 0.02
"""Attenuation from which on bone lies at a pixel: half a millimetre of cortical bone."""
TOLERANCE: Final = 1 / 255
"""Mean difference, as a share of the range, up to which a film is the same: a GPU's last bits reach one gray level."""
_KEPT: Final = 1 << 16
"""Phantoms in memory at most."""


@dataclass(frozen=True)
class BoneFreeTruth:
    """Of radiographs in the order of their cases.

    Attributes:
        pixels: as `Cases.pixels`, without bone.
        bone: bool (n, S, S), where bone lies on the film.
    """

    pixels: NDArray[Any]
    bone: NDArray[np.bool_]


def default_folder() -> Path:
    """Where they are kept: `cspine-bench/bone-free` in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "cspine-bench" / "bone-free"


def find_phantoms(cases: Cases) -> NDArray[np.bool_]:
    """Bool (n,): which radiographs are phantoms of all layers whose records make the very same film again.

    What is not in the cache is rendered, which takes about as long as making the phantoms did.

    Raises:
        DataError: the cache's disk is full.
        OSError: it cannot be written.
    """
    _render_missing(cases)
    found = np.zeros(len(cases), np.bool_)
    for place, origin in enumerate(cases.phantoms):
        if origin is not None and _read_recipe(origin.parameters, cases.size) is not None:
            found[place] = _is_same(cases.pixels[place], _load_planes(origin, cases.size, cases.pixels.dtype)[0])
    return found


def load_bone_free(cases: Cases) -> BoneFreeTruth:
    """What radiographs are without bone.

    Args:
        cases: of `find_phantoms`.

    Raises:
        DataError: one is no phantom, or its record makes another film; names it.
        OSError: the cache cannot be written.
    """
    pixels, bone = np.empty_like(cases.pixels), np.empty(cases.pixels.shape, np.bool_)
    for place, origin in enumerate(cases.phantoms):
        name = f"{cases.where}: sample {cases.sample_ids[place]}"
        if origin is None or _read_recipe(origin.parameters, cases.size) is None:
            raise DataError(
                f"{name}: is no phantom that can be rendered at {cases.size} px without bone; bone suppression needs "
                "phantoms: make some with `cspine-bench dataset phantom`"
            )
        film, pixels[place], shadow = _load_planes(origin, cases.size, cases.pixels.dtype)
        if not _is_same(cases.pixels[place], film):
            raise DataError(f"{name}: its record makes another film; it was changed since, or made by another version")
        bone[place] = shadow > 0
    return BoneFreeTruth(pixels, bone)


def _is_same(pixels: NDArray[Any], film: NDArray[Any]) -> bool:
    difference = np.abs(pixels.astype(np.float64) - film).mean()
    return bool(difference <= TOLERANCE * np.iinfo(pixels.dtype).max)


@functools.lru_cache(maxsize=256)
def _read_recipe(parameters: str, size: int) -> PhantomRecipe | None:
    """None: no recipe of the phantom, of one layer alone, or of a size that is no multiple of `size`."""
    try:
        recipe = PhantomRecipe.model_validate_json(parameters)
    except ValidationError:
        return None
    return recipe if recipe.layer == "all" and recipe.size % size == 0 else None


def _find_path(origin: PhantomOrigin, size: int, depth: np.dtype[Any]) -> Path:
    return default_folder() / _name_series(origin.parameters, origin.seed, size, depth.name) / f"{origin.index:08d}.png"


@functools.lru_cache(maxsize=256)
def _name_series(parameters: str, seed: int, size: int, depth: str) -> str:
    return sha256_json([FORMAT, PHANTOM_VERSION, parameters, seed, size, depth])[:24]


def _render_missing(cases: Cases) -> None:
    """Render series by series, for which the geometry of many people is built at once."""
    depth = cases.pixels.dtype
    missing: dict[tuple[str, int], list[int]] = {}
    for origin in cases.phantoms:
        if origin is not None and not _find_path(origin, cases.size, depth).exists():
            missing.setdefault((origin.parameters, origin.seed), []).append(origin.index)
    for (parameters, seed), indices in missing.items():
        recipe = _read_recipe(parameters, cases.size)
        if recipe is None:
            continue
        for index, pair in iter_bone_free(recipe, seed, sorted(set(indices))):
            _write(_find_path(PhantomOrigin(parameters, seed, index), cases.size, depth), pair, cases.size, depth)


def _write(path: Path, pair: BoneFree, size: int, depth: np.dtype[Any]) -> None:
    factor, levels = pair.film.shape[0] // size, np.iinfo(depth).max
    planes = [np.rint(shrink_image(image, factor) * levels).astype(depth) for image in (pair.film, pair.bone_free)]
    shadow = pair.shadow.reshape(size, factor, size, factor).mean(axis=(1, 3))
    planes.append(np.where(shadow >= LEAST_SHADOW, levels, 0).astype(depth))
    data = encode_png(np.concatenate(planes))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with explain_full_disk(path, lambda: len(data)):
        draft.write_bytes(data)
    draft.replace(path)


@functools.lru_cache(maxsize=_KEPT)
def _load_planes(origin: PhantomOrigin, size: int, depth: np.dtype[Any]) -> NDArray[Any]:
    """(3, size, size): film, bone-free, and where bone lies; from the cache, or rendered where that has none."""
    path = _find_path(origin, size, depth)
    try:
        planes = decode_png(path.read_bytes(), where=str(path))
    except (FileNotFoundError, DataError):
        recipe = _read_recipe(origin.parameters, size)
        if recipe is None:
            raise
        [(_, pair)] = iter_bone_free(recipe, origin.seed, [origin.index])
        _write(path, pair, size, depth)
        planes = decode_png(path.read_bytes(), where=str(path))
    return planes.reshape(3, size, size)
