"""A recipe whose texts hold what breaks YAML, JSON, TOML, HTML and LaTeX when it is written carelessly."""

from typing import Any

from cspine_bench.release.recipe import Creator, TrainingData

TERMS = "LicenseRef-Our-Terms"
AWKWARD: dict[str, Any] = {
    "name": "cspine.synth_2",
    "title": "Spines: \"left\" & 'right' {50 %} – Wirbelsäule\n# not a comment",
    "description": "Line one: yes.\n\n- an item\n'quoted' \"twice\" \\ back\\slash & <b>tag</b> 脊椎 🦴 {{ no }}",
    "version": "2.0.0-rc.1",
    "license": TERMS,
    "license_text": 'Ask us first: "please".\n\n© someone\n',
    "creators": (
        Creator(name="O'Brien-Núñez, Jr.", given_names='Anna "Ann"', orcid="0000-0002-9079-593X", affiliation="ÄB: C"),
        Creator(name="Salt and Pepper {X} & Y_Z"),
        Creator(name="yes", given_names="null"),
    ),
    "doi": "10.5281/zenodo.1234567",
    "code_url": "https://example.org/code?a=b#c",
    "training_data": (
        TrainingData(
            name="Films: a & b", license=None, terms='Under "DUA"', patients=True, url="https://example.org/f"
        ),
    ),
    "keywords": ("a: b", "# c", "a: b", "ja"),
    "changes": ("Changed:\nall of it.", "- a dash"),
    "contact": "who@example.org",
    "funding": "Grant <1>",
}
