"""Generators that were trained inside a label subset: the subset as a dataset, and the check that it was kept to."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.sides import Sides, find_training_data
from cspine_bench.baselines.subsets import FIXED, draw_subset
from cspine_bench.dataset.finish import DatasetSummary
from cspine_bench.dataset.read import DatasetFolder, open_dataset
from cspine_bench.dataset.source import SampleKey
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError, RecipeError
from cspine_bench.measurement.inputs import open_images
from cspine_bench.schema import Record


def require_within(sides: Sides, recipe: BaselineRecipe, within: Mapping[float, str], *, seed: int) -> None:
    """Stop where a dataset that is said to rest on a label subset does not.

    Args:
        sides: both.
        recipe: of the baseline.
        within: by fraction, a dataset.
        seed: of the run, which draws the subset.

    Raises:
        RecipeError: every seed draws its own subset, so no generator can be inside it; or the protocol has no such
            fraction.
        DataError: the generator was trained on more films than the subset has, or nothing says on what; or films of the
            train split have no labels, so that subsets of labels are other ones than those of films.
    """
    if within and recipe.protocol.subsets != "fixed":
        raise RecipeError(
            "--synthetic-within needs one label subset for all seeds: add --set protocol.subsets=fixed, and train the "
            "generator on what `cspine-bench baseline subset` writes"
        )
    films = open_images("real", sides.real_folder, splits=("train",)) if within else None
    if films is not None and (left_out := set(films.group_ids) - set(sides.train.group_ids)):
        raise DataError(
            f"{films.folder.path}: {len(left_out):,} of {len(set(films.group_ids)):,} patients or anatomies of its "
            "train split have no labels for this task, so a run draws other label subsets than `cspine-bench baseline "
            "subset` wrote; name a dataset whose train split is labelled throughout, and train generators on its parts"
        )
    for fraction, folder in within.items():
        if fraction not in recipe.protocol.fractions:
            known = ", ".join(f"{known:g}" for known in recipe.protocol.fractions)
            raise RecipeError(f"--synthetic-within {fraction:g}: the protocol's fractions are {known}")
        data = find_training_data(open_dataset(folder).manifest.source)
        if data is None or "num_films" not in data:
            raise DataError(
                f"{folder}: nothing in its manifest says what its generator was trained on; sample it anew with "
                "`cspine-bench ddpm sample` from a run on what `cspine-bench baseline subset` writes"
            )
        allowed = len(draw_subset(sides.train.group_ids, fraction, seed=seed, number=FIXED))
        if data["num_films"] > allowed:
            raise DataError(
                f"{folder}: its generator was trained on {data['num_films']:,} films, and {fraction:.0%} of the "
                f"training groups are {allowed:,}; train it on what `cspine-bench baseline subset --fraction "
                f"{fraction:g}` writes"
            )


class SubsetSource:
    """The rows of a dataset whose training split is a label subset; the other splits are whole.

    Args:
        folder: the dataset.
        fraction: of its training groups.
        seed: draws the subset, as a run with the same seed and `protocol.subsets=fixed` does.
    """

    def __init__(self, folder: DatasetFolder, fraction: float, seed: int) -> None:
        self._folder = folder
        self._fraction = fraction
        self._seed = seed

    def describe(self) -> dict[str, Any]:
        """What decides the samples."""
        manifest = self._folder.manifest
        return {
            "kind": "subset", "of": manifest.digest, "fraction": self._fraction, "seed": self._seed,
            "source": manifest.source,
        }  # fmt: skip

    def list_samples(self) -> list[SampleKey]:
        """Rows in the order of the files."""
        keys = []
        for split in self._folder.splits:
            table = self._folder.read_table(("sample_id", "group_id"), split)
            names, groups = (table.column(name).to_pylist() for name in ("sample_id", "group_id"))
            places: Sequence[int] = range(len(names))
            if split == "train":
                images = open_images("real", self._folder.path, splits=("train",))
                places = draw_subset(images.group_ids, self._fraction, seed=self._seed, number=FIXED).tolist()
            keys += [SampleKey(names[place], groups[place], names[place]) for place in places]
        return keys

    def estimate_bytes(self) -> int:
        """Mean of the dataset's files."""
        return sum(shard.num_bytes for shard in self._folder.manifest.shards) // max(1, len(self._folder))

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Record]:
        """The rows as they are."""
        wanted = {key.sample_id for key in keys}
        found = {record.sample_id: record for record in self._folder.iter_records() if record.sample_id in wanted}
        for key in keys:
            yield found[key.sample_id]


def write_subset(
    dataset: Path | str, out: Path, *, fraction: float, seed: int, overwrite: bool = False
) -> DatasetSummary:
    """Write a label subset as a dataset of its own, to train a generator on.

    Args:
        dataset: with a train split.
        out: folder of the new dataset.
        fraction: of the training groups.
        seed: of the runs that will use it.
        overwrite: replace another dataset there.

    Raises:
        DataError: as `write_dataset`; there is no train split; or `out` is the dataset itself.
    """
    folder = open_dataset(dataset)
    if out.resolve() == folder.path.resolve():
        raise DataError(f"{out}: is the dataset that a part is taken of; name another folder for the part")
    if "train" not in folder.splits:
        raise DataError(f"{folder.path}: has no train split to take a part of")
    source = SubsetSource(folder, fraction, seed)
    splits = {
        name: split
        for split in folder.splits
        for name in folder.read_table(("sample_id",), split).column("sample_id").to_pylist()
    }
    kept = {key.sample_id: splits[key.sample_id] for key in source.list_samples()}
    return write_dataset(source, out, splits=kept, overwrite=overwrite)
