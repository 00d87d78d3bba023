"""provenance/release.json: the chain from a release back to its runs, their weights, and what these were trained on."""

from typing import Any, Final

from cspine_bench.provenance import sha256_json
from cspine_bench.release.edition import Edition
from cspine_bench.release.papers.statements import find_notice, find_training, find_url

RELEASE_FORMAT: Final = 1
_RUN_COLUMNS: Final = (
    "generator", "generator_version", "weights_sha256", "recipe_sha256", "sampler", "num_steps", "guidance_scale",
    "condition_kind", "dtype", "device", "source_kind", "label_source", "digital_source_type",
)  # fmt: skip
"""What a run is told apart by: every value that its rows hold, with how many hold it."""


def build_release_json(edition: Edition) -> dict[str, Any]:
    """The machine-readable account of a release. No clock, host or path is in it but the recipe's date.

    Returns:
        JSON values: names and versions, counts, the dataset that was released (fingerprint and manifest digest), the
        resolved recipe with its hash, `runs`, `training_data`, `code`, `files` and `results`.
    """
    recipe, manifest, facts = edition.recipe, edition.manifest, edition.facts
    values = recipe.model_dump(mode="json")
    training = find_training(recipe, manifest)
    return {
        "format": RELEASE_FORMAT,
        "id": recipe.hub_id or recipe.name,
        "name": recipe.name,
        "title": recipe.title,
        "version": recipe.version,
        "date": values["date"],
        "doi": recipe.doi,
        "url": find_url(recipe),
        "license": recipe.license,
        "supersedes": recipe.supersedes,
        "changes": values["changes"],
        "notice": find_notice(edition),
        "schema_version": manifest.schema_version,
        "num_samples": facts.num_samples,
        "num_groups": facts.num_groups,
        "mirrored": edition.mirrored,
        "dataset": {
            "fingerprint": manifest.fingerprint,
            "digest": manifest.digest,
            "seed": manifest.seed,
            "fractions": list(manifest.fractions),
            "num_rejected": len(manifest.rejected),
            "source": manifest.source,
        },
        "recipe": values,
        "recipe_sha256": sha256_json(values),
        "runs": _list_runs(edition),
        "training_data": {
            "stated": training.stated,
            "status": training.status,
            "summary": training.summary,
            "recorded": training.recorded,
            "datasets": [item.model_dump(mode="json") for item in training.datasets],
        },
        "code": {
            "package": "cspine-bench",
            "version": edition.package_version,
            "commit": edition.commit,
            "url": recipe.code_url,
        },
        "files": [
            {
                "path": shard.path,
                "split": shard.split,
                "num_rows": shard.num_rows,
                "num_bytes": shard.num_bytes,
                "sha256": shard.sha256,
            }
            for shard in manifest.shards
        ],
        "results": [
            {
                "path": f"evaluation/{name}",
                "measure": result.measure,
                "measure_version": result.measure_version,
                "package_version": result.package_version,
                "commit": result.commit,
                "inputs": [item.model_dump(mode="json") for item in result.inputs],
            }
            for name, result in sorted(edition.results.items())
        ],
    }


def _list_runs(edition: Edition) -> list[dict[str, Any]]:
    facts = edition.facts
    ids = sorted(facts.count("run_id"), key=lambda run_id: (run_id is None, run_id))
    # The facts count each column by itself: with several runs it is not known which value belongs to which.
    seen = {name: _list_values(facts.count(name)) for name in _RUN_COLUMNS}
    return [
        {
            "run_id": run_id,
            "num_samples": {
                split: number for split in facts.num_samples if (number := facts.count("run_id", split).get(run_id, 0))
            },
            "seen": seen,
            "seen_in": "this run" if len(ids) == 1 else "all runs together",
        }
        for run_id in ids
    ]


def _list_values(counts: dict[Any, int]) -> list[dict[str, Any]]:
    ordered = sorted(counts.items(), key=lambda item: (item[0] is None, item[0]))
    return [{"value": value, "num_samples": number} for value, number in ordered]
