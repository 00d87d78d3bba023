"""The job scripts are sound, and an array's tasks, each with its number from Slurm, make one dataset."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.launch import launch_command_parser
from small_run import write_small_run

from cspine_bench.cli.baseline import baseline
from cspine_bench.dataset.verify import verify_dataset

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted([*(ROOT / "generation/slurm").glob("*.sbatch"), *(ROOT / "benchmarks/slurm").glob("*.sbatch")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_shell_reads_it(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", script], check=True)


def run_task(
    number: int, count: int, *arguments: str, script: str = "generation/slurm/sample.sbatch", **environment: str
) -> list[str]:
    """What a task of an array would start, `echo` being its interpreter."""
    slurm = {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_TASK_COUNT": str(count), "PYTHON": "echo"}
    answer = subprocess.run(
        ["bash", ROOT / script, *arguments],
        env=os.environ | slurm | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return shlex.split(answer.stdout)


def test_two_tasks_of_an_array_make_one_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = write_small_run(tmp_path / "run"), tmp_path / "samples"
    said = []
    for number in (0, 1):
        command = run_task(number, 2, str(run), "--out", str(out), "--count", "4", "--steps", "2")
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(str(ROOT / command[0]), run_name="__main__")
        assert stopped.value.code == 0
        said.append(capsys.readouterr().out.splitlines())
    assert said[0] == [f"{out}: part 0/2 done, 1 of 3 files missing"]
    assert said[1] == [
        f"{out}: part 1/2 done, 0 of 3 files missing",
        f"{out}: 4 radiographs (train 2, validation 1, test 1)",
    ]
    assert verify_dataset(out) == []


def test_single_tasks_are_run_again_by_their_number() -> None:
    assert run_task(5, 2, "run", PARTS="8")[-2:] == ["--shard", "5/8"]


@pytest.mark.parametrize("verb", ["annotate", "run"])
def test_arrays_of_the_benchmarks_are_commands_that_there_are(verb: str) -> None:
    script = f"benchmarks/slurm/{'baseline' if verb == 'run' else verb}.sbatch"
    words = run_task(1, 4, "what", "--out", "a folder", script=script)
    assert words[:4] == ["-m", "cspine_bench", "baseline", verb] and words[-2:] == ["--shard", "1/4"]
    options = {text for parameter in baseline.commands[verb].params for text in parameter.opts}
    told = (ROOT / script).read_text() + (ROOT / "benchmarks/slurm/README.md").read_text()
    lines = [line for line in told.splitlines() if f"{Path(script).name} " in line]
    assert set(re.findall(r"--[a-z-]+", " ".join(lines))) - {"--array"} <= options


def run_training(tmp_path: Path, hosts: int, gpus: int) -> list[str]:
    """What a host of a training job would start; `srun` and `scontrol` are played."""
    for name, text in {"srun": 'shift; exec "$@"', "scontrol": "printf 'alpha\\nbeta\\n'"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_GPUS_ON_NODE": str(gpus), "SLURM_JOB_NUM_NODES": str(hosts), "SLURM_NODEID": str(hosts - 1)}
    slurm |= {"SLURM_JOB_ID": "41234", "SLURM_JOB_NODELIST": "x", "PYTHON": "echo"}
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    answer = subprocess.run(
        ["bash", ROOT / "generation/slurm/train.sbatch", "phantom-128", "--data", "ds", "--out", "a run"],
        env=os.environ | slurm | {"PATH": path}, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return answer.stdout.split()


def test_training_starts_a_process_for_each_gpu_of_each_host(tmp_path: Path) -> None:
    words = run_training(tmp_path, hosts=2, gpus=4)
    assert words[:2] == ["-m", "accelerate.commands.launch"]
    asked = launch_command_parser().parse_args(words[2:])
    assert (asked.num_machines, asked.num_processes, asked.machine_rank, asked.multi_gpu) == (2, 8, 1, True)
    assert (asked.main_process_ip, asked.main_process_port) == ("alpha", 21234)
    assert asked.training_script == "generation/train.py"
    assert asked.training_script_args == ["phantom-128", "--data", "ds", "--out", "a", "run"]
    assert not launch_command_parser().parse_args(run_training(tmp_path, hosts=1, gpus=1)[2:]).multi_gpu
