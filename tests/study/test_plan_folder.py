"""The folder of a planned study: whole, sealed, and refused once it was touched."""

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cspine_bench.study.plan as package
from cspine_bench.errors import DataError
from cspine_bench.recipe import apply_overrides
from cspine_bench.study.folder import load_schedule, load_truth, map_frames, open_study
from cspine_bench.study.ledger.store import open_ledger
from cspine_bench.study.plan.balance import count_balance
from cspine_bench.study.plan.make import render_schedule
from cspine_bench.study.plan.match import DisplaySet, Member
from cspine_bench.study.plan.secret import SecretDraws
from cspine_bench.study.plan.trials import build_schedule, number_sets
from cspine_bench.study.plan.write import find_plan, write_plan
from cspine_bench.study.protocol import render_protocol
from cspine_bench.study.recipe import StudyRecipe
from tests.study.small_study import (
    SECRET,
    SMALL,
    build_small_plan,
    copy_small_study,
    make_small_study,
    open_small_sides,
)

MakeOnce = Callable[..., Path]


def test_a_planned_study_is_whole(make_once: MakeOnce) -> None:
    panes = {"quartet": 4, "pair": 2, "single": 1}
    for design, num_panes in panes.items():
        study = make_small_study(make_once, design)
        recipe, truth, schedule = study.protocol.recipe, load_truth(study), load_schedule(study)
        frames = map_frames(study)
        assert len(truth.frames) == len(frames) == study.protocol.frames.count
        assert [hashlib.sha256(frame.tobytes()).hexdigest() for frame in frames] == [
            *study.protocol.frames.frame_sha256
        ]
        for path, mode in (
            (study.paths.truth, 0o600),
            (study.paths.truth.parent, 0o700),
            (study.paths.schedule, 0o600),
        ):
            assert path.stat().st_mode & 0o777 == mode
        with open_ledger(study, read_only=True) as ledger:
            assert [record.kind for record in ledger.iter_records()] == ["plan"]
        # One image, one frame; one frame, one display set; and a repeat is of a case.
        assert len({(one.dataset, one.sample_id) for one in truth.frames}) == len(frames)
        for reader in schedule.readers:
            kinds = Counter(trial.kind for trial in reader.trials)
            asked = {"main": recipe.cases, "training": recipe.training, "repeat": recipe.repeats}
            asked |= {"positive-control": recipe.positive_controls, "negative-control": recipe.negative_controls}
            assert kinds == Counter({kind: count for kind, count in asked.items() if count})
            assert reader.trials[0].kind == "training" and all(
                len(trial.frames) == num_panes for trial in reader.trials
            )
            first = {trial.case: trial for trial in reader.trials if trial.kind != "repeat"}
            shown = [frame for trial in first.values() for frame in trial.frames]
            assert sorted(shown) == list(range(len(frames)))
            for trial in reader.trials:
                real = [truth.frames[frame].source == "real" for frame in trial.frames]
                if num_panes > 1:
                    assert sum(real) == (trial.kind != "negative-control")
                if trial.kind == "repeat":
                    assert sorted(trial.frames) == sorted(first[trial.case].frames)
                    assert num_panes == 1 or not set(zip(trial.frames, range(4), strict=False)) & set(
                        zip(first[trial.case].frames, range(4), strict=False)
                    )
                changed = [truth.frames[frame].changed for frame in trial.frames]
                assert [bool(text) for text in changed] == [
                    trial.kind == "positive-control" and not is_real for is_real in real
                ]
        balance = count_balance(schedule, truth)
        assert balance.cases[1] - balance.cases[0] <= 1
        assert all(one.panes[1] - one.panes[0] <= 1 and one.lag is not None for one in balance.readers)
    single = [one.source == "real" for one in load_truth(make_small_study(make_once, "single")).frames]
    assert sum(single) == 4, "half of six cases, and half of the training rounded up"


def test_frames_hold_the_pixels_of_the_files(make_once: MakeOnce) -> None:
    study = make_small_study(make_once)
    truth, frames = load_truth(study), map_frames(study)
    sides = {images.name: images for images in open_small_sides(make_once).list_all().values()}
    for frame, one in enumerate(truth.frames):
        images = sides[one.dataset].take_images([one.sample_id])[one.sample_id]
        assert np.array_equal(images, frames[frame]) is (one.changed == ""), one
        if one.changed:
            difference = np.abs(images.astype(float) - frames[frame]).mean()
            assert difference > 8, "a reader must see it"
        if frame == 5:
            break


def test_the_same_secret_makes_the_same_study_and_another_one_other_panes(make_once: MakeOnce) -> None:
    study = make_small_study(make_once)
    again, other = build_small_plan(make_once), build_small_plan(make_once, secret="c0" * 32)
    assert render_protocol(again.protocol) == study.paths.protocol.read_bytes()
    assert render_schedule(again.schedule) == study.paths.schedule.read_bytes()
    assert again.truth.render() == study.paths.truth.read_bytes()
    # The seed decides which images are drawn, whatever the secret is; a secret decides frames, names, panes, orders.
    assert sorted(one.sample_id for one in again.truth.frames) == sorted(one.sample_id for one in other.truth.frames)
    assert again.truth.frames != other.truth.frames and again.schedule.id_key != other.schedule.id_key
    assert again.truth.compute_seal() != other.truth.compute_seal()
    moved = build_small_plan(make_once, seed=1)
    assert sorted(one.sample_id for one in again.truth.frames) != sorted(one.sample_id for one in moved.truth.frames)


def test_what_is_public_does_not_give_the_panes(make_once: MakeOnce) -> None:
    study = make_small_study(make_once)
    truth = load_truth(study)
    public = study.paths.protocol.read_text() + study.paths.page.read_text()
    served = public + study.paths.schedule.read_text()
    for text in (truth.secret, truth.salt, *(one.sample_id for one in truth.frames)):
        assert text not in served
    assert load_schedule(study).id_key not in public
    # Structure: what deals panes, orders and numbers knows no other source of chance than the secret.
    folder = Path(str(package.__file__)).parent
    for name in ("panes", "order", "trials", "secret"):
        tree = ast.parse((folder / f"{name}.py").read_text())
        names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not names & {"random", "numpy", "cspine_bench.seeding", "time"}, name
        assert not re.search(r"\bseed\b", ast.unparse(tree)), name
    # With the seed held, the pane of one case's real image takes all values over secrets.
    panes: Counter[int] = Counter()
    frames: Counter[int] = Counter()
    recipe = study.protocol.recipe
    members = (Member("real", "real", 0), *(Member("s1", "s1", place) for place in range(3)))
    sets = [DisplaySet("main", members)] * recipe.cases
    for number in range(400):
        draws = SecretDraws(f"{number:064x}")
        numbered = number_sets(sets, draws)
        trials = build_schedule(numbered, recipe, ["R1"], draws).find("R1").trials
        first = next(one for one in trials if one.case == "Q01")
        panes[first.frames.index(numbered[0].frames[0])] += 1
        frames[numbered[0].frames[0]] += 1
    assert len(panes) == 4 and max(abs(count - 100) for count in panes.values()) < 40
    assert len(frames) == 4 * recipe.cases and max(frames.values()) < 60


def test_what_was_touched_is_refused(make_once: MakeOnce, tmp_path: Path) -> None:
    study = copy_small_study(make_once, tmp_path / "study")
    sealed = study.paths.truth.read_text()
    turned = sealed.replace('"source": "real"', '"source": "s1"', 1)
    study.paths.truth.write_text(turned)
    with pytest.raises(DataError, match="is not the truth that the protocol was frozen with"):
        load_truth(study)
    with pytest.raises(DataError, match=r"cannot be read .* needs its truth"):
        load_truth(study, tmp_path / "nowhere")
    study.paths.schedule.write_text(study.paths.schedule.read_text().replace('"main"', '"training"', 1))
    with pytest.raises(DataError, match="is not the schedule"):
        load_schedule(study)
    study.paths.protocol.write_text(study.paths.protocol.read_text().replace("alpha: 0.05", "alpha: 0.10"))
    with pytest.raises(DataError, match="was edited after it was frozen"):
        open_study(study.paths.folder)
    # With its companion edited too, the ledger still knows.
    digest = hashlib.sha256(study.paths.protocol.read_bytes()).hexdigest()
    study.paths.protocol_sha256.write_text(digest)
    with pytest.raises(DataError):
        open_ledger(open_study(study.paths.folder), read_only=True)


def test_a_study_that_has_begun_is_never_replaced(make_once: MakeOnce, tmp_path: Path) -> None:
    study = copy_small_study(make_once, tmp_path / "study")
    sides, recipe = open_small_sides(make_once), apply_overrides(StudyRecipe(), SMALL)
    asked = {"seed": 0, "readers": ()}
    found = find_plan(study.paths.folder, sides, recipe, overwrite=False, **asked)
    assert found is not None and found.protocol_sha256 == study.protocol_sha256
    assert find_plan(tmp_path / "new", sides, recipe, overwrite=False, **asked) is None
    with pytest.raises(DataError, match="holds another study"):
        find_plan(study.paths.folder, sides, recipe, overwrite=False, seed=1, readers=())
    assert find_plan(study.paths.folder, sides, recipe, overwrite=True, seed=1, readers=()) is None
    plan = build_small_plan(make_once, secret="c0" * 32)
    with pytest.raises(DataError, match="is there already"):
        write_plan(plan, study.paths.folder)
    replaced = write_plan(plan, study.paths.folder, overwrite=True)
    assert replaced.protocol_sha256 != study.protocol_sha256 and len(list(tmp_path.iterdir())) == 1
    with open_ledger(replaced) as ledger:
        ledger.append("consent", reader="R1")
    for replace in (
        lambda: find_plan(study.paths.folder, sides, recipe, overwrite=True, **asked),
        lambda: write_plan(plan, study.paths.folder, overwrite=True),
    ):
        with pytest.raises(DataError, match="has begun, and is never replaced"):
            replace()
    inside = sides.real.folder.path / "study"
    for place, truth in ((inside, None), (tmp_path / "new", inside / "truth.json")):
        with pytest.raises(DataError, match="lies in the dataset"):
            find_plan(place, sides, recipe, overwrite=False, truth=truth, **asked)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        find_plan(tmp_path / "file", sides, recipe, overwrite=True, **asked)


def test_the_truth_may_be_sealed_elsewhere(make_once: MakeOnce, tmp_path: Path) -> None:
    plan = build_small_plan(make_once)
    elsewhere = tmp_path / "notary" / "truth.json"
    study = write_plan(plan, tmp_path / "study", truth=elsewhere)
    assert not study.paths.truth.exists() and elsewhere.stat().st_mode & 0o777 == 0o600
    assert load_truth(study, elsewhere).secret == SECRET
    with pytest.raises(DataError, match="may be the truth of another study"):
        write_plan(plan, tmp_path / "other", truth=elsewhere)
    with pytest.raises(DataError, match="own folder"):
        write_plan(plan, tmp_path / "other", truth=tmp_path / "other" / "t.json")
    assert not (tmp_path / "other").exists()


def test_a_draft_of_a_killed_plan_does_no_harm(make_once: MakeOnce, tmp_path: Path) -> None:
    draft = tmp_path / ".study.unfinished"
    draft.mkdir()
    (draft / "study.sqlite").write_bytes(b"half")
    study = write_plan(build_small_plan(make_once), tmp_path / "study")
    assert study.paths.ledger.exists() and not draft.exists()
