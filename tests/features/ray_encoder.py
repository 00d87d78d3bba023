"""Encode a dataset in Ray tasks, of which one is killed: `python ray_encoder.py DATASET STORE MARKS [CPUS]`, JSON out.

Every image that is encoded anywhere leaves a byte in MARKS/PID.
"""

import hashlib
import json
import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from toy_encoder import Blocks, make_encoder

from cspine_bench.dataset.ray_tasks import RayCluster, connect
from cspine_bench.errors import DataError
from cspine_bench.features.extract import encode_dataset

KILLED_AFTER = 50


@dataclass
class Mortal(Blocks):
    """As its parent, but the first process that has encoded so many images dies, once."""

    marks: Path = Path()

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        with (self.marks / str(os.getpid())).open("ab") as file:
            file.write(b"." * len(images))
        found = super().__call__(images)
        if self.num_encoded >= KILLED_AFTER:
            try:
                (self.marks / "killed").open("xb").close()
            except FileExistsError:
                return found
            os.kill(os.getpid(), signal.SIGKILL)
        return found


def main(dataset: Path, store: Path, marks: Path) -> None:
    encoder = replace(make_encoder()[0], network=Mortal(marks=marks))
    refused = []
    with connect(None):
        found = encode_dataset(dataset, encoder, store, ray=RayCluster(max_tasks=2))
        for wrong in (RayCluster(num_cpus=1000), RayCluster(num_gpus=1000)):
            try:
                encode_dataset(dataset, make_encoder(scale=2.0)[0], store, ray=wrong)
            except DataError as error:
                refused.append(str(error))
        try:
            encode_dataset(dataset, make_encoder(scale=float("nan"))[0], store, ray=RayCluster(max_tasks=1))
        except DataError as error:
            refused.append(str(error))
    print(json.dumps({"values": hashlib.sha256(found.values.tobytes()).hexdigest(), "refused": refused}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
