"""Whatever goes out in a whole study, to all readers: does any of it tell real from synthetic?"""

import re
import shutil
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.study.app.reply import HEADERS
from cspine_bench.study.app.static_files import load_static_files
from cspine_bench.study.folder import StudyFolder, load_schedule, load_truth
from cspine_bench.study.ledger.links import issue_link
from cspine_bench.study.schedule import Schedule
from cspine_bench.study.truth import REAL, Truth
from tests.study.asgi_client import DISPLAY, Client, Reply, build_answer, open_client
from tests.study.bare_study import make_bare_study

READERS, TRIALS = 3, 13


@dataclass
class Traffic:
    """Everything that was said in a study.

    Attributes:
        replies: by route.
        panes: id and reply of each pane with whether it is real, in the order in which they were asked for.
        ids: all ids that were given out.
        strangers: replies to ids that are not, or no longer, the asker's.
    """

    replies: dict[str, list[Reply]] = field(default_factory=lambda: defaultdict(list))
    panes: list[tuple[str, Reply, bool]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    strangers: list[Reply] = field(default_factory=list)
    trials: dict[tuple[int, bool], set[int]] = field(default_factory=lambda: defaultdict(set))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    folder = tmp_path_factory.mktemp("blinding") / "study"
    counts = {"cases": 8, "repeats": 2, "repeat_lag": 3, "positive_controls": 1, "negative_controls": 1}
    return make_bare_study(folder, size=16, readers=READERS, **counts)


@pytest.fixture(scope="module")
def truth(study: StudyFolder) -> Truth:
    return load_truth(study)


@pytest.fixture(scope="module")
def traffic(study: StudyFolder, truth: Truth) -> Traffic:
    shutil.rmtree(study.paths.truth.parent)  # Nothing that follows could have come from it.
    traffic, schedule = Traffic(), load_schedule(study)
    with open_client(study) as client:
        tokens = {reader: issue_link(client.ledger, reader) for reader in study.protocol.readers}
        for path in (*load_static_files(), "/nothing"):
            traffic.replies["static"].append(client.send("GET", path))
        for token in tokens.values():
            for path, body in (("/api/open", {}), ("/api/consent", {}), ("/api/display", DISPLAY)):
                traffic.replies[path].append(client.post(path, token, body))
        for place in range(len(schedule.readers[0].trials)):
            current = {reader: client.post("/api/trial", token) for reader, token in tokens.items()}
            for reader, token in tokens.items():
                _read(client, traffic, token, current, reader, place, schedule, truth)
        for token in tokens.values():
            traffic.replies["finished"].append(client.post("/api/trial", token))
    return traffic


def _read(
    client: Client, traffic: Traffic, token: str, current: dict[str, Reply], reader: str, place: int,
    schedule: Schedule, truth: Truth,
) -> None:  # fmt: skip
    trial, planned = current[reader].json, schedule.find(reader).trials[place]
    traffic.replies["/api/trial"].append(current[reader])
    traffic.trials[place, trial["training"]].add(len(current[reader].body))
    traffic.ids += [trial["trial"], *trial["panes"]]
    for pane, frame in zip(trial["panes"], planned.frames, strict=True):
        reply = client.get(f"/api/frame/{pane}", token)
        traffic.replies["/api/frame"].append(reply)
        traffic.panes.append((pane, reply, truth.frames[frame].source == REAL))
    stranger = next(other for other in current if other != reader)
    traffic.strangers += [client.get(f"/api/frame/{pane}", token) for pane in current[stranger].json["panes"][:2]]
    answer = build_answer(trial, pick=1 + place % 4)
    traffic.replies["/api/answer"] += [client.post("/api/answer", token, answer) for _ in range(2)]
    traffic.replies["refused"].append(client.post("/api/answer", token, build_answer(trial)))
    traffic.strangers += [client.get(f"/api/frame/{pane}", token) for pane in trial["panes"][2:]]


def test_the_whole_study_was_heard(study: StudyFolder, traffic: Traffic) -> None:
    assert len(traffic.panes) == READERS * TRIALS * 4
    assert sum(real for _, _, real in traffic.panes) == READERS * (TRIALS - 1)  # None in the negative control.
    for route, status in (("/api/trial", 200), ("/api/frame", 200), ("/api/answer", 200), ("refused", 409)):
        assert {reply.status for reply in traffic.replies[route]} == {status}


def test_no_word_of_it_names_a_condition(truth: Truth, traffic: Traffic) -> None:
    names = {getattr(frame, name) for frame in truth.frames for name in ("source", "dataset", "sample_id")} - {REAL}
    kinds = re.compile("main|repeat|control|positive|negative")
    conditions = re.compile(r"\b(real|fake|synth\w*|genuine|generated|original|truth|source|dataset|sample)\b", re.I)
    files = re.compile(r"frames\.bin|schedule|sealed|sqlite|\.png|\.dcm|\.parquet|/tmp|/work")
    for route, replies in traffic.replies.items():
        for reply in replies:
            told = [pair for pair in reply.headers if pair not in HEADERS.items()]  # The same on every reply.
            text = repr((reply.status, told)) + reply.body.decode("latin-1")
            said = [name for name in names if name in text]
            assert said == [] or (route, said) == ("static", ["control"]), route  # A word of any program.
            if route not in ("static", "/api/frame"):
                assert not files.search(text) and not kinds.search(text), route
            # The question itself, its scale, and the page around it are the same words for everybody.
            if route not in ("static", "/api/frame", "/api/open"):
                assert not conditions.search(text), route
    words = {re.sub(r'"R\d"', "", reply.body.decode()) for reply in traffic.replies["/api/open"]}
    assert len(words) == 1


def test_sizes_and_headers_are_the_same_for_all(traffic: Traffic) -> None:
    for route in ("/api/frame", "/api/answer", "refused", "finished", "/api/consent", "/api/display", "/api/open"):
        names = {tuple(name for name, _ in reply.headers) for reply in traffic.replies[route]}
        lengths = {("content-length", str(len(reply.body))) for reply in traffic.replies[route]}
        values = {frozenset(set(reply.headers) - lengths) for reply in traffic.replies[route]}
        assert len(names) == len(values) == 1, route
    for route in ("/api/frame", "refused", "finished", "/api/consent", "/api/display", "/api/open"):
        assert len({len(reply.body) for reply in traffic.replies[route]}) == 1, route
    assert len({len(reply.body) - len(str(reply.json["done"])) for reply in traffic.replies["/api/answer"]}) == 1
    # The counts, and whether it is training, decide how long a trial's description is.
    assert all(len(sizes) == 1 for sizes in traffic.trials.values()) and len(traffic.trials) == TRIALS
    late = {size for (place, _), sizes in traffic.trials.items() if place >= 10 for size in sizes}
    assert len(late) == 1  # Two digits each: main, repeat and controls alike.


def test_ids_never_come_again_and_open_nothing_else(traffic: Traffic) -> None:
    assert len(set(traffic.ids)) == len(traffic.ids) == READERS * TRIALS * 5
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in traffic.ids)
    assert {(reply.status, reply.body) for reply in traffic.strangers} == {(404, b'{"error":"there is nothing here"}')}
    assert len(traffic.strangers) == READERS * TRIALS * 4


def cross_validate(features: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """AUC of a ridge regression, ten folds."""
    folds = np.random.default_rng(0).permutation(len(labels)) % 10
    spread = features.std(axis=0)
    scaled = np.column_stack([(features - features.mean(axis=0)) / np.where(spread, spread, 1), np.ones(len(labels))])
    scores = np.zeros(len(labels))
    for fold in range(10):
        train = folds != fold
        gram = scaled[train].T @ scaled[train] + np.eye(scaled.shape[1])
        scores[~train] = scaled[~train] @ np.linalg.solve(gram, scaled[train].T @ labels[train].astype(float))
    above = scores[labels][:, None] - scores[~labels][None, :]
    return float((above > 0).mean() + (above == 0).mean() / 2)


def test_a_classifier_cannot_tell_real_panes_from_what_surrounds_their_pixels(traffic: Traffic) -> None:
    labels = np.array([real for _, _, real in traffic.panes])
    features = np.array(
        [
            [len(reply.body), sum(len(name) + len(value) for name, value in reply.headers), *(int(d, 16) for d in pane)]
            for pane, reply, _ in traffic.panes
        ],
        float,
    )
    assert features[:, :2].std(axis=0).tolist() == [0, 0]
    assert 0.38 < cross_validate(features, labels) < 0.62
    # Were it one byte, or a digit that is small more often, it would tell.
    planted = features.copy()
    planted[:, 0] += labels
    assert cross_validate(planted, labels) > 0.99
    planted = features.copy()
    planted[:, 5] = np.where(labels, planted[:, 5] % 2, planted[:, 5])
    assert cross_validate(planted, labels) > 0.7
