"""Ray tasks give what one process gives, also when a worker is killed in the middle of a block."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_encoder import make_encoder
from toy_source import ToySource

from cspine_bench.dataset.ray_tasks import RayCluster
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import MissingExtraError
from cspine_bench.features.extract import BLOCK_ROWS, encode_dataset

COUNT = 3 * BLOCK_ROWS + 9


@pytest.mark.xdist_group("ray")
@pytest.mark.slow
def test_a_killed_worker_costs_its_block_alone(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra cspine-bench[ray] is not installed")
    write_dataset(ToySource(COUNT), tmp_path / "ds")
    (tmp_path / "marks").mkdir()
    script = Path(__file__).with_name("ray_encoder.py")
    command = [sys.executable, str(script), *(str(tmp_path / name) for name in ("ds", "store", "marks"))]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)  # one document: Ray prints nothing beside it

    encoder, counter = make_encoder()
    here = encode_dataset(tmp_path / "ds", encoder, tmp_path / "alone")
    assert counter.num_encoded == COUNT
    assert told["values"] == hashlib.sha256(here.values.tobytes()).hexdigest()
    marks = {path.name: path.stat().st_size for path in (tmp_path / "marks").iterdir()}
    assert marks.pop("killed") == 0 and len(marks) > 1
    assert COUNT < sum(marks.values()) <= COUNT + BLOCK_ROWS
    cpus, gpus, broken = told["refused"]
    assert "no node of the Ray cluster has 1000 CPUs and 0 GPUs for one task" in cpus and "1000 GPUs" in gpus
    assert "blocks gives NaN or infinity for it; its weights are broken" in broken and broken.startswith("sample toy")


def test_a_cluster_and_workers_exclude_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(ToySource(4), tmp_path / "ds")
    with pytest.raises(ValueError, match="num_workers=2 and ray: encode in worker processes or in a cluster"):
        encode_dataset(tmp_path / "ds", make_encoder()[0], tmp_path / "s", num_workers=2, ray=RayCluster())
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'cspine-bench\[ray\]'"):
        encode_dataset(tmp_path / "ds", make_encoder()[0], tmp_path / "s", ray=RayCluster())
    encode_dataset(tmp_path / "ds", make_encoder()[0], tmp_path / "s")
    assert len(encode_dataset(tmp_path / "ds", make_encoder()[0], tmp_path / "s", ray=RayCluster())) == 4
