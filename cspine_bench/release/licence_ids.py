"""How one licence is called in each of the papers: SPDX in most, a vocabulary of its own on the Hub and on Zenodo."""

from typing import Final

from cspine_bench.release.layout import LICENCE_NAME

CUSTOM_PREFIX: Final = "LicenseRef-"
"""SPDX: what a licence that is not on its list is called by."""

HUB_LICENCES: Final = {
    "Apache-2.0": "apache-2.0",
    "BSD-2-Clause": "bsd-2-clause",
    "BSD-3-Clause": "bsd-3-clause",
    "C-UDA-1.0": "c-uda",
    "CC-BY-2.0": "cc-by-2.0",
    "CC-BY-2.5": "cc-by-2.5",
    "CC-BY-3.0": "cc-by-3.0",
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-NC-2.0": "cc-by-nc-2.0",
    "CC-BY-NC-3.0": "cc-by-nc-3.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
    "CC-BY-NC-ND-3.0": "cc-by-nc-nd-3.0",
    "CC-BY-NC-ND-4.0": "cc-by-nc-nd-4.0",
    "CC-BY-NC-SA-2.0": "cc-by-nc-sa-2.0",
    "CC-BY-NC-SA-3.0": "cc-by-nc-sa-3.0",
    "CC-BY-NC-SA-4.0": "cc-by-nc-sa-4.0",
    "CC-BY-ND-4.0": "cc-by-nd-4.0",
    "CC-BY-SA-3.0": "cc-by-sa-3.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC0-1.0": "cc0-1.0",
    "CDLA-Permissive-1.0": "cdla-permissive-1.0",
    "CDLA-Sharing-1.0": "cdla-sharing-1.0",
    "MIT": "mit",
    "ODC-By-1.0": "odc-by",
    "ODbL-1.0": "odbl",
    "PDDL-1.0": "pddl",
    "etalab-2.0": "etalab-2.0",
}
"""Licences for data that the Hub knows, and CITATION.cff too: CDLA-Permissive-2.0 is younger than that format.

Source: huggingface/hub-docs, docs/hub/repositories-licenses.md; schema of Citation File Format 1.2.0.
"""


def hub_licence_id(spdx: str) -> str:
    """What the Hub calls a licence: `license` in a card's YAML; "other" where it has no name for it."""
    return HUB_LICENCES.get(spdx, "other")


def hub_licence_fields(spdx: str) -> dict[str, str]:
    """All that a card's YAML says of a licence: `license`, and where that is "other" also its name and its file."""
    hub_id = hub_licence_id(spdx)
    if hub_id != "other":
        return {"license": hub_id}
    return {"license": hub_id, "license_name": spdx.removeprefix(CUSTOM_PREFIX).lower(), "license_link": LICENCE_NAME}


def zenodo_licence_id(spdx: str) -> str:
    """What Zenodo calls a licence. A publisher's own text counts as closed: nothing is known of what it opens."""
    return "other-closed" if spdx.startswith(CUSTOM_PREFIX) else spdx.lower()


def licence_url(spdx: str) -> str:
    """Page of a licence on the SPDX list; of a publisher's own text: its file in the release."""
    return LICENCE_NAME if spdx.startswith(CUSTOM_PREFIX) else f"https://spdx.org/licenses/{spdx}"
