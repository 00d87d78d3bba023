"""What a Croissant description says of risks, limits and origin: the Responsible-AI fields and the provenance.

Source: Croissant RAI Specification 1.0; W3C PROV-O. `rai:hasSyntheticData` and the two PROV fields belong to the least
that the evaluations-and-datasets track of NeurIPS 2026 asks for.
"""

from typing import Any

from cspine_bench.release.edition import Edition
from cspine_bench.release.papers.evidence import list_memorization
from cspine_bench.release.papers.limits import OUT_OF_SCOPE, is_trained, list_direct_uses, list_limits
from cspine_bench.release.papers.statements import METHOD_ARXIV, find_notice, find_training, name_generators
from cspine_bench.release.recipe import TrainingData


def build_responsible_fields(edition: Edition) -> dict[str, Any]:
    """The fields of the vocabularies RAI and PROV, filled from facts, results and the recipe alone."""
    recipe, facts = edition.recipe, edition.facts
    labels = facts.count("label_source")
    unlabelled = labels.get(None, 0)
    return {
        "rai:hasSyntheticData": True,
        "rai:dataCollection": f"Nothing was collected: {facts.num_synthetic:,} of {facts.total:,} radiographs are "
        f"synthetic, made by {name_generators(edition)}.",
        "rai:dataCollectionType": ["Synthetic"],
        "rai:dataCollectionMissingData": f"What is not known is null, or NaN in landmarks_xy; {unlabelled:,} of "
        f"{facts.total:,} radiographs have no labels.",
        "rai:dataLimitations": _list_limitations(edition),
        "rai:dataBiases": _list_biases(edition),
        "rai:personalSensitiveInformation": _list_personal(edition),
        "rai:dataUseCases": [
            *([] if recipe.purpose is None else [recipe.purpose]),
            *list_direct_uses(edition),
            *(f"Not for: {use}" for use in OUT_OF_SCOPE),
        ],
        "rai:dataSocialImpact": "Radiographs that depict no patient can be shared where films cannot. They may carry "
        "the biases of what they were made from into what is trained on them, and may be mistaken for films: every "
        "image carries its mark of origin inside the PNG, and every row in `synthetic`. "
        f"Not for: {OUT_OF_SCOPE[0]}",
        "rai:dataAnnotationProtocol": _list_annotation(labels),
        "rai:dataReleaseMaintenancePlan": "A version that is out never changes; a correction is a new version with an "
        f"entry in CHANGELOG.md. Contact: {recipe.contact or 'not stated'}.",
        "prov:wasDerivedFrom": _list_origins(edition),
        "prov:wasGeneratedBy": _list_activities(edition),
    }


def _list_limitations(edition: Edition) -> list[str]:
    limits = [
        find_notice(edition),
        "What is measured on synthetic radiographs need not hold for films of patients.",
        *list_limits(edition),
        *(f"evaluation/{name}: {result.verdict}" for name, result in edition.results.items() if result.verdict),
    ]
    if is_trained(edition) and not list_memorization(edition):
        limits.append("Whether images copy training data was not measured.")
    return limits


def _list_biases(edition: Edition) -> list[str]:
    facts = edition.facts
    biases = []
    for column in ("curvature", "sex", "disease", "facing"):
        counts = {"not known" if value is None else str(value): number for value, number in facts.count(column).items()}
        listed = ", ".join(f"{value} {number:,}" for value, number in sorted(counts.items()))
        biases.append(f"{column}, of {facts.total:,}: {listed}.")
    ages = ", ".join(f"{band} {number:,}" for band, number in facts.count_age_bands().items())
    biases.append(f"age in years, of {facts.total:,}: {ages}.")
    training = find_training(edition.recipe, edition.manifest)
    if training.status in ("named", "not stated"):
        biases.append("The biases of the data that the generator was trained on are carried over.")
    return biases


def _list_personal(edition: Edition) -> list[str]:
    training = find_training(edition.recipe, edition.manifest)
    statements = ["No radiograph depicts a patient; sex, age and disease in a row describe no person."]
    if any(item.patients for item in training.datasets):
        searched = [item.path for item in list_memorization(edition)]
        statements.append(
            "The generator was trained on images of patients, and may have memorized some of them: "
            + (f"see {', '.join(searched)}." if searched else "whether it has was not measured.")
        )
    elif training.status == "not stated":
        statements.append("Whether the generator was trained on images of patients is not stated.")
    return statements


def _list_annotation(labels: dict[Any, int]) -> list[str]:
    protocols = {
        "exact": "known exactly from the geometry that was drawn",
        "reader": "annotated by people",
        "conditioned": "drawn before the image, which was generated to follow them; no one has looked at each image",
        "measured": "annotated by a trained model",
    }
    return [f"{number:,} radiographs: labels {protocols[key]}." for key, number in labels.items() if key is not None]


def _list_origins(edition: Edition) -> list[dict[str, Any]]:
    training = find_training(edition.recipe, edition.manifest)
    origins = [_build_origin(item) for item in training.datasets]
    if not origins:
        origins = [{"@type": "prov:Entity", "prov:label": training.summary}]
    recorded = training.recorded
    if recorded is not None:
        count = "an unknown number of" if recorded["num_films"] is None else f"{recorded['num_films']:,}"
        kinds = ", ".join(f"{kind} {number:,}" for kind, number in recorded["sources"].items()) or "kind unknown"
        label = f"The dataset folder that the generator was trained on: {count} radiographs ({kinds})"
        digest = f"sha256:{recorded['dataset_sha256']}"
        origins.append({"@type": "prov:Entity", "prov:label": label, "identifier": digest})
    return origins


def _build_origin(item: TrainingData) -> dict[str, Any]:
    values = {
        "@type": "prov:Entity",
        "prov:label": item.name,
        "version": item.version,
        "url": item.url,
        "identifier": None if item.doi is None else f"https://doi.org/{item.doi}",
        "license": item.license or "not stated",
        "usageInfo": item.terms,
    }
    return {key: value for key, value in values.items() if value is not None}


def _list_activities(edition: Edition) -> list[dict[str, Any]]:
    facts = edition.facts
    settings = []
    for column in ("run_id", "weights_sha256", "recipe_sha256", "sampler", "num_steps", "guidance_scale"):
        found = sorted(str(value) for value in facts.count(column) if value is not None)
        if found:
            settings.append(f"{column} {', '.join(found)}")
    if find_training(edition.recipe, edition.manifest).status != "not applicable":
        settings.append(f"scientific model of arXiv:{METHOD_ARXIV}")
    generated = {
        "@type": "prov:Activity",
        "prov:label": f"Generation by {name_generators(edition)}",
        "description": "; ".join(settings) or "No setting is recorded in the rows.",
    }
    agent = {"@type": ["prov:SoftwareAgent", "prov:Agent"], "prov:label": f"cspine-bench {edition.package_version}"}
    if edition.recipe.code_url is not None:
        agent["url"] = edition.recipe.code_url
    packaged = {
        "@type": "prov:Activity",
        "prov:label": f"Release by cspine-bench {edition.package_version}",
        "description": f"Commit {edition.commit or 'not recorded'}.",
        "prov:wasAssociatedWith": agent,
    }
    return [generated, packaged]
