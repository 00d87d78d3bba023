"""Do a CPU and a GPU make the same phantom? Compares images, masks and landmarks sample by sample.

    python benchmarks/phantom_devices.py [--count 64] [--size 256] [--device cuda]

Random numbers come from the CPU in both cases; only projection and film are computed on the device. A pixel's quanta
are Poisson draws at a rate that differs in its last bits, so a few pixels may fall on the other side of a rounding.
"""

import argparse
import json
import platform
from pathlib import Path

import numpy as np
import torch

from cspine_bench.provenance import find_commit, library_versions
from cspine_bench.sources.phantom import PhantomRecipe, PhantomSource

RESULTS = Path(__file__).parent / "results"
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    recipe = PhantomRecipe(size=arguments.size)
    sources = [PhantomSource(recipe, arguments.count, SEED, device) for device in ("cpu", arguments.device)]
    keys = sources[0].list_samples()
    differences, mask_pixels, landmark_px = [], 0, 0.0
    for one, other in zip(*(source.iter_radiographs(keys) for source in sources), strict=True):
        differences.append(np.abs(one.image.astype(np.int32) - other.image.astype(np.int32)))
        mask_pixels += int((one.mask != other.mask).sum())
        landmark_px = max(landmark_px, float(np.abs(one.landmarks_xy - other.landmarks_xy).max()))
    levels = np.stack(differences)
    commit = find_commit()
    result = {
        "schema_version": 1,
        "measure": "phantom_devices",
        "devices": ["cpu", torch.cuda.get_device_name() if torch.cuda.is_available() else arguments.device],
        "count": arguments.count,
        "size_px": arguments.size,
        "seed": SEED,
        "command": f"python benchmarks/phantom_devices.py --count {arguments.count} --size {arguments.size} "
        f"--device {arguments.device}",
        "commit": None if commit is None else commit.sha,
        "versions": {"python": platform.python_version(), **library_versions(("numpy", "torch"))},
        "figures": {
            "largest_gray_difference": int(levels.max()),
            "share_of_pixels_that_differ": float((levels > 0).mean()),
            "share_of_pixels_that_differ_by_more_than_one": float((levels > 1).mean()),
            "images_equal_to_the_bit": int((levels.reshape(len(levels), -1).max(1) == 0).sum()),
            "mask_pixels_that_differ": mask_pixels,
            "largest_landmark_difference_px": landmark_px,
        },
    }
    out = RESULTS / f"phantom_devices_{torch.device(arguments.device).type}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["figures"], indent=1))


if __name__ == "__main__":
    main()
