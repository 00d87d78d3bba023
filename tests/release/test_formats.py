"""The formats of a verdict, each read back as its readers do."""

import json
import re
from xml.etree import ElementTree

import pytest

from cspine_bench.release.checks.tree import Unchecked
from cspine_bench.release.findings_formats import FORMATS, render_github, render_junit, render_sarif, render_text
from cspine_bench.release.policy import GateVerdict
from cspine_bench.release.rules import RULES, Finding
from cspine_bench.release.verdict import Verdict

NASTY = 'a & <b> "c" ]]> \x00 \x1b[31m \ud800 % :: , é\nnew line'


def make_verdict(*findings: Finding, unchecked: tuple[Unchecked, ...] = ()) -> Verdict:
    return Verdict(
        path="data/rel",
        kind="parquet",
        level="standard",
        findings=findings,
        checked=("LAY-01", "PNG-01", "CARD-10"),
        skipped={"TAR-01": "a release holds no tar"},
        unchecked=unchecked,
        num_images=1200,
        gates=(GateVerdict("fid", "fails", "too far", "evaluation"),),
    )


TORN = Finding("PNG-01", "data/train-00000-of-00001.parquet", "no IEND", 12, ("toy1", "toy2"))
NOBODY = Finding("CARD-10", "CITATION.cff", "nobody")
REFUSED = Unchecked("LICENSE", "Permission denied")


def test_exit_codes() -> None:
    codes = {
        name: [make_verdict(*found, unchecked=left).exit_code(fail_on) for fail_on in ("error", "warning", "never")]
        for name, found, left in (
            ("clean", (), ()),
            ("warning", (NOBODY,), ()),
            ("error", (TORN,), (REFUSED,)),
            ("refused", (NOBODY,), (REFUSED,)),
        )
    }
    assert codes == {"clean": [0, 0, 0], "warning": [0, 1, 0], "error": [1, 1, 2], "refused": [2, 1, 2]}


def test_text_says_what_why_and_how() -> None:
    text = render_text(make_verdict(TORN, NOBODY, unchecked=(REFUSED,)))
    assert "error PNG-01 data/train-00000-of-00001.parquet: no IEND (12 times; samples toy1, toy2 ...)" in text
    assert f"PNG-01: {RULES['PNG-01'].why} {RULES['PNG-01'].mend}" in text
    assert "could not check LICENSE: Permission denied" in text
    assert "gate fid fails: too far" in text
    counted = "release, 1,200 radiographs, level standard, 3 rules checked, 1 skipped"
    assert text.splitlines()[-1] == f"data/rel: not valid (1 error, 1 warning); {counted}"


def test_json_is_one_document_with_everything() -> None:
    document = json.loads(FORMATS["json"](make_verdict(TORN, unchecked=(REFUSED,))))
    assert document["valid"] is False
    assert document["findings"][0]["sample_ids"] == ["toy1", "toy2"]
    assert document["findings"][0] | {"code": "PNG-01", "severity": "error", "count": 12} == document["findings"][0]
    assert document["unchecked"] == [{"where": "LICENSE", "reason": "Permission denied"}]
    assert document["gates"][0]["outcome"] == "fails"
    assert document["skipped"] == {"TAR-01": "a release holds no tar"}


@pytest.mark.parametrize(("fail_on", "failures"), [("error", 1), ("warning", 2), ("never", 0)])
def test_junit_counts_what_it_holds(fail_on: str, failures: int) -> None:
    root = ElementTree.fromstring(render_junit(make_verdict(TORN, NOBODY, unchecked=(REFUSED,)), fail_on=fail_on))
    suite = root.find("testsuite")
    cases = suite.findall("testcase")
    assert suite.get("tests") == str(len(cases)) == "5"
    assert suite.get("failures") == str(len(suite.findall("testcase/failure"))) == str(failures)
    assert suite.get("errors") == str(len(suite.findall("testcase/error"))) == "1"
    assert suite.get("skipped") == str(len(suite.findall("testcase/skipped"))) == "1"
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == 5


def test_sarif_has_what_github_asks_for() -> None:
    """Each property that is required there. Source: docs.github.com, "SARIF support for code scanning"."""
    whole = Finding("LAY-07", ".", "nothing")
    document = json.loads(render_sarif(make_verdict(TORN, NOBODY, whole), prefix="my data"))
    assert document["$schema"].endswith("sarif-2.1.0.json")
    assert document["version"] == "2.1.0"
    [run] = document["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] and re.fullmatch(r"\d+\.\d+\.\d+.*", driver["semanticVersion"])
    for rule in driver["rules"]:
        assert rule["id"] in RULES
        assert 0 < len(rule["shortDescription"]["text"]) <= 1024 >= len(rule["fullDescription"]["text"]) > 0
        assert rule["help"]["text"] and rule["defaultConfiguration"]["level"] in ("error", "warning")
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        assert result["level"] in ("error", "warning")
        assert re.fullmatch(r"[0-9a-f]{32}", result["partialFingerprints"]["primaryLocationLineHash"])
        [location] = result["locations"]
        region = location["physicalLocation"]["region"]
        assert set(region) == {"startLine", "startColumn", "endLine", "endColumn"}
        assert all(value >= 1 for value in region.values())
    uris = [item["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for item in run["results"]]
    assert uris == ["my%20data/data/train-00000-of-00001.parquet", "my%20data/CITATION.cff", "my%20data/README.md"]
    names = [item["name"] for item in run["results"][0]["locations"][0]["logicalLocations"]]
    assert names == ["toy1", "toy2"]
    assert run["automationDetails"]["id"].endswith("/")


def test_sarif_stays_within_what_github_shows() -> None:
    many = [Finding("SUM-01", f"f{number}", "x") for number in range(6000)]
    assert len(json.loads(render_sarif(make_verdict(*many)))["runs"][0]["results"]) == 5000


def test_annotations_are_escaped_and_capped() -> None:
    odd = Finding("SUM-01", "a,b:c%d", "100 %, two\nlines")
    first = render_github(make_verdict(odd), prefix="x").splitlines()[0]
    assert first == "::error file=x/a%2Cb%3Ac%25d,title=SUM-01::a,b:c%25d: 100 %25, two\\nlines"
    many = [Finding("SUM-01", f"f{number}", "x") for number in range(30)]
    lines = render_github(make_verdict(*many, NOBODY)).splitlines()
    errors = [line for line in lines if line.startswith("::error ")]
    assert len(errors) == 10
    assert errors[-1] == "::error title=cspine-bench::and 21 more findings; see the log"
    assert sum(line.startswith("::warning ") for line in lines) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_no_text_breaks_a_format(name: str) -> None:
    finding = Finding("SUM-01", NASTY, NASTY * 100, 3, (NASTY,))
    report = FORMATS[name](make_verdict(finding, unchecked=(Unchecked(NASTY, NASTY),)), fail_on="error", prefix=NASTY)
    report.encode()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", report)
    if name in ("json", "sarif"):
        json.loads(report)
    elif name == "junit":
        ElementTree.fromstring(report)
    elif name == "github":
        assert all(line.startswith("::error ") for line in report.splitlines()[:-1])
