"""A verdict in the formats that people and machines read: text, JSON, JUnit XML, SARIF, GitHub annotations.

One entry for each rule and file, never one for each image: GitHub refuses SARIF with more than 25,000 results and shows
ten annotations of a kind.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal
from urllib.parse import quote
from xml.etree import ElementTree

from cspine_bench.provenance import package_version
from cspine_bench.release.layout import CARD_NAME
from cspine_bench.release.rules import RULES, Finding
from cspine_bench.release.verdict import FailOn, Verdict

Format = Literal["text", "json", "junit", "sarif", "github"]

_MOST_RESULTS: Final = 5000
"""Results that GitHub shows of one run of SARIF."""
_MOST_ANNOTATIONS: Final = 10
_LONGEST_MESSAGE: Final = 1000
_SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_DRIVER: Final = "cspine-bench release validate"


def render_text(verdict: Verdict, *, fail_on: FailOn = "error", prefix: str = "") -> str:
    """For people: each finding, then why it matters and what to do, then the sum. Other arguments change nothing."""
    lines = [f"{finding.severity} {finding.code} {_describe(finding)}" for finding in verdict.findings]
    lines += [f"could not check {_clean(item.where)}: {_clean(item.reason)}" for item in verdict.unchecked]
    lines += [f"gate {gate.name} {gate.outcome}: {_clean(gate.sentence)}" for gate in verdict.gates]
    if lines:
        lines.append("")
    codes = dict.fromkeys(finding.code for finding in verdict.findings)
    lines += [f"{code}: {RULES[code].why} {RULES[code].mend}" for code in codes]
    return "\n".join([*lines, *([""] if codes else []), summarize(verdict)])


def summarize(verdict: Verdict) -> str:
    """One line: the verdict, and what it rests on."""
    errors = len(verdict.failing("error"))
    warnings = len(verdict.findings) - errors
    counts = [
        f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in ((errors, "error"), (warnings, "warning"))
    ]
    kind = {"parquet": "release", "webdataset": "WebDataset mirror", None: "no release"}[verdict.kind]
    word = "valid" if verdict.valid else "not checked in full" if not errors else "not valid"
    images = "radiograph" if verdict.num_images == 1 else "radiographs"
    return (
        f"{_clean(verdict.path)}: {word} ({', '.join(counts)}); {kind}, {verdict.num_images:,} {images}, "
        f"level {verdict.level}, {len(verdict.checked)} rules checked, {len(verdict.skipped)} skipped"
    )


def build_document(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON values."""
    return {
        "path": _clean(verdict.path),
        "kind": verdict.kind,
        "level": verdict.level,
        "valid": verdict.valid,
        "num_images": verdict.num_images,
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity,
                "where": _clean(finding.where),
                "message": _clean(finding.message),
                "count": finding.count,
                "sample_ids": [_clean(name) for name in finding.sample_ids],
                "why": RULES[finding.code].why,
                "mend": RULES[finding.code].mend,
            }
            for finding in verdict.findings
        ],
        "gates": [
            {"name": gate.name, "outcome": gate.outcome, "sentence": _clean(gate.sentence), "where": gate.where}
            for gate in verdict.gates
        ],
        "checked": list(verdict.checked),
        "skipped": verdict.skipped,
        "unchecked": [{"where": _clean(item.where), "reason": _clean(item.reason)} for item in verdict.unchecked],
        "package_version": package_version(),
    }


def render_json(verdict: Verdict, *, fail_on: FailOn = "error", prefix: str = "") -> str:
    """`build_document` as one JSON document. Other arguments change nothing."""
    return json.dumps(build_document(verdict), indent=2, ensure_ascii=False, allow_nan=False)


def render_junit(verdict: Verdict, *, fail_on: FailOn = "error", prefix: str = "") -> str:
    """JUnit XML: a test case for each rule, and for each file that breaks it.

    Findings below `fail_on` are cases that pass and say so; what could not be checked is an error; rules that were not
    looked for are skipped.
    """
    failing = {(finding.code, finding.where) for finding in verdict.failing(fail_on)}
    broken = {finding.code for finding in verdict.findings}
    total = len(verdict.findings) + len(set(verdict.checked) - broken) + len(verdict.skipped) + len(verdict.unchecked)
    suite = ElementTree.Element(
        "testsuite",
        name=f"{_DRIVER} {_clean(verdict.path)}",
        tests=str(total),
        failures=str(len(failing)),
        errors=str(len(verdict.unchecked)),
        skipped=str(len(verdict.skipped)),
    )
    for code in verdict.checked:
        if code not in broken:
            _add_case(suite, code, verdict.path)
    for finding in verdict.findings:
        case = _add_case(suite, finding.code, finding.where)
        failed = (finding.code, finding.where) in failing
        child = ElementTree.SubElement(case, "failure", message=_describe(finding)) if failed else None
        rule = RULES[finding.code]
        text = f"{finding.severity}: {_describe(finding)}\n{rule.why}\n{rule.mend}"
        (child if child is not None else ElementTree.SubElement(case, "system-out")).text = text
    for code, reason in verdict.skipped.items():
        ElementTree.SubElement(_add_case(suite, code, verdict.path), "skipped", message=_clean(reason))
    for item in verdict.unchecked:
        case = _add_case(suite, "could-not-check", item.where)
        ElementTree.SubElement(case, "error", message=_clean(item.reason))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def render_sarif(verdict: Verdict, *, fail_on: FailOn = "error", prefix: str = "") -> str:
    """SARIF 2.1.0 with the properties that GitHub's code scanning asks for.

    `prefix` is the path of the release inside the repository that is scanned.
    Source: SARIF 2.1.0, OASIS; docs.github.com, "SARIF support for code scanning".
    """
    codes = list(RULES)
    results = [
        {
            "ruleId": finding.code,
            "ruleIndex": codes.index(finding.code),
            "level": finding.severity,
            "message": {"text": _describe(finding)},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": _build_uri(prefix, finding.where)},
                        "region": {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2},
                    },
                    "logicalLocations": [{"name": _clean(name), "kind": "element"} for name in finding.sample_ids],
                }
            ],
            "partialFingerprints": {"primaryLocationLineHash": _fingerprint(finding)},
            "properties": {"count": finding.count},
        }
        for finding in verdict.findings[:_MOST_RESULTS]
    ]
    for result in results:
        location = result["locations"][0]  # type: ignore[index]
        if not location["logicalLocations"]:
            del location["logicalLocations"]
    run = {
        "tool": {
            "driver": {
                "name": _DRIVER,
                "semanticVersion": package_version(),
                "rules": [_describe_rule(code) for code in codes],
            }
        },
        "automationDetails": {"id": f"cspine-release-validate/{quote(_clean(prefix) or 'release')}/"},
        "results": results,
        "invocations": [
            {
                "executionSuccessful": not verdict.unchecked,
                "toolExecutionNotifications": [
                    {
                        "level": "error",
                        "message": {"text": f"could not check {_clean(item.where)}: {_clean(item.reason)}"},
                    }
                    for item in verdict.unchecked
                ],
            }
        ],
    }
    document = {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def render_github(verdict: Verdict, *, fail_on: FailOn = "error", prefix: str = "") -> str:
    """Workflow commands that GitHub Actions turns into annotations, then the sum as plain text.

    GitHub shows ten errors and ten warnings of a step, so the tenth of many says how many more there are.
    """
    lines = []
    for severity in ("error", "warning"):
        found = [finding for finding in verdict.findings if finding.severity == severity]
        entries = [
            (f"file={_escape_property(_join(prefix, item.where))},title={item.code}", _describe(item)) for item in found
        ]
        if severity == "error":
            entries += [
                (f"file={_escape_property(_join(prefix, item.where))},title=could not check", _clean(item.reason))
                for item in verdict.unchecked
            ]
        if len(entries) > _MOST_ANNOTATIONS:
            rest = len(entries) - _MOST_ANNOTATIONS + 1
            entries[_MOST_ANNOTATIONS - 1 :] = [("title=cspine-bench", f"and {rest} more findings; see the log")]
        lines += [f"::{severity} {properties}::{_escape_data(text)}" for properties, text in entries]
    return "\n".join([*lines, summarize(verdict)])


FORMATS: Final[dict[Format, Callable[..., str]]] = {
    "text": render_text,
    "json": render_json,
    "junit": render_junit,
    "sarif": render_sarif,
    "github": render_github,
}
"""Each called with the verdict, `fail_on` and `prefix`."""


def _describe(finding: Finding) -> str:
    more = []
    if finding.count > 1:
        more.append(f"{finding.count:,} times")
    if finding.sample_ids:
        shown = ", ".join(map(_clean, finding.sample_ids))
        more.append(f"samples {shown}{' ...' if finding.count > len(finding.sample_ids) else ''}")
    tail = f" ({'; '.join(more)})" if more else ""
    return f"{_clean(finding.where)}: {_clean(finding.message)}{tail}"


def _fingerprint(finding: Finding) -> str:
    """The same for the same rule and file, whatever else changes: GitHub follows an alert by it."""
    return hashlib.sha256(f"{finding.code}/{_clean(finding.where)}".encode()).hexdigest()[:32]


def _describe_rule(code: str) -> dict[str, Any]:
    rule = RULES[code]
    return {
        "id": code,
        "name": code,
        "shortDescription": {"text": rule.why},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.mend, "markdown": rule.mend},
        "defaultConfiguration": {"level": rule.severity},
        "properties": {"tags": ["dataset", rule.level]},
    }


def _add_case(suite: ElementTree.Element, code: str, where: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=f"cspine-bench.{code}", name=f"{code} {_clean(where)}")


def _join(prefix: str, where: str) -> str:
    path = "/".join(part for part in (prefix, where) if part not in ("", "."))
    return _clean(path) or "."


def _build_uri(prefix: str, where: str) -> str:
    # An alert is shown beside a file, so one that concerns the release as a whole stands beside its card.
    return quote(_join(prefix, CARD_NAME if where == "." else where))


def _clean(text: str) -> str:
    """Text that any terminal, XML or JSON takes: what cannot be printed becomes an escape."""
    short = text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]} ..."
    return "".join(_spell(short))


def _spell(text: str) -> Iterable[str]:
    for character in text:
        yield character if character.isprintable() else character.encode("unicode_escape").decode()


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")
