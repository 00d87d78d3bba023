"""A tiny study folder made by hand from random frames: what server and page need, without a plan."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from cspine_bench.study.folder import StudyFolder, StudyPaths, open_study
from cspine_bench.study.ledger.store import create_ledger
from cspine_bench.study.protocol import FramesFile, Hypotheses, LeakAudit, Protocol, Source, render_protocol
from cspine_bench.study.recipe import StudyRecipe
from cspine_bench.study.schedule import PlannedTrial, ReaderSchedule, Schedule, TrialKind
from cspine_bench.study.truth import FrameTruth, Truth

SOURCES = ("real", "ckpt-early", "ckpt-late", "ckpt-best")
DATASETS = {"real": "csxa-held-out", "control": "csxa-held-out"} | {name: f"samples-{name}" for name in SOURCES[1:]}


MakeOnce = Callable[[str, Callable[[Path], object]], Path]


def make_bare_study(folder: Path, *, size: int = 32, seed: int = 5, **settings: Any) -> StudyFolder:
    """Write a study and its ledger. Its pixels are noise with a disc, brighter in real frames, so that one can see."""
    values = {"readers": 3, "cases": 4, "training": 1, "repeats": 1, "repeat_lag": 2, "positive_controls": 1}
    recipe = StudyRecipe.model_validate(values | settings)
    draw = np.random.default_rng(seed)
    cases, truth = _draw_cases(recipe, draw)
    names = tuple(f"R{index + 1}" for index in range(recipe.readers))
    schedule = Schedule(id_key=draw.bytes(32).hex(), readers=tuple(_order(name, cases, recipe, draw) for name in names))
    folder.mkdir(parents=True)
    (folder / "sealed").mkdir()
    paths = StudyPaths(folder)
    depth = recipe.bit_depth or 8
    frames = _draw_frames(truth, size, depth, draw)
    paths.frames.write_bytes(frames.tobytes())
    paths.schedule.write_text(schedule.model_dump_json())
    sealed = Truth(salt=draw.bytes(32).hex(), secret=draw.bytes(32).hex(), frames=tuple(truth))
    paths.truth.write_bytes(sealed.render())
    protocol = Protocol(
        recipe=recipe,
        hypotheses=Hypotheses(primary="p", equivalence="e", ratings="r", agreement="a", order="o"),
        exclusions=(),
        readers=names,
        sources=(Source(name="real", role="real", dataset=None, drawn=len(cases)),),
        frames=FramesFile(
            count=len(truth),
            width=size,
            height=size,
            bit_depth=depth,
            sha256=hashlib.sha256(frames.tobytes()).hexdigest(),
            frame_sha256=tuple(hashlib.sha256(frame.tobytes()).hexdigest() for frame in frames),
            window=(2 ** (depth - 1), 2**depth),
        ),
        matching={},
        leak_audit=LeakAudit(
            auc=0.5, low=0.4, high=0.6, by_features={}, limit=0.7, method="none", num_real=4, num_synthetic=12
        ),
        schedule_sha256=hashlib.sha256(paths.schedule.read_bytes()).hexdigest(),
        truth_sha256=sealed.compute_seal(),
        seed=seed,
        package_version="0",
        commit=None,
    )
    freeze(folder, protocol)
    study = open_study(folder)
    create_ledger(paths.ledger, study)
    return study


def copy_bare_study(make_once: MakeOnce, folder: Path) -> StudyFolder:
    """A study of one's own, to answer or to spoil."""
    shutil.copytree(make_once("bare-study", lambda made: make_bare_study(made)), folder)
    return open_study(folder)


def freeze(folder: Path, protocol: Protocol) -> None:
    """Write a protocol and its hash."""
    paths = StudyPaths(folder)
    data = render_protocol(protocol)
    assert yaml.safe_load(data)
    paths.protocol.write_bytes(data)
    paths.protocol_sha256.write_text(f"{hashlib.sha256(data).hexdigest()}  protocol.yaml\n")


def _draw_cases(
    recipe: StudyRecipe, draw: np.random.Generator
) -> tuple[list[tuple[str, TrialKind, list[int]]], list[FrameTruth]]:
    wanted: list[tuple[TrialKind, int]] = [
        ("training", recipe.training),
        ("main", recipe.cases),
        ("positive-control", recipe.positive_controls),
        ("negative-control", recipe.negative_controls),
    ]
    cases: list[tuple[str, TrialKind, list[int]]] = []
    sources: list[str] = []
    for kind, count in wanted:
        for _ in range(count):
            first = "real" if kind != "negative-control" else SOURCES[1]
            if recipe.design == "single" and len(cases) % 2:
                first = SOURCES[1]
            others = ["control"] * 3 if kind == "positive-control" else list(SOURCES[1:])
            own = [first, *others][: recipe.num_panes]
            if recipe.design == "single" and kind == "positive-control":
                own = ["control"]
            cases.append((f"Q{len(cases) + 1:02d}", kind, list(range(len(sources), len(sources) + len(own)))))
            sources += own
    numbers = draw.permutation(len(sources))
    shuffled = [(case, kind, [int(numbers[place]) for place in places]) for case, kind, places in cases]
    truth = [""] * len(sources)
    for place, source in enumerate(sources):
        truth[int(numbers[place])] = source
    return shuffled, [
        FrameTruth(source=source, dataset=DATASETS[source], sample_id=f"{DATASETS[source][:4]}{number:08d}")
        for number, source in enumerate(truth)
    ]


def _order(
    reader: str, cases: list[tuple[str, TrialKind, list[int]]], recipe: StudyRecipe, draw: np.random.Generator
) -> ReaderSchedule:
    training = [case for case in cases if case[1] == "training"]
    rest = [case for case in cases if case[1] != "training"]
    rest = [rest[place] for place in draw.permutation(len(rest))]
    repeated = [(case, "repeat", frames) for case, kind, frames in rest if kind == "main"][: recipe.repeats]
    trials = tuple(
        PlannedTrial(case=case, kind=kind, frames=tuple(int(frame) for frame in draw.permutation(frames)))
        for case, kind, frames in [*training, *rest, *repeated]
    )
    return ReaderSchedule(reader=reader, trials=trials)


def _draw_frames(truth: list[FrameTruth], size: int, depth: int, draw: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] - size / 2
    disc = rows**2 + columns**2 < (size / 3) ** 2
    top = 2**depth
    frames = draw.uniform(0.2 * top, 0.4 * top, (len(truth), size, size))
    for frame, true in zip(frames, truth, strict=True):
        frame[disc] += (0.4 if true.source == "real" else 0.3) * top
    return frames.astype("<u2" if depth == 16 else "u1")
