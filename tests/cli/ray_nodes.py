"""A Ray cluster of two nodes on this machine: `python ray_nodes.py`, prints its address, ends when its stdin does."""

import os
import sys

import ray
from ray.cluster_utils import Cluster


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    # Ray speaks on stdout too; the address is all that belongs there.
    os.write(int(sys.argv[1]), f"{cluster.address}\n".encode())
    sys.stdin.read()
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
